"""The sentinel's alarm clock: whoever calls the app rings it if the sentinel is asleep.

With the GIL, a call that computes gains nothing from a second thread, so only a call that lasts is slow.
Without it another processor could serve the next request meanwhile, so the sentinel looks more often.
"""

from __future__ import annotations

import queue

from wsgiserve.server.system import HAS_GIL, Empty, SimpleQueue

TICK = 0.005 if HAS_GIL else 0.001  # seconds between two looks of the sentinel: a longer call is slow


class Alarm:
    """``asleep`` tells whether the sentinel waits for a ring, and for nothing else."""

    def __init__(self) -> None:
        self.asleep = False
        self._rings: queue.SimpleQueue[None] = SimpleQueue()

    def ring(self) -> None:
        """End the sleep; safe from any thread and in a signal handler."""
        self.asleep = False
        self._rings.put(None)

    def sleep(self, seconds: float | None) -> None:
        """Sleep until the next ring, at most so long."""
        try:
            self._rings.get(timeout=seconds)
        except Empty:
            pass

    def fall_asleep(self) -> None:
        """Ask to be woken by the next call of the app."""
        self.asleep = True

    def wake_up(self) -> None:
        """Need no ring any more."""
        self.asleep = False
