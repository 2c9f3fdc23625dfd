"""Signals that are read from a socket, for a process whose only thread waits in a selector.

A handler can run between any two lines of a program. So ours do nothing. Python writes the number of each
signal to a socket, and the program reads it when it is ready for it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from wsgiserve.server.system import socketpair

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU", "SIGCHLD")


def existing(names: Iterable[str] = NAMES) -> list[signal.Signals]:
    """Return those of the signals that this system has."""
    return [signal.Signals[name] for name in names if hasattr(signal, name)]


class SignalReader:
    """Receives the signals ``names`` from now on; readable when one has come."""

    def __init__(self, names: Iterable[str] = NAMES) -> None:
        self.sock, self._writer = socketpair()
        self.sock.setblocking(False)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in existing(names):
            signal.signal(number, ignore)
        unblock()  # The process that started this one may have blocked them; see ``blocked``.

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self.sock.fileno()

    def take(self) -> list[signal.Signals]:
        """Return the signals that have come, oldest first."""
        try:
            return [signal.Signals(number) for number in self.sock.recv(4096)]
        except BlockingIOError:
            return []

    def close(self) -> None:
        """Stop reading, as a forked child does, which has signals of its own."""
        signal.set_wakeup_fd(-1)
        self.sock.close()
        self._writer.close()


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
