"""The calls of the app that are not the leader's: on which thread each is, since when, how long it may be.

A call is logged once when it is slow, and *written off* when it is overdue. Its thread cannot be ended, so it
is given up: if it is in the app, an exception is raised in it as soon as it runs Python code again. What
waits outside of Python, for a lock or for a socket without a timeout, does so until that comes back, perhaps
for ever.

All of it is guarded by the leadership's mutex, but ``due``, which the sentinel reads without.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from wsgiserve.server.errors import RequestTimeout
from wsgiserve.server.http.exchange import Exchange

TAKE_A_LOCK = ("acquire", "__enter__")
OURS = os.path.dirname(os.path.abspath(__file__))


@dataclass(eq=False, slots=True)
class Call:
    """A call on a thread of its own; ``began`` is monotonic seconds."""

    exchange: Exchange
    thread: int
    began: float
    logged: bool = False

    def __str__(self) -> str:
        request = self.exchange.request
        return f"{request.method} {request.path}"


class Calls:
    """The calls of one server. ``slow_log`` and ``timeout`` are seconds, 0 for never."""

    def __init__(self, slow_log: float = 0, timeout: float = 0) -> None:
        self._slow = slow_log or math.inf
        self._timeout = timeout or math.inf
        self._interrupt = _interrupter() if timeout else None
        self._running: dict[int, Call] = {}  # by thread
        self.written_off: dict[int, Call] = {}
        self.due = math.inf  # when there may be something to do, in monotonic seconds

    def enter(self, exchange: Exchange, thread: int) -> bool:
        """Add a call that begins, or goes on without the leader; True if something is due earlier by it."""
        began = monotonic()
        self._running[thread] = Call(exchange, thread, began)
        due = began + min(self._slow, self._timeout)
        earlier = due < self.due
        if earlier:
            self.due = due
        return earlier

    def leave(self) -> None:
        """End this thread's call; raise RequestTimeout if it was written off."""
        me = threading.get_ident()
        self._running.pop(me, None)
        if me in self.written_off:
            raise RequestTimeout

    def take_due(self) -> tuple[list[Call], list[Call]]:
        """Return the calls to be logged and those to be written off, each once."""
        now = monotonic()
        slow, overdue = [], []
        for call in list(self._running.values()):
            if now >= call.began + self._timeout:
                self.written_off[call.thread] = self._running.pop(call.thread)
                overdue.append(call)
            elif now >= call.began + self._slow and not call.logged:
                call.logged = True
                slow.append(call)
        self.due = min(map(self._due, self._running.values()), default=math.inf)
        return slow, overdue

    def _due(self, call: Call) -> float:
        return call.began + (self._timeout if call.logged else min(self._slow, self._timeout))

    def interrupt(self, call: Call) -> None:
        """Raise RequestTimeout in a call's thread once that runs Python code, where that does no harm."""
        if self._interrupt is not None and _is_in_the_app(call.thread):
            self._interrupt(call.thread)


def _is_in_the_app(thread: int) -> bool:
    """Whether a thread runs the app's code, and neither ours nor what may just be taking a lock.

    Ours ends by itself, since its socket leads nowhere. A lock that is taken when the exception comes, ahead
    of what lets it go again, stays taken: with one of logging's, whoever logs would wait for ever.
    """
    frame = sys._current_frames().get(thread)
    if frame is None or frame.f_code.co_name in TAKE_A_LOCK or _is_ours(frame.f_code.co_filename):
        return False
    while frame is not None and frame.f_code.co_filename != logging.__file__:
        frame = frame.f_back
    return frame is None


def place(thread: int) -> str:
    """Tell where a thread is in the app, innermost first, without our own frames."""
    frame = sys._current_frames().get(thread)
    places = []
    while frame is not None and not (frame.f_code.co_name == "run" and _is_ours(frame.f_code.co_filename)):
        if not _is_ours(frame.f_code.co_filename):
            places.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(places) or "the server, which sends or receives for it"


def _is_ours(path: str) -> bool:
    return os.path.dirname(path) == OURS


def _interrupter() -> Callable[[int], object] | None:
    """Return what raises RequestTimeout in a thread; None where the interpreter cannot."""
    try:
        import ctypes

        raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    except (ImportError, AttributeError):
        return None
    return lambda thread: raise_in(ctypes.c_ulong(thread), ctypes.py_object(RequestTimeout))
