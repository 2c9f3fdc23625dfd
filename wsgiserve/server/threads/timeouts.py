"""Calls that take too long: the slow ones are logged, the overdue ones are written off.

A call is finished by its thread, or written off in here, never both: the mutex decides. A call that is
written off owns nothing any more. Its client is answered in its place, its slot is passed on, and its thread
ends when it comes back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic

from wsgiserve.server.refusals import report
from wsgiserve.server.threads.calls import Call, E, place
from wsgiserve.server.threads.leadership import Leadership

logger = logging.getLogger("wsgiserve")


class Timeouts(Generic[E]):
    """Looks after the calls of one server.

    ``worn_out`` is called once, with their number, when more threads than the cap are lost.
    """

    def __init__(self, leadership: Leadership[E], worn_out: Callable[[int], None] | None = None) -> None:
        self._leadership = leadership
        self._quota = leadership.cap
        self._worn_out = worn_out or _warn_of_losses
        self._is_worn_out = False

    def look(self) -> None:
        """Log the slow calls, write off the overdue ones."""
        leadership = self._leadership
        with leadership.mutex:  # Until it is released, no call ends.
            slow, overdue = leadership.calls.take_due()
            places = {call: place(call.thread) for call in (*slow, *overdue)}
            answers = {call: leadership.owner.take_over(call.exchange) for call in overdue}
            for call in overdue:
                leadership.calls.interrupt(call)
        for call in slow:
            logger.warning("%s has run for %.1f s; it is at %s", call, call.age, places[call])
        for call in overdue:
            self._replace(call, answers[call])
            logger.error(
                "%s ran for %.1f s, longer than --request-timeout; its thread is given up at %s",
                call,
                call.age,
                places[call],
            )
        lost = len(leadership.calls.written_off)
        if lost > self._quota and not self._is_worn_out:
            self._is_worn_out = True
            self._worn_out(lost)

    def _replace(self, call: Call[E], give_answer: Callable[[], None]) -> None:
        try:
            give_answer()
        except Exception:  # noqa: BLE001 - it costs one connection, not a slot
            report("answering for a request that was given up failed")
        self._leadership.pass_slot_on(call.exchange)


def _warn_of_losses(lost: int) -> None:
    """Say that too many threads were given up and have not come back; a worker is replaced instead."""
    logger.critical(
        "%d threads were given up and still run, with all that they hold; restart the server, and see that "
        "the app waits for nothing without a timeout",
        lost,
    )
