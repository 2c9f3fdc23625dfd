"""Serving as a program: what a terminal sees, and what the program's parent learns from its exit code."""

from __future__ import annotations

import logging
import math
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from wsgiserve.config import ConfigError
from wsgiserve.server.errors import ListenError
from wsgiserve.server.server import Server
from wsgiserve.server.systemd import Manager, inherited_descriptors

try:
    import resource
except ImportError:  # Windows has no such limit.
    resource = None  # type: ignore[assignment]  # asked for before it is used

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# What a program that serves may end with; 2 and 3 are also the command line's for its own faults.
EXIT_STOPPED = 0
EXIT_CUT = 1
EXIT_USAGE = 2
EXIT_NO_APP = 3
EXIT_CANNOT_LISTEN = 4

PYTHONS_SWITCH_INTERVAL = 0.005  # seconds
SWITCH_INTERVAL = 0.0005  # with up to so many threads:
SWITCHING_THREADS = 64


def run(app: WSGIApplication, **options: Any) -> None:
    """Serve until SIGINT or SIGTERM, then return; the options are those of :class:`Server`.

    Announces the URL on standard output, logs to standard error, and tells the service manager, if there is
    one. What prevents serving is one line on standard error and a SystemExit with a code of its own, also
    requests that had to be cut at the end.
    """
    log_to_stderr()
    _raise_descriptor_limit()
    options.setdefault("access_log", True)
    listen_where_passed(options)
    manager = Manager(os.environ)
    try:
        server = Server(app, **options)
        server.open()
    except ConfigError as error:
        flag = f"--{error.option.replace('_', '-')}: " if error.option else ""
        fail(f"{flag}{error.text}. See wsgiserve --help.", EXIT_USAGE)
    except ListenError as error:
        fail(str(error), EXIT_CANNOT_LISTEN)
    _switch_threads_often(server.config.threads)
    if manager.beat_seconds < math.inf:
        server.beat(manager.alive, manager.beat_seconds)

    def ready() -> None:
        _announce(server)
        manager.ready(f"Serving on {', '.join(server.urls)}")

    def stopping(running: int) -> None:
        manager.stopping()
        _say_what_runs(running)

    finished = server.serve(ready=ready, stopping=stopping, last=True)
    if not finished:
        fail("stopped with requests still running; they were cut", EXIT_CUT)


def listen_where_passed(options: dict[str, Any]) -> None:
    """Add the sockets that the service manager opened for us; the default address is none besides them."""
    passed = [f"fd://{descriptor}" for descriptor in inherited_descriptors(os.environ, os.getpid())]
    if passed:
        given = options.get("bind", ())
        options["bind"] = [*passed, *([given] if isinstance(given, str) else given)]


def fail(message: str, code: int) -> NoReturn:
    """Say on standard error why the program ends, and end it."""
    sys.stderr.write(f"wsgiserve: {message}\n")
    raise SystemExit(code)


def _announce(server: Server) -> None:
    if sys.stdout is None:  # Closed by whoever started us.
        return
    try:
        where = ", ".join(listener.where for listener in server.listeners)
        sys.stdout.write(f"Serving on {where} (Ctrl+C to stop)\n")
        sys.stdout.flush()
    except OSError:
        pass  # Nobody reads it.


def _say_what_runs(running: int) -> None:
    """Called in a signal handler: a person who pressed Ctrl+C wonders why nothing happens."""
    if running:
        requests = "1 request is" if running == 1 else f"{running} requests are"
        os.write(2, f"Stopping: {requests} still running (the same signal again cuts them)\n".encode())


def _raise_descriptor_limit() -> None:
    """Allow as many descriptors as we may have: each connection is one."""
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            pass  # Some systems name a limit that they do not grant.


def _switch_threads_often(threads: int) -> None:
    """Let a call that computes hold up the others for less time than Python does by itself.

    A thread that wants the interpreter waits that long before it is given up to it, and then looks again: of
    many that wait at once, the looking would be all that is done. An app that has chosen an interval of its
    own keeps it.
    """
    interval = SWITCH_INTERVAL * max(1.0, threads / SWITCHING_THREADS)
    if interval < sys.getswitchinterval() == PYTHONS_SWITCH_INTERVAL:
        sys.setswitchinterval(interval)


def log_to_stderr() -> None:
    """Have log lines seen, unless the app has configured logging its own way."""
    logger = logging.getLogger("wsgiserve")
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
