"""The process that has one version of the code: imports the app, says so, serves until it is told to end."""

from __future__ import annotations

import dataclasses
import json
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

from wsgiserve.config import Config, parse_bind
from wsgiserve.dev import VARIABLE
from wsgiserve.dev.page import Development
from wsgiserve.processes import signals
from wsgiserve.processes.channel import Channel
from wsgiserve.server import Server, lifespan
from wsgiserve.server.console import EXIT_CUT, EXIT_NO_APP, EXIT_STOPPED, log_to_stderr
from wsgiserve.server.errors import StartError
from wsgiserve.target import TargetError, load_app

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def orders() -> dict[str, Any] | None:
    """Return what the parent tells this process, None if no parent has started it."""
    text = os.environ.pop(VARIABLE, None)
    return None if text is None else dict(json.loads(text))


def work(
    target: str, config: Config, *, channel: int, listeners: list[int], version: str, broken: str
) -> None:
    """Serve the app, or only the page that says ``broken``; the numbers are descriptors."""
    signal.signal(signal.SIGINT, signals.ignore)  # Ctrl+C reaches us too, and is our parent's to heed.
    signals.unblock()
    os.environ.setdefault("FLASK_DEBUG", "1")  # Else Flask shows exceptions to nobody.
    sock = socket.socket(fileno=channel)
    sock.set_inheritable(False)
    parent = Channel(sock)
    app = None
    if not broken:
        try:
            app = load_app(target)
            lifespan.started(app)
        except (TargetError, StartError) as error:
            parent.send(event="failed", reason=str(error), folders=sorted(set(_folders(error))))
            raise SystemExit(EXIT_NO_APP) from None
    log_to_stderr()
    development = Development(app, version, lambda: _report(parent))
    development.broken = broken
    config = dataclasses.replace(
        config,
        bind=tuple(parse_bind(f"fd://{number}") for number in listeners),
        socket_mode="",
        socket_owner="",
        drain_delay=0.0,  # Another child accepts already.
    )
    server = Server(development, config=config)

    def ready() -> None:
        signal.signal(signal.SIGINT, signals.ignore)
        threading.Thread(target=_listen_to, args=(parent, development, server), daemon=True).start()
        parent.send(event="ready", pin=development.pin, folders=sorted(set(_folders())))

    finished = server.serve(ready=ready, last=True)
    lifespan.shutdown(app)
    raise SystemExit(EXIT_STOPPED if finished else EXIT_CUT)


def _listen_to(parent: Channel, development: Development, server: Server) -> None:
    while (message := parent.wait()) is not None:
        development.version, development.broken = message["version"], message["broken"]
    server.stop()  # Nobody is there to end us.


def _report(parent: Channel) -> None:
    parent.send(event="grown", folders=sorted(set(_folders())))


def _folders(error: BaseException | None = None) -> Iterator[str]:
    """Name the folders of the developer's own modules, and of what ``error`` came from."""
    library = (*sysconfig.get_paths().values(), site.getusersitepackages(), _HERE)
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    while error is not None:
        files += [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
        files.append(getattr(error, "filename", None))  # of a SyntaxError
        error = error.__cause__ or error.__context__
    for file in files:
        if isinstance(file, str) and os.path.isfile(file):
            folder = os.path.dirname(os.path.abspath(file))
            if not any(folder == root or folder.startswith(root + os.sep) for root in library):
                yield folder
