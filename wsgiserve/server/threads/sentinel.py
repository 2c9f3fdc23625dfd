"""The sentinel: a thread that looks whether a call of the app holds up the loop, and then promotes another.

While the app is called it looks every ``TICK``; a call seen twice is slow. A while after the last call it
sleeps, and the next call wakes it, so that a server without work is not woken for nothing. It also sees to
calls on other threads, when one of them is to be logged or written off; see ``calls``.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from typing import Protocol

from wsgiserve.server.faults import report

TICK = 0.005  # seconds between two looks: a longer call is slow
CALM_TICKS = 20  # looks without a call in progress after which it sleeps


class Watched(Protocol):
    """When there may be something to do about a call on another thread."""

    due: float


class SeesTo(Protocol):
    """Who knows what is to be done about it."""

    def see_to_calls(self) -> None:
        """Log what is slow, write off what is overdue."""


class Leading(Protocol):
    """What the sentinel looks at, and what it does about it; see ``Leadership``."""

    stopped: threading.Event
    vacant: bool

    @property
    def calls(self) -> Watched:
        """The calls on other threads."""

    @property
    def overdue(self) -> SeesTo:
        """Who sees to them."""

    @property
    def inline(self) -> object | None:
        """The leader's call in progress."""

    def promote(self) -> None:
        """Let a follower lead, unless somebody does."""


class Sentinel:
    """The sentinel of one server. Who calls the app sees to it that it is not ``asleep``; see ``wake``."""

    def __init__(self, leadership: Leading) -> None:
        self.asleep = False
        self._leadership = leadership
        self._alarm: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._give_up_at = math.inf

    def watch(self) -> None:
        """Look on until the server has stopped. On the main thread, signals are handled in here."""
        leadership = self._leadership
        seen: object | None = None
        calm = 0
        while not leadership.stopped.is_set() and (now := time.monotonic()) < self._give_up_at:
            if now >= leadership.calls.due:
                self._see_to_calls()
            call = leadership.inline
            if leadership.vacant or (call is not None and call is seen):
                leadership.promote()
            calm = calm + 1 if call is None and not leadership.vacant else 0
            seen = call
            if calm < CALM_TICKS:
                self._sleep(TICK)
            else:
                self._sleep_until_called()
                calm = 0

    def _see_to_calls(self) -> None:
        try:
            self._leadership.overdue.see_to_calls()
        except Exception:  # noqa: BLE001 - it has to look on
            report("giving up a request failed")

    def watch_on(self) -> None:
        """Look on for what is left when the first ``watch`` has given up."""
        self._give_up_at = math.inf
        self.watch()

    def give_up(self, seconds: float) -> None:
        """Let ``watch`` end in ``seconds`` even if the loop is not over; safe in a signal handler."""
        self._give_up_at = time.monotonic() + seconds
        self._alarm.put(None)

    def wake(self) -> None:
        """End the sleep: there is a call to look at, or the loop is over."""
        self.asleep = False
        self._alarm.put(None)

    def _sleep_until_called(self) -> None:
        leadership = self._leadership
        self.asleep = True
        self._sleep(TICK)  # A call that began before it could see us asleep can be seen a tick later.
        # What the alarm was for is looked at here too: this sleep may have been what it ended.
        calm = leadership.inline is None and not leadership.vacant and not leadership.stopped.is_set()
        if calm and self.asleep:
            until = min(self._give_up_at, leadership.calls.due)
            self._sleep(max(0.0, until - time.monotonic()) if until < math.inf else None)
        self.asleep = False

    def _sleep(self, seconds: float | None) -> None:
        try:
            self._alarm.get(timeout=seconds)
        except queue.Empty:
            pass
