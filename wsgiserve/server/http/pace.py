"""How slow a client may be: with the body that it sends, and with the response that it reads.

Looking costs time, so it is done once an interval: each ``stall_timeout`` seconds of waiting. In each
interval the client has to move some bytes, and after the first interval its bytes have to average
``min_rate``. Without the rate, a byte now and then would hold a connection, or a call of the app, for ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from wsgiserve.server.system import monotonic


class Pace:
    """The wait for one client, which begins now, at ``start`` bytes; see ``too_slow``."""

    __slots__ = ("_interval", "_look_at", "_rate", "_seen", "_since", "_start", "_waited")

    def __init__(self, stall_timeout: float, min_rate: int, start: int) -> None:
        self._interval = stall_timeout
        self._rate = min_rate
        self._start = self._seen = start
        self._since = monotonic()
        self._waited = 0.0
        self._look_at = stall_timeout  # in seconds waited, as is ``_waited``

    def resume(self) -> float:
        """Wait again, after time that does not count; return the seconds until the next look."""
        self._since = monotonic()
        return self._look_at - self._waited

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
        if self._waited < self._look_at:
            return False
        self._look_at = self._waited + self._interval
        before, self._seen = self._seen, progress()
        return self._seen <= before or self._waited > self._seconds_for(self._seen - self._start)

    def _seconds_for(self, count: int) -> float:
        return self._interval + count / self._rate if self._rate else math.inf
