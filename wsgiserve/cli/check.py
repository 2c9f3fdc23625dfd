"""``wsgiserve check [MODULE:NAME]``: do all that a start does, without serving anybody.

It reads the configuration and certificates, listens, imports the app, runs its start-up hooks, answers one
request of its own through the whole stack, and runs the shutdown hooks; a worker's ``--hooks`` are called
around. Each step is a line on standard output. The first one that fails is the end, with the error and the
exit code that a start would have; an answer of 500 or above is such a failure.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from wsgiserve.cli.apps import find_app, working_folder
from wsgiserve.cli.commands import HELP
from wsgiserve.cli.context import read, sources
from wsgiserve.cli.serve import all_options
from wsgiserve.cli.settings import Settings
from wsgiserve.config import Config, ConfigError
from wsgiserve.config.fields import FIELDS
from wsgiserve.processes.hooks import HookServer, HookWorker, call_logged, post_fork
from wsgiserve.processes.pid_file import StatusFiles
from wsgiserve.processes.probe import PROBE_SECONDS, Answer, ask, probe, read_answer, request
from wsgiserve.server import console, lifespan
from wsgiserve.server.departure import Departure
from wsgiserve.server.errors import ListenError, StartError
from wsgiserve.server.program import require_logs
from wsgiserve.server.server import STOP_SIGNALS, Server
from wsgiserve.server.server_log import log_to_stderr
from wsgiserve.server.sockets.listener import Listener, open_for_ops
from wsgiserve.server.system import monotonic

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

BROKEN_STATUS = 500


@click.command("check", context_settings=HELP)
@all_options
@click.pass_context
def command(context: click.Context, /, config: str | None, **options: Any) -> None:
    """Start without serving: import the app, listen, answer one request; say what is found.

    The exit codes are those of a start: 0 if it would serve, 2 for the configuration, 3 for the app, 4 for an
    address.
    """
    settings = read(sources(context, config))
    console.keep_output()
    departure = Departure(STOP_SIGNALS)
    try:
        _check(settings)
        code = console.EXIT_STOPPED
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else console.EXIT_NO_APP
    departure.begin(code, monotonic(), hurried=False)  # The app may have started threads.
    raise SystemExit(code)


def _check(settings: Settings) -> None:
    config = settings.config
    for note in settings.notes:
        console.announce(note)
    console.announce(f"configuration: {_describe(settings)}")
    if config.pid_file:
        try:
            StatusFiles(config.pid_file).check()
        except OSError as error:
            console.fail(f"--pid-file: cannot write {config.pid_file}: {error.strerror}", console.EXIT_USAGE)
    try:
        require_logs(config)
    except ConfigError as error:
        console.fail_for_option(error)
    # Its own request comes without a proxy, and nobody waits for its end.
    its = config.replace(access_log="", drain_delay=0.0, proxy_protocol=False)
    server = Server(_never, config=its)
    with ExitStack() as closing:
        try:
            server.open()
            closing.callback(_close, server.listeners)
            # While the others are open, which may be in the way:
            closing.callback(_close, open_for_ops(config))
        except ConfigError as error:  # such as a certificate that cannot be read
            console.fail_for_option(error)
        except ListenError as error:
            console.fail_to_listen(error)
        console.announce(f"addresses: {', '.join(listener.where for listener in server.listeners)}")
        _check_app(server, settings)
    console.announce("This would serve.")


def _close(listeners: list[Listener]) -> None:
    for listener in listeners:
        listener.close()


def _check_app(server: Server, settings: Settings) -> None:
    config = settings.config
    sys.path.insert(0, working_folder())
    module = "" if config.dev else config.hooks
    around = (HookServer(os.getpid(), tuple(server.urls)), HookWorker(os.getpid(), 1))
    console.exit_without_app(partial(post_fork, module, *around))
    began = time.monotonic()
    app = console.exit_without_app(partial(find_app, config.app))
    console.exit_without_app(partial(lifespan.checked_startup, app))
    console.announce(f"app: {config.app} started in {time.monotonic() - began:.2f} s")
    log_to_stderr(config)
    try:
        console.exit_without_app(partial(_ask, server, app, settings))
    finally:
        lifespan.shutdown(app)
        call_logged(module, "worker_exit", *around)


def _describe(settings: Settings) -> str:
    """Say how many options have been set, and where."""
    places = dict.fromkeys(
        origin.name if origin.source == "file" else f"the {origin.source}"
        for name in FIELDS
        if (origin := settings.origins.get(name)) is not None
    )
    count = len(settings.origins)
    options = "1 option is" if count == 1 else f"{count} options are"
    return f"{options} set, by {_joined(places)}" if count else "all options are at their defaults"


def _joined(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _never(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    raise AssertionError("the app is set before anybody is served")


def _ask(server: Server, app: WSGIApplication, settings: Settings) -> None:
    """Send one request; StartError if a new worker would not serve, or the app does not work."""

    def without_hooks(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return app(environ, start_response)  # The hooks have run.

    path = urlsplit(settings.config.probe).path or "/"
    server.app = without_hooks
    with server:
        began = time.monotonic()
        try:
            answer = _answer(server, app, settings.config)
        except OSError as error:
            raise StartError(f"wsgiserve: GET {path} was not answered: {error}") from None
        took = time.monotonic() - began
    console.announce(f"request: GET {path} was answered {answer.status} in {took * 1000:.0f} ms")
    if answer.status >= BROKEN_STATUS:
        raise StartError(f"wsgiserve: the app answered GET {path} with {answer.status}")
    if settings.config.probe:
        probe(app, settings.config)
        console.announce(f"probe: {settings.config.probe} was answered")


def _answer(server: Server, app: WSGIApplication, config: Config) -> Answer:
    """Ask at the first address, or within the process if only clients with certificates get in there."""
    if config.client_ca and config.client_cert == "required":
        return ask(app, config, config.probe or "https://localhost/")
    with _connect(server.listeners[0]) as sock:
        sock.sendall(request(config.probe or "/"))
        return read_answer(sock)


def _connect(listener: Listener) -> socket.socket:
    if not listener.is_unix:
        parts = urlsplit(listener.url)  # It has an address that leads here, also for a wildcard.
        sock = socket.create_connection((parts.hostname, parts.port), PROBE_SECONDS)
        return sock if parts.scheme == "http" else _speak_tls(sock)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PROBE_SECONDS)
    sock.connect(listener.sock.getsockname())
    return sock


def _speak_tls(sock: socket.socket) -> socket.socket:
    """Take any certificate: whether clients trust it depends on the name that they ask for."""
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock)
