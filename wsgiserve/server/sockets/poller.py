"""Waiting for sockets: one small interface over epoll, and over ``selectors`` where there is no epoll.

An event is a hint. Whoever gets one tries the socket and believes the result, so an event that is stale, or
meant for an earlier owner of the same descriptor, does no harm.

``watch`` and ``forget`` may be called from any thread while another one is in ``poll``.
"""

from __future__ import annotations

import select
import selectors
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from wsgiserve.server.system import Lock, epoll, socketpair

READ = 1
WRITE = 4
MAX_EVENTS = 256  # a poll that gives fewer has told everything (selectors always does)


class Poller(Protocol):
    """Tells which sockets can be read or written. ``bell`` is reported, as a descriptor, after a ``wake``."""

    bell: Bell

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


class Bell:
    """A socket pair that ends a poller's wait; ``ring`` is safe from any thread and in a signal handler.

    Python calls signal handlers on the main thread, once that runs. A signal that another thread receives, or
    the main thread just before it begins to wait, does not end its wait. So Python is to ring as well.
    """

    def __init__(self) -> None:
        self._heard, self._rung = socketpair()
        self._heard.setblocking(False)
        self._rung.setblocking(False)
        self._has_signals = False

    def fileno(self) -> int:
        """Return the descriptor that can be read after a ring."""
        return self._heard.fileno()

    def ring(self) -> None:
        """End the wait, or the next one."""
        try:
            self._rung.send(b"\0")  # No signal has this number.
        except (BlockingIOError, OSError):
            pass  # Enough rings are waiting, or the poller is closed.

    def silence(self) -> bool:
        """Forget the rings so far; True if there were signals among them."""
        try:
            return any(self._heard.recv(4096))
        except BlockingIOError:
            return False  # An event is a hint.

    @contextmanager
    def rung_by_signals(self) -> Iterator[None]:
        """Have signals ring it, on the main thread, unless the app is told of them in the same way."""
        with suppress(ValueError):  # Another thread.
            before = signal.set_wakeup_fd(self._rung.fileno(), warn_on_full_buffer=False)
            self._has_signals = before == -1
            if not self._has_signals:
                signal.set_wakeup_fd(before)
        try:
            yield
        finally:
            self._leave_signals()

    def _leave_signals(self) -> None:
        if self._has_signals:
            self._has_signals = False
            signal.set_wakeup_fd(-1)

    def close(self) -> None:
        """Close both ends."""
        self._leave_signals()  # A child that the app has forked closes it meanwhile.
        self._heard.close()
        self._rung.close()


class EpollPoller:
    """Linux."""

    def __init__(self) -> None:
        self._epoll = epoll()
        self.bell = Bell()
        self._epoll.register(self.bell.fileno(), READ)

    def watch(self, fd: int, before: int, events: int) -> None:
        """Level-triggered: a socket with unread bytes is reported again."""
        if before:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)

    def share(self, fd: int) -> None:
        """The system wakes the first process that waits, in the order in which they came to watch it."""
        self._epoll.register(fd, READ | select.EPOLLEXCLUSIVE)

    def forget(self, fd: int) -> None:
        """Removed, not set to no events: epoll reports a hang-up even if no events are asked for.

        Also before a descriptor is closed: the kernel would report the socket for as long as a child that the
        app forked holds it. A socket that could not be watched for want of memory may be forgotten too.
        """
        try:
            self._epoll.unregister(fd)
        except FileNotFoundError:
            pass

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """See the protocol."""
        events: list[tuple[int, int]] = self._epoll.poll(timeout, MAX_EVENTS)
        return events

    def close(self) -> None:
        """See the protocol."""
        self._epoll.close()
        self.bell.close()


class SelectorsPoller:
    """Anywhere else: kqueue, poll or select, as ``selectors`` finds them.

    Its book-keeping is not safe between threads, so changes are queued and made before the next wait. A
    bell of its own ends a wait that began before the change.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._changes: dict[int, int] = {}  # by descriptor: the last one counts, an earlier may be closed
        self._lock = Lock()
        self._changed = Bell()
        self._selector.register(self._changed, selectors.EVENT_READ)
        self.bell = Bell()
        self._selector.register(self.bell, selectors.EVENT_READ)

    def watch(self, fd: int, before: int, events: int) -> None:
        """See the protocol."""
        with self._lock:
            self._changes[fd] = events
        self._changed.ring()

    def share(self, fd: int) -> None:
        """All processes are woken: each tries, and one gets the connection."""
        self.watch(fd, 0, READ)

    def forget(self, fd: int) -> None:
        """See the protocol."""
        self.watch(fd, 0, 0)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """See the protocol."""
        self._make_changes()
        events = []
        for key, mask in self._selector.select(timeout):
            if key.fileobj is self._changed:
                self._changed.silence()
                continue
            read = READ if mask & selectors.EVENT_READ else 0
            events.append((key.fd, read | (WRITE if mask & selectors.EVENT_WRITE else 0)))
        return events

    def close(self) -> None:
        """See the protocol."""
        self._selector.close()
        self._changed.close()
        self.bell.close()

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
    return EpollPoller() if epoll is not None else SelectorsPoller()
