"""The sentinel: a thread that sees whether a call of the app holds up the loop, and promotes a follower.

While the app is called it looks every ``TICK``; a call seen twice is slow. Some time after the last call it
sleeps, and the next call wakes it, so that a server without work is not woken for nothing. It also looks
after the calls on other threads, when one of them is to be logged or written off; see ``timeouts``.
"""

from __future__ import annotations

import math
from typing import Generic

from wsgiserve.server.refusals import report
from wsgiserve.server.system import monotonic
from wsgiserve.server.threads.alarm import TICK, Alarm
from wsgiserve.server.threads.calls import E
from wsgiserve.server.threads.leadership import Leadership
from wsgiserve.server.threads.timeouts import Timeouts

CALM_TICKS = round(0.1 / TICK)  # looks without a call in progress after which it sleeps


class Sentinel(Generic[E]):
    """The sentinel of one server."""

    def __init__(self, leadership: Leadership[E], timeouts: Timeouts[E]) -> None:
        self._leadership = leadership
        self._timeouts = timeouts
        self._alarm: Alarm = leadership.alarm
        self._give_up_at = math.inf

    def watch(self) -> None:
        """Look on until the server has stopped. On the main thread, signals are handled in here."""
        leadership = self._leadership
        seen: object | None = None
        calm = 0
        while not leadership.stopped and (now := monotonic()) < self._give_up_at:
            if now >= leadership.calls.due:
                self._look_after_calls()
            call = leadership.inline
            if leadership.vacant or (call is not None and call is seen):
                leadership.promote()
            calm = calm + 1 if call is None and not leadership.vacant else 0
            seen = call
            if calm < CALM_TICKS:
                self._alarm.sleep(TICK)
            else:
                self._sleep_until_called()
                calm = 0

    def _look_after_calls(self) -> None:
        try:
            self._timeouts.look()
        except Exception:  # noqa: BLE001 - it has to look on
            report("giving up a request failed")

    def watch_on(self) -> None:
        """Look on for the calls that still run when the first ``watch`` has given up."""
        self._give_up_at = math.inf
        self.watch()

    def give_up_at(self, moment: float) -> None:
        """Let ``watch`` end at that moment even if the loop is not over; safe in a signal handler."""
        self._give_up_at = moment
        self._alarm.ring()

    def _sleep_until_called(self) -> None:
        leadership = self._leadership
        self._alarm.fall_asleep()
        self._alarm.sleep(TICK)  # A call that began before it could see us asleep can be seen a tick later.
        # The alarm may have ended this sleep: look at its reasons here too.
        calm = leadership.inline is None and not leadership.vacant and not leadership.stopped
        if calm and self._alarm.asleep:
            until = min(self._give_up_at, leadership.calls.due)
            self._alarm.sleep(max(0.0, until - monotonic()) if until < math.inf else None)
        self._alarm.wake_up()
