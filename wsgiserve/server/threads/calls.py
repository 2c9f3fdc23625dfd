"""The calls of the app that do not run on the leader's thread: where each runs, and since when.

A call that takes too long is *written off*: its thread is given up, since Python cannot end a thread. If the
thread is in the app, an exception is raised in it as soon as it runs Python code again. A thread that waits
outside of Python, for a lock or for a socket without a timeout, sees the exception when that returns, perhaps
never.

The leadership's mutex guards everything in here, except ``due``, which the sentinel reads without it.
"""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Callable
from typing import Generic, Literal, Protocol, TypeVar

from wsgiserve.server.errors import RequestTimeout
from wsgiserve.server.system import get_ident, monotonic

TAKE_A_LOCK = ("acquire", "__enter__")
_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Files around the app, as opposed to our framework's, which are part of the app.
OURS = tuple(os.path.join(_PACKAGE, part, "") for part in ("server", "processes"))


class Request(Protocol):
    """The part of a request that tells its kind."""

    method: str
    path: str


class Exchange(Protocol):
    """One request and the call of the app for it, as the threads see it."""

    @property
    def request(self) -> Request:
        """The request."""

    @property
    def reader(self) -> object | None:
        """There while the request's body is still arriving."""

    id: str  # "" if it has none
    detached: bool  # it runs on a thread of its own
    waits_until: float  # monotonic seconds, while it waits for a thread

    def run(self) -> None:
        """Call the app and send its answer."""

    def shed(self, detail: str) -> None:
        """Answer 503 in place of the app."""

    def cut(self) -> None:
        """End the connection: a bug of ours came in between."""

    def bury(self) -> None:
        """Close the connection: its thread was written off, and has come back."""

    def leave(self) -> None:
        """Close the connection's descriptors in a process that the app forked."""

    def detach(self) -> None:
        """Set ``detached``."""

    def attach(self) -> None:
        """Clear ``detached``."""

    def wait(self, until: float) -> None:
        """Set ``waits_until``."""

    def got_thread(self, now: float) -> None:
        """Note that it waits no more, and runs from now on, in monotonic seconds."""

    def client_has_left(self) -> bool:
        """Whether the client closed the connection while the request waited."""


Phase = Literal["waiting", "app", "given up"]


E = TypeVar("E", bound=Exchange)
B = TypeVar("B", bound=Exchange, contravariant=True)


class Board(Protocol[B]):
    """Where somebody may see which exchanges are in flight; the mutex is held."""

    def lead(self, thread: int) -> None:
        """Name the leader's thread."""

    def put(self, exchange: B, phase: Phase, thread: int = 0) -> None:
        """Show an exchange in this phase, which may be shown already."""

    def take(self, exchange: B) -> None:
        """Show it no more."""


class NoBoard:
    """Nobody looks."""

    def lead(self, thread: int) -> None:
        """Do nothing."""

    def put(self, exchange: object, phase: Phase, thread: int = 0) -> None:
        """Do nothing."""

    def take(self, exchange: object) -> None:
        """Do nothing."""


class Call(Generic[E]):
    """A call on a thread of its own; ``began`` is monotonic seconds."""

    __slots__ = ("began", "exchange", "logged", "thread")

    def __init__(self, exchange: E, thread: int, began: float) -> None:
        self.exchange = exchange
        self.thread = thread
        self.began = began
        self.logged = False

    def __str__(self) -> str:
        request = self.exchange.request
        id = f" [{self.exchange.id}]" if self.exchange.id else ""
        return f"{request.method} {request.path}{id}"

    @property
    def age(self) -> float:
        """The seconds since it began."""
        return monotonic() - self.began

    def take_note(self) -> None:
        """Remember that it is logged as slow."""
        self.logged = True


class Calls(Generic[E]):
    """The calls of one server. ``slow_log`` and ``timeout`` are seconds, 0 for never."""

    def __init__(self, slow_log: float = 0, timeout: float = 0, board: Board[E] | None = None) -> None:
        self.board: Board[E] = board or NoBoard()
        self._slow = slow_log or math.inf
        self._timeout = timeout or math.inf
        self._interrupt = _interrupter() if timeout else None
        self._running: dict[int, Call[E]] = {}  # by thread
        self.written_off: dict[int, Call[E]] = {}
        self.due = math.inf  # when there may be something to do, in monotonic seconds

    def enter(self, exchange: E, thread: int) -> bool:
        """Add a call that begins, or that the leader leaves; True if it makes something due earlier."""
        began = monotonic()
        self._running[thread] = Call(exchange, thread, began)
        self.board.put(exchange, "app", thread)
        due = began + min(self._slow, self._timeout)
        earlier = due < self.due
        if earlier:
            self.due = due
        return earlier

    def leave(self) -> None:
        """End this thread's call; raise RequestTimeout if it was written off."""
        me = get_ident()
        call = self._running.pop(me, None)
        if call is not None:
            self.board.take(call.exchange)
        if me in self.written_off:
            raise RequestTimeout

    def take_due(self) -> tuple[list[Call[E]], list[Call[E]]]:
        """Return the calls to log as slow and those to write off, each once."""
        now = monotonic()
        slow, overdue = [], []
        for call in list(self._running.values()):
            if now >= call.began + self._timeout:
                self.written_off[call.thread] = self._running.pop(call.thread)
                self.board.put(call.exchange, "given up", call.thread)
                overdue.append(call)
            elif now >= call.began + self._slow and not call.logged:
                call.take_note()
                slow.append(call)
        self.due = min(map(self._due, self._running.values()), default=math.inf)
        return slow, overdue

    def forget(self, call: Call[E]) -> None:
        """The thread of a call that was written off has come back."""
        self.written_off.pop(call.thread, None)
        self.board.take(call.exchange)

    def running(self) -> list[E]:
        """Return the exchanges that run on threads of their own."""
        return [call.exchange for call in self._running.values()]

    def _due(self, call: Call[E]) -> float:
        return call.began + (self._timeout if call.logged else min(self._slow, self._timeout))

    def interrupt(self, call: Call[E]) -> None:
        """Raise RequestTimeout in a call's thread once that runs Python code, where that does no harm."""
        if self._interrupt is not None and _is_in_the_app(call.thread):
            self._interrupt(call.thread)


def _is_in_the_app(thread: int) -> bool:
    """Whether a thread runs the app's code, and cannot just be taking a lock.

    A thread in our code ends by itself, since its socket leads nowhere. A lock that is taken when the
    exception comes, before the statement that releases it is entered, stays taken: if that is a lock of
    logging, every thread that logs would wait for ever.
    """
    frame = sys._current_frames().get(thread)
    if frame is None or frame.f_code.co_name in TAKE_A_LOCK or frame.f_code.co_filename.startswith(OURS):
        return False
    while frame is not None and frame.f_code.co_filename != logging.__file__:
        frame = frame.f_back
    return frame is None


def place(thread: int) -> str:
    """Tell where a thread is in the app, innermost first, without our own frames."""
    frame = sys._current_frames().get(thread)
    places = []
    while frame is not None:
        code = frame.f_code
        ours = code.co_filename.startswith(OURS)
        if ours and code.co_name == "run":
            break  # ``Exchange.run``, below which the app begins
        if not ours:
            places.append(f"{code.co_filename}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return " < ".join(places) or "the server, which sends or receives for it"


def _interrupter() -> Callable[[int], object] | None:
    """Return a function that raises RequestTimeout in a thread; None where the interpreter cannot."""
    try:
        import ctypes

        raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    except (ImportError, AttributeError):
        return None
    return lambda thread: raise_in(ctypes.c_ulong(thread), ctypes.py_object(RequestTimeout))
