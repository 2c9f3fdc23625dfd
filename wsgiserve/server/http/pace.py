"""How slow a client may be: with the body that it sends, and with the response that it takes.

Looking costs, so it is done once a term, ``stall_timeout`` seconds of waiting. In each term the client has to
have moved something; and what it moved since the wait began has to average ``min_rate``, after one term of
grace. Without the rate, a byte now and then would hold a connection, or a call of the app, for ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic

from wsgiserve.config import Config


class Pace:
    """The wait for one client, which begins now, at ``start``; see ``too_slow``."""

    __slots__ = ("_config", "_look_at", "_seen", "_since", "_start", "_waited")

    def __init__(self, config: Config, start: int) -> None:
        self._config = config
        self._start = self._seen = start
        self._since = monotonic()
        self._waited = 0.0
        self._look_at = config.stall_timeout  # in seconds waited, as is ``_waited``

    def resume(self) -> float:
        """Wait again, after a time that was not the client's; return the seconds until the next look."""
        self._since = monotonic()
        return self._look_at - self._waited

    def too_slow(self, progress: Callable[[], int]) -> bool:
        """Count the time since the last call as waited, and once a term is over judge the client by it.

        ``progress`` counts the bytes that it has moved, from wherever ``start`` did; it is called for a look
        only.
        """
        now = monotonic()
        self._waited += now - self._since
        self._since = now
        if self._waited < self._look_at:
            return False
        self._look_at = self._waited + self._config.stall_timeout
        before, self._seen = self._seen, progress()
        return self._seen <= before or self._waited > self._seconds_for(self._seen - self._start)

    def _seconds_for(self, count: int) -> float:
        rate = self._config.min_rate
        return self._config.stall_timeout + count / rate if rate else math.inf
