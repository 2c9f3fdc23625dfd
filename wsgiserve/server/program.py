"""Serving as a program, in one process, with a terminal and an exit code.

``app.run()`` and ``wsgiserve files`` begin here. ``wsgiserve MODULE:NAME`` begins in
``wsgiserve.processes.command``, where worker processes serve.
"""

from __future__ import annotations

import atexit
import math
import os
import signal
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from wsgiserve import starting
from wsgiserve.config import Config, ConfigError, make_config, refuse_command_options
from wsgiserve.server import console, lifespan, server_log
from wsgiserve.server.departure import Departure
from wsgiserve.server.errors import ListenError
from wsgiserve.server.server import STOP_SIGNALS, Server, restore_handlers
from wsgiserve.server.server_log import log_to_stderr
from wsgiserve.server.sinks import check_destination, reason
from wsgiserve.server.sockets import descriptors
from wsgiserve.server.sockets.listener import Listener
from wsgiserve.server.sockets.systemd import Manager, inherited_descriptors

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from wsgiserve.acme.attendant import Attendant

PYTHONS_SWITCH_INTERVAL = 0.005  # seconds
SWITCH_INTERVAL = 0.0005  # with at most SWITCHING_THREADS threads
SWITCHING_THREADS = 64


def run(
    app: WSGIApplication,
    *,
    announcement: Callable[[list[Listener]], str] = console.where,
    port_option: str = 'bind="HOST:PORT"',
    **options: Any,
) -> None:
    """Serve in this process until SIGINT or SIGTERM, then return; the options are those of :class:`Server`.

    Write the announcement to standard output and the log to standard error, and tell the service manager, if
    there is one. An error that prevents serving is one line on standard error and SystemExit with its own
    code; so are requests that had to be cut at the end. ``port_option`` is how the user chooses another port.
    """
    starting.refuse()
    listen_where_passed(options)
    try:
        refuse_command_options(options)
        config = make_config(**options)
        require_logs(config)
    except ConfigError as error:
        console.fail_for_option(error)
    atexit.register(console.flush_output)
    departure = Departure(STOP_SIGNALS)
    try:
        serve_here(app, config, departure, announcement, port_option)
    finally:  # The caller's program goes on.
        departure.cancel()
        restore_handlers()


def serve_here(
    app: WSGIApplication,
    config: Config,
    departure: Departure,
    announcement: Callable[[list[Listener]], str] = console.where,
    port_option: str = console.BIND_OPTION,
    ready: Callable[[list[str]], object] = bool,
) -> None:
    """Serve as ``run`` does, and begin the departure of the process.

    ``ready`` is called with the URLs when it serves.
    """
    log_to_stderr(config)
    descriptors.let_raise()
    with closing(Manager(os.environ)) as manager:
        _serve_here(app, config, departure, manager, announcement, port_option, ready)


def _serve_here(
    app: WSGIApplication,
    config: Config,
    departure: Departure,
    manager: Manager,
    announcement: Callable[[list[Listener]], str],
    port_option: str,
    ready: Callable[[list[str]], object],
) -> None:
    server = Server(app, config=config)
    try:
        server.open()
    except ConfigError as error:
        console.fail_for_option(error)
    except ListenError as error:
        console.fail_to_listen(error, port_option)
    _reopen_on_signal(server)
    switch_threads_often(config.threads)
    if manager.beat_seconds < math.inf:
        server.beat(manager.alive, manager.beat_seconds)
    console.exit_without_app(partial(lifespan.checked_startup, app))

    attendant = _attendant(config)

    def begin() -> None:
        if attendant is not None:
            attendant.start()
        console.announce(announcement(server.listeners))
        manager.ready(f"Serving on {', '.join(server.urls)}")
        ready(server.urls)

    def stopping(running: int) -> None:
        manager.stopping()
        console.say_what_runs(config, running)

    serve = partial(server.serve, ready=begin, stopping=stopping, afterwards=departure.hurry)
    finished = console.exit_without_app(serve)
    if attendant is not None:
        attendant.stop()
    code = console.EXIT_STOPPED if finished else console.EXIT_CUT
    departure.begin(code, server.time_is_up, hurried=server.hurried)
    if not finished:
        console.complain(f"wsgiserve: {console.CUT_LINE}")
    lifespan.shutdown(app)
    if not finished:
        raise SystemExit(code)


def _attendant(config: Config) -> Attendant | None:
    """Return what keeps certificates by ACME; None without domains, when nothing of it is imported."""
    if not config.domain:
        return None
    from wsgiserve.acme.attendant import Attendant
    from wsgiserve.acme.options import settings_of

    return Attendant(settings_of(config))


def require_logs(config: Config) -> None:
    """Configure logging; ConfigError if that fails, or if the access log cannot be written."""
    server_log.configure(config)
    try:
        check_destination(config.access_log)
    except OSError as error:
        raise ConfigError("access_log", reason(error, config.access_log)) from None


def _reopen_on_signal(server: Server) -> None:
    """Open the access log anew on SIGUSR1, unless the app has a use for that signal."""
    number = getattr(signal, "SIGUSR1", None)
    if number is not None and signal.getsignal(number) == signal.SIG_DFL:
        with suppress(ValueError):  # Another thread.
            signal.signal(number, lambda number, frame: server.reopen_log())


def listen_where_passed(options: dict[str, Any]) -> None:
    """Add the sockets that the service manager opened for us; they replace the default address.

    A socket that ``bind`` or ``redirect_http`` names already, perhaps with a scheme, is not added again.
    """
    passed = [f"fd://{descriptor}" for descriptor in inherited_descriptors(os.environ, os.getpid())]
    if passed:
        bind = options.get("bind", ())
        given = [bind] if isinstance(bind, str) else bind
        redirecting = options.get("redirect_http", ())
        named = (*given, *([redirecting] if isinstance(redirecting, str) else redirecting))
        left = [text for text in passed if not any(other.endswith(text) for other in named)]
        if left or given:
            options["bind"] = [*left, *given]


def switch_threads_often(threads: int) -> None:
    """Shorten Python's switch interval, so that a call that computes holds up others for less time.

    Each waiting thread wakes once an interval, so many threads need a longer one. An interval that the app
    has chosen stays.
    """
    interval = SWITCH_INTERVAL * max(1.0, threads / SWITCHING_THREADS)
    if interval < sys.getswitchinterval() == PYTHONS_SWITCH_INTERVAL:
        sys.setswitchinterval(interval)
