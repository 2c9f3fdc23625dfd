"""SIGUSR2: the supervisor executes a newer program in its own process, without losing a connection.

First the command runs on trial: it does everything but serve, and its exit code says whether it could. It
has limited time for that, and ends with this process. Then the supervisor executes it in its own place. The
listeners and the channels to the workers stay open. The workers go on serving. The new program adopts them
as the generation before its own, starts new workers, and retires the adopted ones when the new ones are
ready. So the rules of a reload hold, also if none of the workers is left to adopt. This package and the
interpreter are loaded anew too. Command line and environment stay.

Signals are blocked from before the exec until the new program is ready for them. Those that have come before,
and are not heeded yet, are sent again.

A program that lacks the descriptors or the memory that Python takes to start would end, and the service with
it. So the old one first checks that they are there, and stays if they are not.
"""

from __future__ import annotations

import logging
import mmap
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

from wsgiserve.config import ConfigError
from wsgiserve.processes import handover, signals
from wsgiserve.processes.channel import Channel
from wsgiserve.processes.facts import Terms, Worker
from wsgiserve.processes.parent_death import die_with
from wsgiserve.processes.spawn import command, flush_output, folder, run_again
from wsgiserve.server.errors import reason_of
from wsgiserve.server.sockets.listener import Listener, adopt
from wsgiserve.server.sockets.unix import SocketFile

TRIAL_SECONDS = 30.0

# What a new program takes at its start, and no longer, on top of what the old one has.
MORE_DESCRIPTORS = 4
MORE_MEMORY = 16 << 20  # bytes of address space

# Options of a worker that its supervisor acts by. The configuration of the new program may have others.
KEPT = (
    *("drain_delay", "graceful_timeout", "threads"),
    *("access_log", "log_format", "log_skip", "log_sample"),
)

logger = logging.getLogger("wsgiserve")


class Trial:
    """The command, run on trial; OSError, MemoryError or SubprocessError if the system refuses a process."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair()
        with theirs, ExitStack() as closing:
            closing.callback(self.close)
            self.process = run_again(
                "trial", 1, [theirs.fileno()], subprocess.DEVNULL, partial(die_with, theirs)
            )
            closing.pop_all()
        self.ends_at = time.monotonic() + TRIAL_SECONDS
        self.fault = ""  # for which it was ended

    def give_up(self, now: float) -> None:
        """End it: it takes too long."""
        self.ends_at = now + TRIAL_SECONDS  # To try again then.
        self.end(f"the new program did not start within {TRIAL_SECONDS:g} s")

    def close(self) -> None:
        """Let go of it; if it runs, it ends."""
        self._ours.close()

    def end(self, fault: str) -> None:
        """Kill it."""
        self.fault = fault
        self.close()
        with suppress(OSError):  # ``Popen.kill`` would reap it, and the supervisor never learn of its end.
            os.kill(self.process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def is_trial() -> bool:
    """Whether this process is to end where it would begin to serve."""
    return handover.take("trial") is not None


def heir(
    worker: Worker, channel: Channel | None, foreign: bool, stacks: int = -1, pages: int | None = None
) -> dict[str, Any]:
    """Describe a worker for the new program; ``foreign`` if it is not a child of this process.

    Without a ``channel`` it is about to end: it has hung up, but is not reaped yet.

    ``stacks`` is the descriptor of the file for the stacks of its threads, -1 for none; ``pages`` the place
    of its log's pages on the shelf.
    """
    return {
        "number": worker.number,
        "generation": worker.generation,
        "pid": worker.pid,
        "serving": worker.state in ("called", "serving"),
        "cut": worker.cut,
        "worn": worker.worn,
        "foreign": foreign,
        "row": worker.row,
        "began": worker.began,
        "channel": -1 if channel is None else channel.fileno(),
        "stacks": stacks,
        "pages": pages,
        "options": {name: getattr(worker.terms.config, name) for name in KEPT},
    }


def terms_of(heir: Mapping[str, Any], terms: Terms) -> Terms:
    """Return the terms that an adopted worker runs on; those of now if another version has described it."""
    options = heir.get("options", {})
    try:
        kept = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
        config = terms.config.replace(**kept)
    except (ConfigError, TypeError):
        return terms
    return terms._replace(grace=config.drain_delay + config.graceful_timeout, config=config)


def sockets(listeners: Iterable[Listener]) -> list[dict[str, Any]]:
    """Describe open listeners for the new program."""
    return [
        {
            "bind": listener.bind,
            "descriptor": listener.fd,
            "host": listener.host,
            "file": listener.file and [listener.file.path, listener.file.identity],
        }
        for listener in listeners
    ]


def execute(estate: dict[str, Any], keep_signals: Callable[[], object] = lambda: None) -> None:
    """Execute the command in place of this program; return only if the system refuses.

    ``keep_signals`` is called once they are blocked, to send those again that this program will not heed.

    The estate has ``listeners``, those of the ``ops`` endpoint, the ``workers``, how many were ``dropped`` as
    they do not serve yet, the ``generation`` that serves, even if no worker of it is left at the moment, and
    the ``latest`` one that was tried; the ``size`` that is wanted, and the one that was ``configured``. With
    the ops endpoint it also has the ``counts`` (``ops.totals``), with an access log the ``shelf``.
    """
    environment = handover.environment("inheritance", estate)
    descriptors = _descriptors(estate)
    flush_output()
    signals.block()
    try:
        keep_signals()
        _require_room()
        _set_inheritable(descriptors, True)
        os.chdir(folder() or ".")
        os.execve(sys.executable, command(), environment)
    except (OSError, MemoryError) as error:
        with suppress(OSError):
            _set_inheritable(descriptors, False)
        signals.unblock()
        complain(reason_of(error))


def complain(reason: str) -> None:
    """Log why there is no re-exec."""
    logger.error("re-exec failed, everything goes on as it was: %s", reason)


def _require_room() -> None:
    """Raise OSError if the system lacks what a new program takes."""
    taken: list[int] = []
    try:
        while len(taken) < MORE_DESCRIPTORS:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        mmap.mmap(-1, MORE_MEMORY).close()
    except OSError as error:
        raise OSError(f"the system lacks what a program takes to start: {error.strerror}") from None
    finally:
        for descriptor in taken:
            os.close(descriptor)


def _set_inheritable(descriptors: list[int], inheritable: bool) -> None:
    for descriptor in descriptors:
        os.set_inheritable(descriptor, inheritable)


def _descriptors(estate: Mapping[str, Any]) -> list[int]:
    opened = [*estate.get("listeners", ()), *estate.get("ops", ())]
    opened += [estate[name] for name in ("counts", "shelf") if estate.get(name)]
    heirs = estate.get("workers", ())
    own = [heir.get(name, -1) for heir in heirs for name in ("channel", "stacks")]
    return [owner["descriptor"] for owner in opened] + [descriptor for descriptor in own if descriptor >= 0]


def inheritance() -> dict[str, Any]:
    """Take over the open descriptors of the program before a re-exec; {} if there was none."""
    left: dict[str, Any] = handover.take("inheritance") or {}
    with suppress(OSError):
        _set_inheritable(_descriptors(left), False)
    return left


def listeners(left: Mapping[str, Any], kind: str = "listeners") -> list[tuple[str, Listener]]:
    """Return the open listeners of an inheritance, each with the text of its bind; ``ops`` is a kind too."""
    return [(sock["bind"], _adopted(sock)) for sock in left.get(kind, ())]


def _adopted(sock: Mapping[str, Any]) -> Listener:
    file = sock["file"] and SocketFile(*sock["file"])
    return adopt(sock["descriptor"], sock["bind"], sock["host"], file)
