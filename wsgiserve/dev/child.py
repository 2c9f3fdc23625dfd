"""The process for one version of the code: it imports the app, serves, and tells the parent of errors."""

from __future__ import annotations

import os
import signal
import site
import socket
import sys
import sysconfig
import threading
import traceback
from collections.abc import Iterator
from typing import Any

from wsgiserve.config import Config, ConfigError
from wsgiserve.dev.page import Development
from wsgiserve.processes import handover, signals
from wsgiserve.processes.channel import Channel
from wsgiserve.server import lifespan
from wsgiserve.server.console import EXIT_CUT, EXIT_NO_APP, EXIT_STOPPED
from wsgiserve.server.departure import Departure
from wsgiserve.server.errors import StartError
from wsgiserve.server.server import Server
from wsgiserve.server.server_log import configure, log_to_stderr
from wsgiserve.target import TargetError, load_app

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def orders() -> dict[str, Any] | None:
    """Return the keyword arguments for ``work``; None if no parent started this process."""
    facts: dict[str, Any] | None = handover.take("dev child")
    return facts


def work(
    target: str,
    config: Config,
    *,
    channel: int,
    listeners: list[int],
    version: str,
    broken: str,
    throw_away: str = "",
) -> None:
    """Serve the app, or only the page with the text ``broken``. Channel and listeners are descriptors.

    ``throw_away`` is the pair of ``--tls-self-signed``, if there is one.
    """
    signal.signal(signal.SIGINT, signals.ignore)  # The parent acts on Ctrl+C, which reaches this process too.
    signals.unblock()
    os.environ.setdefault("FLASK_DEBUG", "1")  # Or Flask would answer exceptions itself.
    sock = socket.socket(fileno=channel)
    sock.set_inheritable(False)
    parent = Channel(sock)
    app = None
    if not broken:
        try:
            configure(config)
            app = load_app(target)
            lifespan.checked_startup(app)
        except (ConfigError, TargetError, StartError) as error:
            parent.send(event="failed", reason=str(error), folders=_folders(error))
            raise SystemExit(EXIT_NO_APP) from None
    log_to_stderr(config)
    departure = Departure([signal.SIGTERM])
    development = Development(app, version, broken, lambda: parent.send(event="grown", folders=_folders()))
    server = Server(development, config=_on_descriptors(config, listeners))
    server.open(throw_away=throw_away)

    def ready() -> None:
        signal.signal(signal.SIGINT, signals.ignore)
        threading.Thread(target=_obey, args=(parent, development, server), daemon=True).start()
        parent.send(event="ready", pin=development.pin, folders=_folders())

    finished = server.serve(ready=ready, afterwards=departure.hurry)
    code = EXIT_STOPPED if finished else EXIT_CUT
    departure.begin(code, server.time_is_up, hurried=server.hurried)
    lifespan.shutdown(app)
    raise SystemExit(code)


def _on_descriptors(config: Config, listeners: list[int]) -> Config:
    """Return the configuration with these descriptors of open listeners as its addresses."""
    passed = [
        bind._replace(kind="fd", name="", number=number, text=f"fd://{number}")
        for bind, number in zip(config.addresses, listeners, strict=True)
    ]
    return config.replace(
        bind=tuple(passed[: len(config.bind)]),
        redirect_http=tuple(passed[len(config.bind) :]),
        socket_mode="",
        socket_owner="",
        drain_delay=0.0,  # Another child accepts already.
    )


def _obey(parent: Channel, development: Development, server: Server) -> None:
    """Show what the parent reports about newer code, until the parent ends."""
    while (message := parent.wait()) is not None:
        development.show(message["version"], message["broken"])
    server.stop()


def _folders(error: BaseException | None = None) -> list[str]:
    """Return the folders of the developer's own modules, and of the files in the traceback of ``error``."""
    return sorted({os.path.dirname(path) for path in _files(error)})


def _files(error: BaseException | None) -> Iterator[str]:
    library = (*sysconfig.get_paths().values(), site.getusersitepackages(), _PACKAGE)
    not_theirs = tuple(root + os.sep for root in library)
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    while error is not None:
        files += [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
        files.append(getattr(error, "filename", None))  # of a SyntaxError
        error = error.__cause__ or error.__context__
    for file in files:
        if isinstance(file, str) and os.path.isfile(file):
            path = os.path.abspath(file)
            if not path.startswith(not_theirs):
                yield path
