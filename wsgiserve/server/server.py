"""A server from outside: make it, serve, stop it.

The thread that calls ``serve`` becomes the sentinel; the loop and the app run on threads that are started
as needed. On the main thread SIGINT and SIGTERM stop the server: once to let running requests finish, twice
to end at once.
"""

from __future__ import annotations

import logging
import os
import signal
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from wsgiserve import starting
from wsgiserve.config import Config, ConfigError, make_config, refuse_command_options
from wsgiserve.config.binds import host_port
from wsgiserve.forks import ending_children
from wsgiserve.server import lifespan, shutdown
from wsgiserve.server.errors import StartError, refused
from wsgiserve.server.http.gateway import Gateway
from wsgiserve.server.log_pages import OpenPage
from wsgiserve.server.loop import EventLoop
from wsgiserve.server.scoreboard import Board, Row
from wsgiserve.server.snapshot import Snapshot
from wsgiserve.server.sockets.listener import Listener, certificates_of, open_listeners
from wsgiserve.server.sockets.poller import make_poller
from wsgiserve.server.system import monotonic, start_thread

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from _typeshed.wsgi import WSGIApplication

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
NAMED = 10  # of the requests that were cut, in the log

logger = logging.getLogger("wsgiserve")


class Server:
    """Serve a WSGI application.

    ``host`` and ``port`` name one address, or ``bind`` several as ``HOST:PORT``, ``unix:/path`` or
    ``fd://3``; port 0 lets the system choose. The other options are the fields of
    :class:`wsgiserve.config.Config`; a ready ``config`` stands for all of them. A wrong
    option raises ``ConfigError`` (a ValueError), an address that cannot be had ``ListenError`` (an OSError).

    As a context manager the server runs in background threads, and stops at the end of the block::

        with Server(app, port=0) as server:
            urllib.request.urlopen(server.url)
    """

    make_poller = staticmethod(make_poller)  # a subclass may have another one

    def __init__(
        self,
        app: WSGIApplication,
        host: str = "127.0.0.1",
        port: int = 8000,
        *,
        config: Config | None = None,
        **options: Any,
    ) -> None:
        if not callable(app):
            raise TypeError(f"a WSGI app is a callable, not {app!r}")
        self.app = app
        self.config = config or _make_config(host, port, options)
        self.listeners: list[Listener] = []
        self._loop: EventLoop | None = None
        self._stop_asked = False  # perhaps before there was a loop
        self._beat: tuple[Callable[[], object], float] | None = None
        self._worn_out: Callable[[int], None] | None = None
        self._row: Row | None = None  # other processes accept from the listeners too
        self._board: Board | None = None
        self._alone = True  # none serves the app at the same time
        self._pages: tuple[OpenPage, OpenPage] | None = None  # that outlive the process
        self._process = 0  # whose server it is, once it serves
        # after the end
        self.over = False
        self.cut: list[str] = []  # the requests that were cut, method and path
        self.time_is_up = 0.0  # when running requests were to be cut, in monotonic seconds
        self.hurried = False  # it was to end at once

    @property
    def stop_asked(self) -> bool:
        """Whether it is to stop, perhaps before it has begun to serve."""
        return self._stop_asked

    @property
    def urls(self) -> list[str]:
        """One URL for each address, with the real port; [] before ``open`` and after the end.

        The URL of a Unix socket is ``unix:/path``.
        """
        return [listener.url for listener in self.listeners]

    @property
    def url(self) -> str:
        """The first of ``urls``."""
        return self._first().url

    @property
    def port(self) -> int:
        """The real port of the first address; 80 for a Unix socket."""
        return self._first().port

    def _first(self) -> Listener:
        if not self.listeners:
            raise RuntimeError("the server does not listen; open() it, serve, or use it in a with block")
        return self.listeners[0]

    def open(self, *, throw_away: str = "") -> None:
        """Listen, without serving yet: clients may connect, and are answered once the server runs.

        ``throw_away`` is the pair of ``tls_self_signed`` in PEM, where another process has made it.
        """
        if not self.listeners:
            self.listeners = open_listeners(self.config, throw_away=throw_away)

    def beat(self, call: Callable[[], object], seconds: float) -> None:
        """Have the loop call ``call`` about every ``seconds``, as long as it turns."""
        self._beat = (call, seconds)

    def on_worn_out(self, call: Callable[[int], None]) -> None:
        """Call ``call`` once so many threads are lost that the process should be replaced."""
        self._worn_out = call

    def show_on(self, board: Board | None) -> None:
        """Count requests, and show what is going on, on a board."""
        self._board = board

    def open_shared(
        self,
        listeners: list[Listener],
        row: Row,
        *,
        alone: bool,
        pages: tuple[OpenPage, OpenPage] | None = None,
    ) -> None:
        """Use listeners that other processes use too, in place of ``open``; ``alone`` if no other serves.

        ``pages`` are for the access log.
        """
        self.listeners = listeners
        self._row = row
        self._alone = alone
        self._pages = pages

    def serve(
        self,
        *,
        ready: Callable[[], None] | None = None,
        stopping: Callable[[int], None] | None = None,
        afterwards: Callable[[], object] | None = None,
    ) -> bool:
        """Serve until stopped; True if every request was finished, False if some were cut at the end.

        ``ready`` is called once all is there that serving takes, and the stop signals are heeded; if it
        raises, nothing is served. ``stopping`` is called in the handler of the first signal, with the number
        of requests that are still running. ``afterwards`` is called for each stop signal that comes when
        serving is over; without it the handlers of before are restored. StartError if the system refuses a
        descriptor, memory or a thread.
        """
        starting.refuse()
        with self._signals(stopping, afterwards):
            loop = self._prepare()
            if ready is not None:
                try:
                    ready()
                except BaseException:
                    self._abandon(loop)
                    raise
            return self._run(loop)

    def stop(self, *, hurry: bool = False, everywhere: bool = False) -> None:
        """Stop in good order, as ``shutdown`` describes; a second call, or ``hurry``, ends at once.

        ``everywhere`` says that all processes stop which share the listeners. Safe from any thread.
        """
        self._stop_asked = True
        deafens = everywhere or self._row is None
        loop = self._loop
        if loop is None:
            return
        before = loop.shutdown.plan
        if hurry or (before is not None and before.takes_in):
            self.hurried = True
            loop.stop(shutdown.hurry(deafens=deafens))
        else:  # A server that retires accepts no more, so there is nothing to delay for.
            delay = 0 if before is not None else self.config.drain_delay
            loop.stop(shutdown.drain(delay, self.config.graceful_timeout, deafens=deafens))

    def retire(self) -> None:
        """Leave new connections to other processes, and end when the open ones have ended.

        Open connections have most of the graceful timeout for one last request. Safe from any thread.
        """
        loop = self._loop
        if loop is not None and loop.shutdown.plan is None:
            loop.stop(shutdown.retire(self.config.graceful_timeout))

    def reopen_log(self) -> None:
        """Open the access log's file anew, as it was rotated; safe anywhere."""
        loop = self._loop
        if loop is not None and loop.gateway.access_log is not None:
            loop.gateway.access_log.reopen()

    def look_again(self) -> None:
        """Accept the connections that wait for a process that is gone. Safe from any thread."""
        loop = self._loop
        if loop is not None:
            loop.look_again()

    def running(self) -> int:
        """Count the requests that the app is working on, or that wait for it."""
        return self.snapshot().running

    def snapshot(self) -> Snapshot:
        """Look at the server as it runs; safe from any thread."""
        loop = self._loop
        return Snapshot() if loop is None else loop.snapshot()

    def __enter__(self) -> Server:
        lifespan.startup(self.app)
        loop = self._prepare()
        self._join = start_thread(self._run, loop, name="wsgiserve-sentinel")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if os.getpid() != self._process:
            return  # A process that was forked in the block leaves it.
        loop = self._loop
        if loop is not None and loop.shutdown.plan is None:
            self.stop()
        self._join(None)
        lifespan.shutdown(self.app)

    def _prepare(self) -> EventLoop:
        self.over = self.hurried = False
        self.open()
        try:
            board = self._board
            gateway = Gateway(
                self.app,
                self.config,
                alone=self._alone,
                pages=self._pages,
                tally=board and board.tally,
                in_flight=board and board.in_flight,
            )
        except OSError as error:
            self._close_listeners()
            text = f"wsgiserve: --access-log: cannot write {self.config.access_log}: {error.strerror}"
            raise StartError(text) from error
        except MemoryError as error:
            self._close_listeners()
            raise refused(error) from error
        try:
            self._loop = loop = EventLoop(
                gateway,
                self.listeners,
                self.config,
                self.make_poller(),
                row=self._row,
                worn_out=self._worn_out,
            )
            _loops.add(loop)
            loop.leadership.start()
        except (OSError, RuntimeError, MemoryError) as error:
            self._loop = None
            self._close_listeners()
            raise refused(error) from error
        self._process = os.getpid()
        if self._beat is not None:
            loop.beat(*self._beat)
        certificates = certificates_of(self.listeners)
        if certificates is not None and self._row is None:  # Else the supervisor looks at them.
            loop.look_after(certificates.look)
        if self._board is not None:
            loop.look_after(partial(loop.publish, self._board))
        return loop

    def _abandon(self, loop: EventLoop) -> None:
        """Let go of a loop that has not begun."""
        loop.leadership.abandon()
        loop.close()
        self._loop = None
        self.listeners = []

    def _close_listeners(self) -> None:
        for listener in self.listeners:
            listener.close()
        self.listeners = []

    def _run(self, loop: EventLoop) -> bool:
        leadership = loop.leadership
        loop.begin()
        if self._stop_asked and loop.shutdown.plan is None:
            self.stop()
        with ending_children(), loop.poller.bell.rung_by_signals():  # A signal handler of the app may fork.
            loop.sentinel.watch()
        self.over = True
        over = leadership.stopped
        plan = loop.shutdown.plan
        self.time_is_up = monotonic() if plan is None else plan.cutting
        self.cut = [] if over else loop.connections.unfinished(leadership.inline)
        if self.cut:
            _log_cut(self.cut)
        log = loop.gateway.access_log
        if over:
            loop.close()
            if log is not None:  # Only now: a leader that still runs may be writing it.
                log.close()
        else:  # The loop goes on for the threads that are still in the app.
            loop.connections.log_unfinished(leadership.inline)
            if log is not None:
                log.flush()
            start_thread(_wait_for_the_rest, loop, name="wsgiserve-sentinel")
        self._loop = None
        self._stop_asked = False
        self.listeners = []
        return not self.cut

    @contextmanager
    def _signals(
        self, stopping: Callable[[int], None] | None, afterwards: Callable[[], object] | None
    ) -> Iterator[None]:
        """Have the stop signals call ``stop``, on the main thread: Python allows handlers only there."""

        def on_signal(number: int, frame: FrameType | None) -> None:
            loop = self._loop
            if afterwards is not None and (self.over or (loop is not None and loop.leadership.stopped)):
                afterwards()
                return
            if stopping is not None and loop is not None and loop.shutdown.plan is None:
                stopping(self.running())
            self.stop()

        try:
            for number in STOP_SIGNALS:
                _handlers_before[number] = signal.signal(number, on_signal) or signal.SIG_DFL
            if hasattr(signal, "pthread_sigmask"):  # The app may have blocked them.
                signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        except ValueError:
            pass  # Another thread.
        try:
            yield
        finally:
            if afterwards is None:
                restore_handlers()


def _make_config(host: str, port: int, options: dict[str, Any]) -> Config:
    refuse_command_options(options)
    if options.get("domain"):
        text = "is for programs: the command, and app.run(); name the files of a certificate with cert"
        raise ConfigError("domain", text)
    options.setdefault("bind", host_port(host, port))
    options.setdefault("access_log", False)  # A library writes nothing that was not asked for.
    return make_config(**options)


# The handlers of the stop signals before a server on the main thread set its own.
_handlers_before: dict[signal.Signals, Callable[..., Any] | int] = {}


def restore_handlers() -> None:
    """Restore the handlers of the stop signals, also after a server that was the last."""
    while _handlers_before:
        signal.signal(*_handlers_before.popitem())


_loops: weakref.WeakSet[EventLoop] = weakref.WeakSet()


def _leave_in_child() -> None:
    restore_handlers()
    for loop in list(_loops):
        loop.leave()


if hasattr(os, "register_at_fork"):
    # A child that the app forks serves nothing: signals get their usual handlers there.
    os.register_at_fork(after_in_child=_leave_in_child)


def _log_cut(requests: list[str]) -> None:
    named = ", ".join(requests[:NAMED]) + (", …" if len(requests) > NAMED else "")
    count = "1 unfinished request was" if len(requests) == 1 else f"{len(requests)} unfinished requests were"
    logger.error("stopped; %s cut: %s", count, named)


def _wait_for_the_rest(loop: EventLoop) -> None:
    loop.sentinel.watch_on()
    loop.close()
    if loop.gateway.access_log is not None:
        loop.gateway.access_log.close()


def serve(app: WSGIApplication, **options: Any) -> bool:
    """Serve ``app`` until SIGINT or SIGTERM: ``Server(app, **options).serve()``.

    Prints nothing, and writes no access log by default; programs use ``wsgiserve.server.program.run``.
    """
    server = Server(app, **options)
    lifespan.startup(app)
    try:
        return server.serve()
    finally:
        lifespan.shutdown(app)
