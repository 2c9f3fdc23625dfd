"""How slow a client may be: with the body that it sends, and with the response that it reads.

Looking costs time, so it is done once an interval: each ``stall_timeout`` seconds of waiting. In each
interval the client has to move some bytes, and it has a credit of waiting time: waiting spends the credit,
and each byte earns the time in which ``min_rate`` would move it. The credit begins at one interval, and is
never more than one, however fast the client was before. So a client that stops, or goes on with a byte now
and then, is given up within three intervals; one that keeps the rate is not, though it moves its bytes in
bursts.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from wsgiserve.server.system import monotonic


class Absolute:
    """The wait for a request head: its deadline is absolute, so more bytes do not buy more time."""

    def put_off(self, seconds: float) -> None:
        """Have nothing to put off but the deadline, which the connection knows."""

    def too_slow(self, progress: Callable[[], int]) -> bool:
        """Say that the time is up."""
        return True


ABSOLUTE = Absolute()


class Pace:
    """The wait for one client, which begins now, at ``start`` bytes; see ``too_slow``."""

    __slots__ = ("_credit", "_interval", "_rate", "_seen", "_since", "_waited")

    def __init__(self, stall_timeout: float, min_rate: int, start: int) -> None:
        self._interval = self._credit = stall_timeout
        self._rate = min_rate
        self._seen = start
        self._since = monotonic()
        self._waited = 0.0  # seconds since the last look

    def resume(self) -> float:
        """Wait again, after time that does not count; return the seconds until the next look."""
        self._since = monotonic()
        return self._interval - self._waited

    def put_off(self, seconds: float) -> None:
        """Leave out of the wait a time in which nobody could look."""
        self._since += seconds

    def too_slow(self, progress: Callable[[], int]) -> bool:
        """Count the time since the last call as waited; at the end of an interval, judge the client by it.

        ``progress`` counts the bytes that the client has moved, from the same zero as ``start``. It is called
        for a look only.
        """
        now = monotonic()
        self._waited += now - self._since
        self._since = now
        if self._waited < self._interval:
            return False
        before, self._seen = self._seen, progress()
        moved = self._seen - before
        credit = self._credit - self._waited + self._seconds_for(moved)
        self._credit = min(credit, self._interval)
        self._waited = 0.0
        return moved <= 0 or credit < 0

    def _seconds_for(self, count: int) -> float:
        return count / self._rate if self._rate else math.inf
