"""The line of exchanges that wait for a slot, and what is answered to those that wait in vain.

It is guarded by the leadership's mutex. Only the leader adds to it, but for a task that was promised a slot.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from time import monotonic

from wsgiserve.server.http.exchange import Exchange
from wsgiserve.server.refusals import ShortageLog


class Line:
    """At most ``size`` exchanges, each for ``seconds`` at most; oldest first."""

    def __init__(self, size: float = math.inf, seconds: float = math.inf) -> None:
        self._size = size
        self._seconds = seconds
        self._waiting: deque[Exchange] = deque()
        self._full = ShortageLog(
            "no thread is free and the line for one is full (--max-queue %d); answered 503 so far: %d; "
            "raise --threads or --max-queue, or make the app faster"
        )
        self._overdue = ShortageLog(
            "requests waited for a thread for --queue-timeout, %g s; answered 503 so far: %d; "
            "raise --threads, or make the app faster"
        )

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Exchange]:
        return iter(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether nobody else may stand in it."""
        return len(self._waiting) >= self._size

    def add(self, exchange: Exchange) -> None:
        """Let an exchange wait, also if the line is full."""
        exchange.waits_until = monotonic() + self._seconds
        self._waiting.append(exchange)

    def take(self) -> Exchange:
        """Take the first one out."""
        return self._waiting.popleft()

    def take_until(self, moment: float) -> list[Exchange]:
        """Take out those whose time is up at that moment, in monotonic seconds."""
        taken = []
        while self._waiting and self._waiting[0].waits_until <= moment:
            taken.append(self._waiting.popleft())
        return taken

    def tell_full(self) -> None:
        """Log that one was turned away; for the leader."""
        self._full.add(self._size)

    def tell_overdue(self) -> None:
        """Log that one waited in vain; for the leader."""
        self._overdue.add(self._seconds)


def has_left(exchange: Exchange) -> bool:
    """Whether the client closed while its request waited in line: then nothing is to be done for it.

    A client may also have ended its sending side only, and still read (RFC 9112 §9.6 has servers do so). It
    cannot be told from one that gave up, of which there are many just when there is a line.
    """
    connection = exchange.connection
    connection.broken = connection.broken or connection.closed_by_client()
    return connection.broken
