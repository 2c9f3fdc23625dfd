"""What the sentinel does about calls that take too long: it logs them, or writes them off.

A call is finished by its thread, or written off in here, never both: that is decided under the mutex. One
that is written off owns nothing any more. Its client is answered in its place, its slot is passed on, and its
thread ends when it comes back.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from wsgiserve.server.faults import report
from wsgiserve.server.http.exchange import Exchange
from wsgiserve.server.threads.timeouts import Call, Calls, place

logger = logging.getLogger("wsgiserve")


class Taking(Protocol):
    """What is asked of the loop."""

    def take_over(self, exchange: Exchange) -> Callable[[], None]:
        """Take the connection away from a thread that is written off; return what answers the client."""


class Leading(Protocol):
    """What is asked of the leadership."""

    mutex: threading.Lock
    calls: Calls

    @property
    def loop(self) -> Taking:
        """The loop that it leads."""

    def pass_slot_on(self, exchange: Exchange) -> None:
        """Let the next in line have the slot of a call that was written off."""


class Overdue:
    """Sees to the calls of one server. ``quota`` is how many may be lost before the process is worn out."""

    def __init__(self, leadership: Leading, quota: int) -> None:
        self._leadership = leadership
        self._quota = quota
        self.worn_out: Callable[[int], None] = _warn_of_losses  # called once, with how many are lost
        self._is_worn_out = False

    def see_to_calls(self) -> None:
        """Log what is slow, write off what is overdue."""
        leadership = self._leadership
        with leadership.mutex:  # Until it is let go, no call ends.
            slow, overdue = leadership.calls.take_due()
            places = {call: place(call.thread) for call in (*slow, *overdue)}
            answers = {call: leadership.loop.take_over(call.exchange) for call in overdue}
            for call in overdue:
                leadership.calls.interrupt(call)
        for call in slow:
            logger.warning("%s has run for %.1f s; it is at %s", call, _age(call), places[call])
        for call in overdue:
            self._replace(call, answers[call])
            logger.error(
                "%s ran for %.1f s, longer than --request-timeout; its thread is given up at %s",
                call,
                _age(call),
                places[call],
            )
        lost = len(leadership.calls.written_off)
        if lost > self._quota and not self._is_worn_out:
            self._is_worn_out = True
            self.worn_out(lost)

    def _replace(self, call: Call, give_answer: Callable[[], None]) -> None:
        try:
            give_answer()
        except Exception:  # noqa: BLE001 - it costs one connection, not a slot
            report("answering for a request that was given up failed")
        self._leadership.pass_slot_on(call.exchange)


def _age(call: Call) -> float:
    return monotonic() - call.began


def _warn_of_losses(lost: int) -> None:
    """Say that too many threads were given up and have not come back; a supervisor does more."""
    logger.critical(
        "%d threads were given up and still run, with all that they hold; restart the server, and see that "
        "the app waits for nothing without a timeout",
        lost,
    )
