"""The queue of exchanges that wait for a thread, and the log lines about those that are shed.

The leadership's mutex guards it. Only the leader adds to it, apart from a task whose thread the system
refused.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Generic

from wsgiserve.server.refusals import ShortageLog
from wsgiserve.server.system import monotonic
from wsgiserve.server.threads.calls import Board, E, NoBoard


class Queue(Generic[E]):
    """At most ``size`` exchanges, each for ``seconds`` at most; oldest first."""

    def __init__(
        self, size: float = math.inf, seconds: float = math.inf, board: Board[E] | None = None
    ) -> None:
        self._board: Board[E] = board or NoBoard()
        self._size = size
        self._seconds = seconds
        self.exchanges: deque[E] = deque()
        self._full = ShortageLog(
            "no thread is free and the queue for one is full (--max-queue %d); answered 503 so far: %d; "
            "raise --threads or --max-queue, or make the app faster"
        )
        self._overdue = ShortageLog(
            "requests waited for a thread for --queue-timeout, %g s; answered 503 so far: %d; "
            "raise --threads, or make the app faster"
        )

    def __len__(self) -> int:
        return len(self.exchanges)

    @property
    def is_full(self) -> bool:
        """Whether no other exchange may wait."""
        return len(self.exchanges) >= self._size

    def add(self, exchange: E) -> None:
        """Let an exchange wait, also if the queue is full."""
        exchange.wait(monotonic() + self._seconds)
        self.exchanges.append(exchange)
        self._board.put(exchange, "waiting")

    def take(self) -> E | None:
        """Take the oldest one out; None if there is none."""
        return self._next() if self.exchanges else None

    def _next(self) -> E:
        exchange = self.exchanges.popleft()
        self._board.take(exchange)
        return exchange

    def take_until(self, moment: float) -> list[E]:
        """Take out those whose time is up at that moment, in monotonic seconds."""
        taken = []
        while self.exchanges and self.exchanges[0].waits_until <= moment:
            taken.append(self._next())
        return taken

    def tell_full(self) -> None:
        """Log that a request found no room; for the leader."""
        self._full.add(self._size)

    def tell_overdue(self) -> None:
        """Log that a request waited in vain; for the leader."""
        self._overdue.add(self._seconds)
