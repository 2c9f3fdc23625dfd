"""Being bound by the modes of files, also as root, as whom CI runs."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_VERSION_3 = 0x20080522  # capget(2): two sets of 32 capabilities, each effective, permitted, inheritable
_RIGHTS = 1 << 1 | 1 << 2  # capabilities(7): to write, and to read, whatever a file's mode says


def bound_by_modes(call: Callable[[], T]) -> T:
    """Call in a thread that opens files as their modes say; Linux has rights for each thread."""
    with ThreadPoolExecutor(1, initializer=_give_rights_up) as pool:
        return pool.submit(call).result()


def _give_rights_up() -> None:
    if os.geteuid() or sys.platform != "linux":
        return
    system = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    assert not system.capget(header, sets), os.strerror(ctypes.get_errno())
    for at in (0, 1):  # access(2) looks at the second.
        sets[at] &= ~_RIGHTS
    assert not system.capset(header, sets), os.strerror(ctypes.get_errno())
