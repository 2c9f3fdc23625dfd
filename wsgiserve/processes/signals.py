"""Signals as something to read, for a process whose only thread waits in a selector.

A handler that runs between any two lines of a program cannot be reasoned about. So the handlers do nothing;
the system's note of each signal is read from a socket, in order, when the program is ready for it.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2", "SIGTTIN", "SIGTTOU", "SIGCHLD")


def existing(names: Iterable[str] = NAMES) -> list[signal.Signals]:
    """Return those of the signals that this system has."""
    return [signal.Signals[name] for name in names if hasattr(signal, name)]


class SignalReader:
    """Heed ``names`` from now on, for as long as the process lives; readable when there are any."""

    def __init__(self, names: Iterable[str] = NAMES) -> None:
        self.sock, self._writer = socket.socketpair()
        self.sock.setblocking(False)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in existing(names):
            signal.signal(number, ignore)
        unblock()  # Whoever started us may have kept them back until now; see ``blocked``.

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self.sock.fileno()

    def take(self) -> list[signal.Signals]:
        """Return the signals that came."""
        try:
            return [signal.Signals(number) for number in self.sock.recv(4096)]
        except BlockingIOError:
            return []

    def close(self) -> None:
        """Read no more; for a child, which has its own signals."""
        signal.set_wakeup_fd(-1)
        self.sock.close()
        self._writer.close()


def ignore(number: int, frame: object) -> None:
    """Heed a signal by doing nothing. Unlike SIG_IGN it is not passed on to what the process executes."""


def restore(names: Iterable[str] = NAMES) -> None:
    """Let signals mean what they always mean."""
    for number in existing(names):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def unblock() -> None:
    """Let come what was kept back."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, existing())


def block() -> None:
    """Keep signals back, also over ``exec``: those that come meanwhile are not lost and do no harm."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, existing())


@contextmanager
def blocked() -> Iterator[None]:
    """Keep signals back while a process is forked; the child unblocks them when it is ready for them."""
    block()
    me = os.getpid()
    try:
        yield
    finally:
        if os.getpid() == me:
            unblock()
