"""Signals that are read from a pipe, for a process whose only thread waits in a selector.

A handler can run between any two lines of a program. So ours do nothing. Python writes the number of each
signal to a pipe, and the program reads it when it is ready for it. A pipe has room for 65,536 signals; a
socket, which Windows needs, for some 280.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU", "SIGCHLD")


def existing(names: Iterable[str] = NAMES) -> list[signal.Signals]:
    """Return those of the signals that this system has."""
    return [signal.Signals[name] for name in names if hasattr(signal, name)]


class SignalReader:
    """Receives the signals ``names`` from now on; readable when one has come."""

    def __init__(self, names: Iterable[str] = NAMES) -> None:
        self._pipe = _Pipe() if os.name == "posix" else _SocketPair()
        signal.set_wakeup_fd(self._pipe.writer, warn_on_full_buffer=False)
        for number in existing(names):
            signal.signal(number, ignore)
        unblock()  # The process that started this one may have blocked them; see ``blocked``.

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self._pipe.reader

    def take(self) -> list[signal.Signals]:
        """Return the signals that have come, oldest first."""
        try:
            return [signal.Signals(number) for number in self._pipe.read()]
        except OSError:
            return []  # None has come.

    def close(self) -> None:
        """Stop reading, as a forked child does, which has signals of its own."""
        signal.set_wakeup_fd(-1)
        self._pipe.close()


class _Pipe:
    """Neither end blocks."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)

    def read(self) -> bytes:
        return os.read(self.reader, 4096)

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


class _SocketPair:
    """In place of a pipe on Windows, where a selector waits for sockets only."""

    def __init__(self) -> None:
        self._pair = socket.socketpair()
        for sock in self._pair:
            sock.setblocking(False)
        self.reader, self.writer = (sock.fileno() for sock in self._pair)

    def read(self) -> bytes:
        return self._pair[0].recv(4096)

    def close(self) -> None:
        for sock in self._pair:
            sock.close()


def ignore(number: int, frame: object) -> None:
    """Do nothing on a signal. Unlike SIG_IGN, programs that this process executes do not inherit it."""


def restore(names: Iterable[str] = NAMES) -> None:
    """Give signals back their default meaning."""
    for number in existing(names):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def unblock() -> None:
    """Let blocked signals arrive."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, existing())


def block() -> None:
    """Keep signals pending until ``unblock``, also across ``exec``; none is lost."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, existing())


@contextmanager
def blocked() -> Iterator[None]:
    """Block signals while a process is forked; the child unblocks them once it is ready for them."""
    block()
    parent = os.getpid()
    try:
        yield
    finally:
        if os.getpid() == parent:
            unblock()
