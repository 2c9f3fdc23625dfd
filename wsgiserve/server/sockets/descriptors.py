"""The soft limit of open files: raised once connections need more descriptors, and only in a program of ours.

Programs that the app starts inherit it. Some cannot use descriptors above 1023 (``select``), others close
every descriptor that they might have. So it stays as it is until half of the descriptors are in use. In a
child that the app forks it is restored. A program that ``subprocess`` starts after the raise inherits the
higher limit: Python calls nobody there.
"""

from __future__ import annotations

import math
import os

try:
    import resource
except ImportError:  # Windows has no such limit.
    resource = None  # type: ignore[assignment]  # asked for before it is used

_may_raise = False
_before: int | None = None  # the soft limit, once it is raised


def let_raise() -> None:
    """Allow it: this process is a program of ours."""
    global _may_raise
    _may_raise = resource is not None


def ample_below() -> float:
    """Return the descriptor from which on the limit should be raised; inf if it cannot be."""
    if not _may_raise:
        return math.inf
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if soft in (hard, resource.RLIM_INFINITY) else soft // 2


def raise_limit() -> bool:
    """Raise the soft limit to the hard one; False if there is nothing to gain."""
    global _before, _may_raise
    if ample_below() == math.inf:
        return False
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # Some systems name a limit that they do not grant.
        _may_raise = False
        return False
    _before = soft if _before is None else _before
    return True


def _restore_in_child() -> None:
    if _before is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (_before, hard))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restore_in_child)
