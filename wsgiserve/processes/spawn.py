"""How a process starts: forked by the supervisor, forked by a template, or by running the command again.

A fork happens in a process with one thread, with signals blocked. The child leaves its parent's call stack by
the exception ``Forked``, and goes on in ``command`` with an empty stack.
"""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from wsgiserve.config import Config
from wsgiserve.processes import handover, signals
from wsgiserve.server.log_pages import Shelf
from wsgiserve.server.scoreboard import Scoreboard
from wsgiserve.server.sockets.listener import Listener, inherited, load_certificates, secure_all
from wsgiserve.server.system import get_ident

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class Birth(NamedTuple):
    """What a new process starts with. ``number`` is the worker's; a template has imported ``app``."""

    sock: socket.socket  # its end of the channel
    listeners: list[Listener]
    scoreboard: Scoreboard
    number: int = 0
    row: int = 0  # of its tally; 0 if nothing is counted
    app: WSGIApplication | None = None
    is_template: bool = False
    supervisor: int = 0  # its process id; 0 if it is the parent
    config: Config | None = None  # None: that of the command, which a process without fork has run again
    shelf: Shelf | None = None
    place: int | None = None  # of its log's pages on the shelf
    stacks: int = -1  # the descriptor of the file for the stacks of its threads


class Forked(BaseException):
    """Raised in a child that was just forked."""

    def __init__(self, birth: Birth) -> None:
        super().__init__()
        self.birth = birth


def fork(ours: Iterable[socket.socket], birth: Birth) -> int:
    """Fork; return the child's process id. In the child close ``ours`` and raise ``Forked``."""
    flush_output()
    with signals.blocked(), inherited():
        pid = os.fork()
    if pid == 0:
        for sock in ours:
            sock.close()
        raise Forked(birth)
    return pid


def flush_output() -> None:
    """Write what waits in the standard streams: a child would write it again, another program not at all."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            pass  # Nobody reads it, or it is closed.


def lost_threads() -> list[str]:
    """Name the threads of this process that a forked child does not have."""
    ours = (get_ident(), threading.main_thread().ident)  # by both: an app may have replaced threads
    return [thread.name for thread in threading.enumerate() if thread.ident not in ours]


def command() -> list[str]:
    """Return the command that started this program, for the same interpreter."""
    return [sys.executable, *sys.orig_argv[1:]]


def folder() -> str | None:
    """Return the folder that the app is imported from; a link may lead to another release by now."""
    return sys.path[0] if os.path.isdir(sys.path[0]) else None


def imported(load: Callable[[], WSGIApplication]) -> WSGIApplication:
    """Import the app as it is on the disk now; StartError if that fails."""
    importlib.invalidate_caches()
    home = folder()
    if home is not None:
        os.chdir(home)
    return load()


def run_again(
    kind: handover.Kind,
    facts: object,
    descriptors: Sequence[int] = (),
    stdin: int | None = None,
    first: Callable[[], object] | None = None,
) -> subprocess.Popen[bytes]:
    """Run this program's command in a child, with these facts and these descriptors open.

    ``first`` is called in the child before the program is executed, where the system has fork.
    """
    environment = handover.environment(kind, facts)
    posix = os.name == "posix"
    if not posix:
        for handle in descriptors:
            os.set_handle_inheritable(handle, True)  # type: ignore[attr-defined,unused-ignore]  # Windows
    return subprocess.Popen(
        command(),
        cwd=folder(),
        env=environment,
        stdin=stdin,
        close_fds=posix,
        pass_fds=descriptors if posix else (),
        preexec_fn=first,
    )


def spawn(birth: Birth) -> subprocess.Popen[bytes]:
    """Start a worker where the system has no fork."""
    channel = birth.sock.fileno()
    listeners = [[listener.fd, listener.host, listener.foreign] for listener in birth.listeners]
    facts = {"channel": channel, "listeners": listeners}
    return run_again("worker", facts, [channel, *(listener.fd for listener in birth.listeners)])


def spawned(config: Config) -> Birth | None:
    """Return the birth of this process if ``spawn`` started it; it reads the certificates itself."""
    facts = handover.take("worker")
    if facts is None:
        return None
    sock = socket.socket(fileno=facts["channel"])
    listeners = [
        Listener(socket.socket(fileno=fd), host, foreign=foreign) for fd, host, foreign in facts["listeners"]
    ]
    for own in (sock, *(listener.sock for listener in listeners)):
        own.set_inheritable(False)  # Programs that the app executes must not keep them open.
    certificates = load_certificates(config)
    if certificates is not None:
        secure_all(listeners, config, certificates)
    return Birth(sock, listeners, Scoreboard())  # A scoreboard of its own: it cannot see other workers.
