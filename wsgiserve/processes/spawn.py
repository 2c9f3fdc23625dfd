"""How a worker process comes to be: forked by the supervisor, forked by a template, or started anew.

A fork happens in a process that has one thread, with signals kept back. The child leaves the code of its
parent by an exception, ``Born``, and begins in ``program`` with an empty stack.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from wsgiserve.processes import signals
from wsgiserve.server.scoreboard import Scoreboard
from wsgiserve.server.sockets.listener import Listener, inherited

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

WORKER_VARIABLE = "WSGISERVE_WORKER"


class Birth(NamedTuple):
    """What a new process starts with: its end of the channel, where to listen, and what it shares.

    ``number`` is the worker's. ``app`` is there if a template has imported it.
    """

    sock: socket.socket
    listeners: list[Listener]
    scoreboard: Scoreboard
    number: int = 0
    app: WSGIApplication | None = None
    is_template: bool = False


class Born(BaseException):
    """Raised in a child that was just forked; ``birth`` is what it starts with."""

    def __init__(self, birth: Birth) -> None:
        super().__init__()
        self.birth = birth


def fork(ours: Iterable[socket.socket], birth: Birth) -> int:
    """Fork; return the child's process id, and in the child close ``ours`` and raise ``Born``."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()  # Or the child would write it once more.
    with signals.blocked(), inherited():
        pid = os.fork()
    if pid == 0:
        for sock in ours:
            sock.close()
        raise Born(birth)
    return pid


def command() -> list[str]:
    """Return the command that this program was started with, for the same interpreter."""
    return [sys.executable, *sys.orig_argv[1:]]


def folder() -> str | None:
    """Return the folder that the app is imported from, which may be a link to another release by now."""
    return sys.path[0] if os.path.isdir(sys.path[0]) else None


def imported(load: Callable[[], WSGIApplication]) -> WSGIApplication:
    """Import the app as it is on the disk now; StartError if it cannot be had."""
    importlib.invalidate_caches()
    if os.path.isdir(sys.path[0]):
        os.chdir(sys.path[0])  # It may be a link that leads to another release by now.
    return load()


def spawn(birth: Birth) -> subprocess.Popen[bytes]:
    """Start the program anew, for where there is no fork; it finds its birth in the environment."""
    handles = [birth.sock.fileno(), *(listener.fd for listener in birth.listeners)]
    facts = {
        "channel": birth.sock.fileno(),
        "listeners": [[listener.fd, listener.host] for listener in birth.listeners],
    }
    environment = os.environ | {WORKER_VARIABLE: json.dumps(facts)}
    if os.name == "posix":
        return subprocess.Popen(command(), cwd=folder(), env=environment, pass_fds=handles)
    for handle in handles:
        os.set_handle_inheritable(handle, True)  # type: ignore[attr-defined,unused-ignore]  # Windows
    return subprocess.Popen(command(), cwd=folder(), env=environment, close_fds=False)


def spawned() -> Birth | None:
    """Return the birth of this process if ``spawn`` started it."""
    facts = os.environ.pop(WORKER_VARIABLE, None)
    if facts is None:
        return None
    found = json.loads(facts)
    sock = socket.socket(fileno=found["channel"])
    listeners = [Listener(socket.socket(fileno=fd), host) for fd, host in found["listeners"]]
    for sole in (sock, *(listener.sock for listener in listeners)):
        sole.set_inheritable(False)  # What the app executes has no part in them.
    return Birth(sock, listeners, Scoreboard())  # It sees no others: nobody is ahead of anybody.
