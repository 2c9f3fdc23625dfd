"""The process that has one version of the code: imports the app, says so, serves until it is told to end."""

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

from wsgiserve.config import make_config
from wsgiserve.dev.page import Development
from wsgiserve.server import Server, lifespan, signals
from wsgiserve.server.channel import Channel
from wsgiserve.server.errors import StartError
from wsgiserve.server.program import EXIT_CUT, EXIT_NO_APP, EXIT_STOPPED, log_to_stderr
from wsgiserve.server.worker import started
from wsgiserve.target import TargetError, load_app

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def work(
    target: str, options: dict[str, Any], *, channel: int, listeners: list[int], version: str, broken: str
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
            started(app)
        except (TargetError, StartError) as error:
            parent.send(event="failed", reason=str(error), folders=sorted(set(_folders(error))))
            raise SystemExit(EXIT_NO_APP) from None
    log_to_stderr()
    development = Development(app, version, lambda: _report(parent))
    development.broken = broken
    options = make_config(**options).server_options()
    options |= {"bind": [f"fd://{number}" for number in listeners], "socket_mode": "", "socket_owner": ""}
    options["drain_delay"] = 0.0  # Another child accepts already.
    server = Server(development, **options)

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
