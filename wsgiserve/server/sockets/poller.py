"""Waiting for sockets: one small interface over epoll, and over ``selectors`` where there is no epoll.

An event is a hint. Whoever gets one tries the socket and believes the result, so an event that is stale, or
meant for an earlier owner of the same descriptor, does no harm.

``watch`` and ``forget`` may be called from any thread while another one is in ``poll``.
"""

from __future__ import annotations

import select
import selectors
import threading
from typing import Protocol

READ = 1
WRITE = 4
MAX_EVENTS = 256  # a poll that gives fewer has told everything (selectors always does)


class Poller(Protocol):
    """What the loop asks of the system."""

    def watch(self, fd: int, before: int, events: int) -> None:
        """Report ``events`` of ``fd`` from now on, instead of ``before`` (0: not watched yet)."""

    def share(self, fd: int) -> None:
        """Report that ``fd``, which other processes watch too, can be read; if possible to one of them."""

    def forget(self, fd: int) -> None:
        """Report nothing of ``fd``, which is watched, any more; said before it is closed too."""

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait for events, at most ``timeout`` seconds: [(fd, events)]."""

    def close(self) -> None:
        """Give up the system's resources."""


class EpollPoller:
    """Linux."""

    def __init__(self) -> None:
        self._epoll = select.epoll()

    def watch(self, fd: int, before: int, events: int) -> None:
        """Level-triggered: a socket with unread bytes is reported again."""
        if before:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)

    def share(self, fd: int) -> None:
        """The system wakes the first that waits, in the order in which they came to watch it."""
        self._epoll.register(fd, READ | select.EPOLLEXCLUSIVE)

    def forget(self, fd: int) -> None:
        """Removed, not set to no events: epoll reports a hang-up whatever was asked for.

        Also before a descriptor is closed: the kernel would go on reporting the socket for as long as a child
        that the app forked holds it. What could not be watched for want of memory is forgotten all the same.
        """
        try:
            self._epoll.unregister(fd)
        except FileNotFoundError:
            pass

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """See the protocol."""
        return self._epoll.poll(timeout, MAX_EVENTS)

    def close(self) -> None:
        """See the protocol."""
        self._epoll.close()


class SelectorsPoller:
    """Anywhere else: kqueue, poll or select, as ``selectors`` finds them.

    Its book-keeping is not safe between threads, so changes are queued and made before the next wait; the
    socket pair ends a wait that began before the change.
    """

    def __init__(self) -> None:
        import socket

        self._selector = selectors.DefaultSelector()
        self._changes: dict[int, int] = {}  # by descriptor: the last one counts, an earlier may be closed
        self._lock = threading.Lock()
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._ringer.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ)

    def watch(self, fd: int, before: int, events: int) -> None:
        """See the protocol."""
        with self._lock:
            self._changes[fd] = events
        self._ring()

    def share(self, fd: int) -> None:
        """All are woken: each tries, and one gets it."""
        self.watch(fd, 0, READ)

    def forget(self, fd: int) -> None:
        """See the protocol."""
        with self._lock:
            self._changes[fd] = 0
        self._ring()

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """See the protocol."""
        self._make_changes()
        events = []
        for key, mask in self._selector.select(timeout):
            if key.fileobj is self._bell:
                self._bell.recv(4096)
            else:
                read = READ if mask & selectors.EVENT_READ else 0
                events.append((key.fd, read | (WRITE if mask & selectors.EVENT_WRITE else 0)))
        return events

    def close(self) -> None:
        """See the protocol."""
        self._selector.close()
        self._bell.close()
        self._ringer.close()

    def _ring(self) -> None:
        try:
            self._ringer.send(b".")
        except BlockingIOError:
            pass  # Enough rings are waiting.

    def _make_changes(self) -> None:
        with self._lock:
            changes, self._changes = self._changes, {}
        registered = self._selector.get_map()
        for fd, events in changes.items():
            if fd in registered:
                self._selector.unregister(fd)
            if events:
                mask = (selectors.EVENT_READ if events & READ else 0) | (
                    selectors.EVENT_WRITE if events & WRITE else 0
                )
                self._selector.register(fd, mask)


def make_poller() -> Poller:
    """Choose the best that the platform has."""
    return EpollPoller() if hasattr(select, "epoll") else SelectorsPoller()
