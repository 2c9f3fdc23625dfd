"""The end of a process whose supervisor is gone, while it cannot look at its channel.

A process that imports the app, or runs a start-up hook, may be in there for ever. So the system looks: Linux
sends its owner a signal when something happens on a socket (fcntl(2): F_SETOWN, F_SETSIG and O_ASYNC).
Nothing is sent to such a process, so the first thing that happens is the end of its channel. The signal is
SIGKILL: whatever the app does with signals, or with the interpreter, it works.

PR_SET_PDEATHSIG would not do. It looks at the parent, which for a worker of ``--preload`` is a template, and
its parent is a thread, not a process.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct

from wsgiserve.server.system import poll

END_SECONDS = 0.5  # of a process, from the close of its sockets to its end

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # looked at before it is used


def die_with(sock: socket.socket) -> None:
    """Have this process killed once the other end of ``sock`` is closed, or sends anything.

    Only Linux can do that; elsewhere nothing happens.
    """
    if fcntl is None or not hasattr(fcntl, "F_SETSIG"):
        return
    try:
        fcntl.fcntl(sock, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(sock, fcntl.F_SETSIG, signal.SIGKILL)
        _set_async(sock, True)
    except OSError:
        return  # A kernel that only resembles Linux may lack it.
    if _is_closed(sock):  # Before we began, so that no signal comes.
        os.kill(os.getpid(), signal.SIGKILL)


def outlive(sock: socket.socket) -> None:
    """Undo ``die_with``: from now on this process looks at its channel itself."""
    if fcntl is not None and hasattr(fcntl, "F_SETSIG"):
        _set_async(sock, False)


def is_over(sock: socket.socket) -> bool:
    """Whether the process that made this socket pair has ended, at whose other end nobody is any more.

    A process closes its sockets a moment before it has ended, so that this waits. False if the system cannot
    tell.
    """
    if not hasattr(os, "pidfd_open"):
        return False
    try:
        pid, _, _ = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    try:
        waiting = poll()
        waiting.register(process, select.POLLIN)
        return bool(waiting.poll(END_SECONDS * 1000))
    finally:
        os.close(process)


def _set_async(sock: socket.socket, wanted: bool) -> None:
    flags = fcntl.fcntl(sock, fcntl.F_GETFL)
    fcntl.fcntl(sock, fcntl.F_SETFL, flags | os.O_ASYNC if wanted else flags & ~os.O_ASYNC)


def _is_closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
