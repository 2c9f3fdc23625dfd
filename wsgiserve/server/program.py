"""Serving as a program, in one process, with a terminal and an exit code.

``app.run()`` and ``wsgiserve files`` begin here. ``wsgiserve MODULE:NAME`` begins in
``wsgiserve.processes.command``, where worker processes serve.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from wsgiserve.config import Config, ConfigError, make_config, refuse_command_options
from wsgiserve.server import console, lifespan
from wsgiserve.server.errors import ListenError
from wsgiserve.server.server import Server, restore_handlers
from wsgiserve.server.sockets.listener import Listener
from wsgiserve.server.sockets.systemd import Manager, inherited_descriptors

try:
    import resource
except ImportError:  # Windows has no such limit.
    resource = None  # type: ignore[assignment]  # asked for before it is used

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

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
    listen_where_passed(options)
    try:
        refuse_command_options(options)
        config = make_config(**options)
    except ConfigError as error:
        console.fail_for_option(error)
    serve_here(app, config, announcement, port_option)
    restore_handlers()  # The caller's program goes on.


def serve_here(
    app: WSGIApplication,
    config: Config,
    announcement: Callable[[list[Listener]], str] = console.where,
    port_option: str = console.BIND_OPTION,
) -> None:
    """Serve as ``run`` does; ignore stop signals at the end, so that none changes the exit code."""
    console.log_to_stderr()
    raise_descriptor_limit()
    manager = Manager(os.environ)
    server = Server(app, config=config)
    try:
        server.open()
    except ListenError as error:
        console.fail_to_listen(error, port_option)
    switch_threads_often(config.threads)
    if manager.beat_seconds < math.inf:
        server.beat(manager.alive, manager.beat_seconds)
    console.exit_without_app(partial(lifespan.checked_startup, app))

    def ready() -> None:
        console.announce(announcement(server.listeners))
        manager.ready(f"Serving on {', '.join(server.urls)}")

    def stopping(running: int) -> None:
        manager.stopping()
        console.say_what_runs(config, running)

    finished = console.exit_without_app(partial(server.serve, ready=ready, stopping=stopping, last=True))
    lifespan.shutdown(app)
    if not finished:
        console.fail(console.CUT_LINE, console.EXIT_CUT)


def listen_where_passed(options: dict[str, Any]) -> None:
    """Add the sockets that the service manager opened for us; they replace the default address.

    A socket that ``bind`` names already is not added again.
    """
    passed = [f"fd://{descriptor}" for descriptor in inherited_descriptors(os.environ, os.getpid())]
    if passed:
        bind = options.get("bind", ())
        given = [bind] if isinstance(bind, str) else bind
        options["bind"] = [*(text for text in passed if text not in given), *given]


def raise_descriptor_limit() -> None:
    """Raise the limit of descriptors to the hard limit: each connection needs one."""
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            pass  # Some systems name a limit that they do not grant.


def switch_threads_often(threads: int) -> None:
    """Shorten Python's switch interval, so that a call that computes holds up others for less time.

    Each waiting thread wakes once an interval, so many threads need a longer one. An interval that the app
    has chosen stays.
    """
    interval = SWITCH_INTERVAL * max(1.0, threads / SWITCHING_THREADS)
    if interval < sys.getswitchinterval() == PYTHONS_SWITCH_INTERVAL:
        sys.setswitchinterval(interval)
