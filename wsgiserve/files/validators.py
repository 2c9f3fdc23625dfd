"""Validators of a file (RFC 9110 §8.8): an entity tag and a date, both from what ``fstat`` says of it.

* The tag is made of the time of the last change, in nanoseconds, and the size; so replicas that were given
  the same times agree, wherever the folder stands there. The coding is part of it: the bytes of a coding are
  another representation (§8.8.3.3).
* A file that was changed a moment ago may change again without its clock moving on. Until that moment is over
  its tag is weak (§8.8.1). File systems take the time from the kernel's tick, 10 ms at most; where the time
  is a whole second, the file system may know no finer ones (FAT: two seconds).
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

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


class Version(NamedTuple):
    """What a change of a file changes: its time of change in nanoseconds, and its size in bytes."""

    modified_ns: int
    size: int

    @classmethod
    def of(cls, status: os.stat_result) -> Version:
        """Take it from what ``stat`` says."""
        return cls(status.st_mtime_ns, status.st_size)

    def unsettled(self, now_ns: int) -> int:
        """Return the nanoseconds for which the file can still change unnoticed; 0 or less if that is over."""
        resolution = _TICK if self.modified_ns % _SECOND else _COARSE
        return self.modified_ns + resolution - now_ns

    def settle(self) -> Version:
        """Wait, if that is soon over, until the version can be told from whatever comes behind it."""
        wait = self.unsettled(time.time_ns())
        if 0 < wait <= _TICK:
            time.sleep(wait / _SECOND)
        return self

    def validators(self, coding: str = "", now_ns: int | None = None) -> Validators:
        """Return the validators of the file in a coding, '' for the file as it is."""
        now = time.time_ns() if now_ns is None else now_ns
        modified, size = self
        tag = f'"{modified:x}-{size:x}{"-" if coding else ""}{coding}"'
        weak = "W/" if self.unsettled(now) > 0 else ""
        # §8.8.2.1: not later than the Date of the response. §8.8.2.2: strong once a second has passed.
        date = max(0, min(modified, now) // _SECOND)
        return Validators(weak + tag, date, settled=now - modified > _COARSE)
