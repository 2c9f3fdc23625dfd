"""Validators of a file (RFC 9110 §8.8): an entity tag and a date, both made of its version.

* The tag consists of the time of the last change, in nanoseconds, and the size. So replicas whose files have
  the same times send the same tags, wherever their folder is. A coded file has its coding in the tag, because
  it is another representation (§8.8.3.3).
* A file that has just changed may change again within one tick of the file system's clock, and keep its time.
  Until the tick is over, its tag is weak (§8.8.1). A tick of the kernel is at most 10 ms. A time without
  fractions may come from a file system that has only seconds (FAT: two seconds).
* An object store has a tag of its own for each content, which is sent as it is.
* A program may give a file a time in the future. It has not changed at that time, but when the program gave
  it: the system keeps that time (``st_ctime``). So such a file has a strong tag like any other.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from wsgiserve.files.store import Version

_SECOND = 1_000_000_000
_TICK = 20_000_000
_COARSE = 2 * _SECOND


class Validators(NamedTuple):
    """The fields that tell one version of a representation from another (RFC 9110 §8.8)."""

    etag: str
    """The field value, with its quotes, and with W/ if the tag is weak."""
    modified: int
    """The date of Last-Modified, in seconds since 1970."""
    settled: bool
    """Whether the date is old enough to be a strong validator (§8.8.2.2)."""


def validators_of(version: Version, coding: str = "", now_ns: int | None = None) -> Validators:
    """Return the validators of a version in a coding; '' is the original."""
    now = time.time_ns() if now_ns is None else now_ns
    modified, size = version.modified_ns, version.size
    tag = f"{modified:x}-{size:x}" if version.tag is None else version.tag
    tag = f'"{tag}{"-" if coding else ""}{coding}"'
    weak = "W/" if version.tag is None and _unsettled(version, now) > 0 else ""
    # §8.8.2.1: not later than the Date of the response. §8.8.2.2: strong after a second has passed.
    date = max(0, min(modified, now) // _SECOND)
    return Validators(weak + tag, date, settled=now - modified > _COARSE)


def settle(version: Version) -> Version:
    """Wait for the end of a tick that is soon over, so that the next change makes another version."""
    wait = _unsettled(version, time.time_ns()) if version.tag is None else 0
    if 0 < wait <= _TICK:
        time.sleep(wait / _SECOND)
    return version


def _unsettled(version: Version, now_ns: int) -> int:
    """Return for how many nanoseconds the file can still change and keep its version; 0 or less: none."""
    written = version.modified_ns
    if version.status_changed_ns is not None:
        written = min(written, version.status_changed_ns)
    return written + (_TICK if written % _SECOND else _COARSE) - now_ns
