"""Writes the lines of the access log that workers have left behind, in the supervisor.

Rule: what a worker has left stays in its pages until it is written. If the system lacks descriptors or memory
for that, which may be why the worker has ended, it is tried again.
"""

from __future__ import annotations

import logging
import math
from collections import deque

from wsgiserve.processes.children import SHORT_WAIT
from wsgiserve.server.access_log import tell_lost, write_left
from wsgiserve.server.errors import reason_of
from wsgiserve.server.log_pages import Shelf

logger = logging.getLogger("wsgiserve")


class LastLines:
    """The last lines of workers whose pages are on a shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._waiting: deque[tuple[int, bytes, str]] = deque()
        self.next_at = math.inf  # when to call ``look``

    def add(self, worker: int, cut: bytes, destination: str, now: float) -> None:
        """Write what a worker has left, and the lines of requests that its end has ``cut``."""
        self._waiting.append((worker, cut, destination))
        if math.isinf(self.next_at):
            self.look(now)

    def look(self, now: float) -> None:
        """Write what waits, as far as the system has what that takes."""
        try:
            while self._waiting:
                worker, cut, destination = self._waiting[0]
                write_left(self._shelf.left(worker), cut, destination)
                self._forget_first()
            self.next_at = math.inf
        except (OSError, MemoryError) as error:
            is_new, self.next_at = math.isinf(self.next_at), now + SHORT_WAIT
            if is_new:
                reason = reason_of(error)
                logger.error("the last lines of a worker cannot be logged, which is tried again: %s", reason)

    @property
    def wait(self) -> bool:
        """Whether lines wait to be written."""
        return bool(self._waiting)

    def finish(self, now: float) -> None:
        """Write what waits for the last time; what cannot be written is lost."""
        self.look(now)
        while self._waiting:
            worker, cut, _ = self._waiting[0]
            tell_lost(self._shelf.count_left(worker) + cut.count(b"\n"))
            self._forget_first()
        self.next_at = math.inf

    def _forget_first(self) -> None:
        worker, _, _ = self._waiting.popleft()
        self._shelf.give_back(worker)
