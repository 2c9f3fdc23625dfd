"""SIGUSR2: the supervisor becomes a newer program, of the same process id, without losing a connection.

First the command is started once on trial: it does everything but serve, and says by its exit code whether
it would. Then the supervisor executes it in its own place. The sockets stay open over that, and so do the
channels to the workers, which go on serving; the new program adopts them as the generation before its own,
starts workers, and retires those only when the new ones are ready. So the same rules hold as for a reload,
and more is read anew: this package and the interpreter. Command line and environment stay.

Signals are kept back from before the exec until the new program heeds them.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from typing import Any

from wsgiserve.config import Bind
from wsgiserve.processes import signals
from wsgiserve.processes.channel import Channel
from wsgiserve.processes.fleet import Worker
from wsgiserve.processes.spawn import command, folder
from wsgiserve.server.sockets.listener import Listener, adopt
from wsgiserve.server.sockets.unix import SocketFile

logger = logging.getLogger("wsgiserve")

TRIAL_VARIABLE = "WSGISERVE_TRIAL"
INHERITANCE_VARIABLE = "WSGISERVE_INHERITANCE"


def start_trial() -> subprocess.Popen[bytes]:
    """Start the command on trial; its exit code is 0 if it would serve."""
    environment = os.environ | {TRIAL_VARIABLE: "1"}
    return subprocess.Popen(command(), cwd=folder(), env=environment, stdin=subprocess.DEVNULL)


def is_trial() -> bool:
    """Whether this process is to end where it would begin to serve."""
    return TRIAL_VARIABLE in os.environ


def become(binds: tuple[Bind, ...], listeners: list[Listener], workers: dict[Worker, Channel]) -> None:
    """Execute the command in place of this program; return only if the system refuses."""
    heirs: list[dict[str, Any]] = [
        {
            "number": worker.number,
            "generation": worker.generation,
            "pid": worker.pid,
            "serving": worker.state == "serving",
            "foreign": worker.foreign,
            "channel": channel.fileno(),
        }
        for worker, channel in workers.items()
    ]
    sockets = [
        {
            "bind": bind.text,
            "descriptor": listener.fd,
            "host": listener.host,
            "file": listener.file and [listener.file.path, listener.file.identity],
        }
        for bind, listener in zip(binds, listeners, strict=True)
    ]
    descriptors = [heir["channel"] for heir in heirs] + [listener.fd for listener in listeners]
    inheritance = json.dumps({"listeners": sockets, "workers": heirs})
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    signals.block()
    _pass_on(descriptors, True)
    try:
        os.chdir(folder() or ".")
        os.execve(sys.executable, command(), os.environ | {INHERITANCE_VARIABLE: inheritance})
    except OSError as error:
        _pass_on(descriptors, False)
        signals.unblock()
        logger.error("upgrade failed, everything goes on as it was: %s", error)


def _pass_on(descriptors: list[int], inheritable: bool) -> None:
    for descriptor in descriptors:
        os.set_inheritable(descriptor, inheritable)


def inheritance() -> dict[str, Any]:
    """Return what the program before this one has left; {} if it was started, not upgraded."""
    left: dict[str, Any] = json.loads(os.environ.pop(INHERITANCE_VARIABLE, "{}"))
    _pass_on([sock["descriptor"] for sock in left.get("listeners", ())], False)
    _pass_on([heir["channel"] for heir in left.get("workers", ())], False)
    return left


def listeners(left: dict[str, Any]) -> list[tuple[str, Listener]]:
    """Return the open listeners of an inheritance, each with what it was bound as."""
    return [
        (sock["bind"], adopt(sock["descriptor"], sock["host"], sock["file"] and SocketFile(*sock["file"])))
        for sock in left.get("listeners", ())
    ]
