"""When a server accepts connections: at once, a moment after others, or not until there is room.

========= =============================================================================
state     the listeners
========= =============================================================================
open      are watched
yielding  are not watched for a moment: another worker has fewer connections
full      are not watched until a connection closes, at most a second; then an idle one makes room
short     are not watched for a second: the system has no descriptors or no memory left
closed    are closed
========= =============================================================================

At the end, some stay open for a while though no connection can begin any more (``Listener.deafen``).

Everything in here is for the leader, except ``publish_count`` and ``is_full``.
"""

from __future__ import annotations

import errno
import logging
import math
import socket
from collections.abc import Callable
from typing import Literal

from wsgiserve.server.refusals import ShortageLog
from wsgiserve.server.scoreboard import Row
from wsgiserve.server.sockets import descriptors
from wsgiserve.server.sockets.listener import Listener
from wsgiserve.server.sockets.poller import READ, Poller
from wsgiserve.server.system import accept, monotonic

logger = logging.getLogger("wsgiserve")

ACCEPT_BURST = 64  # connections accepted before others are looked after
PAUSE_SECONDS = 1.0
YIELD_SECONDS = 0.001

State = Literal["open", "yielding", "full", "short", "closed"]
Add = Callable[[socket.socket, str, int, object, Listener], None]


class Acceptor:
    """Accepts from ``listeners``, at most ``cap`` connections at a time.

    ``add`` takes a connection in, ``count`` counts those that are open, ``make_room`` closes idle ones and
    tells whether there were any. ``row`` is there if other processes accept from the same listeners.
    """

    def __init__(
        self,
        listeners: list[Listener],
        poller: Poller,
        cap: int,
        add: Add,
        count: Callable[[], int],
        make_room: Callable[[], bool],
        row: Row | None = None,
    ) -> None:
        self.listeners = {listener.fd: listener for listener in listeners}
        self.state: State = "open"
        self.resume_at = math.inf  # monotonic seconds, while the listeners are not watched
        self._poller = poller
        self._cap = cap
        self._add = add
        self._count = count
        self._make_room = make_room
        self._row = row
        self._burst = ACCEPT_BURST if row is None else 1
        self._ample_below = descriptors.ample_below()
        self._is_doubtful = False  # whether a connection may wait that no process was woken for
        self._next_search = 0.0  # when to look for idle connections again, after none was found
        self._crowded = ShortageLog(
            "all %d connections are in use and new clients wait; times so far: %d; raise --max-connections"
        )
        self._watch()

    @property
    def is_full(self) -> bool:
        """Whether accepting waits for a connection to close."""
        return self.state == "full"

    def publish_count(self) -> None:
        """Tell other workers how many connections there are; from any thread."""
        if self._row is not None and self.state != "closed":
            self._row.set(self._count())

    def accept(self, listener: Listener) -> None:
        """Accept connections from a listener that the poller reported."""
        if self.state != "open":
            return  # Another listener had the last room.
        room = self._room()
        if room > 0:
            self._take(listener, min(self._burst, room))
        if self._row is not None and self.state == "open":
            self._go_behind(self._row, listener)

    def resume(self) -> None:
        """Watch the listeners again if there is room: a connection may have closed."""
        if self.state == "full" and self._count() < self._cap:
            self._watch()

    def resume_if_due(self, now: float) -> None:
        """Watch the listeners again after a pause."""
        if now >= self.resume_at:
            self._watch()

    def look_again(self) -> None:
        """Have the leader watch the listeners anew; from any thread, before its bell is rung.

        The system wakes one process for a connection. If that is killed before it accepts, only a process
        that comes to watch the listener afterwards hears of the connection.
        """
        self._is_doubtful = True

    def watch_anew(self) -> None:
        """Do what ``look_again`` has asked for."""
        if self._is_doubtful:
            self._is_doubtful = False
            self._pause("yielding", 0.0)

    def part(self, *, take_in: bool, deafen: bool) -> None:
        """Listen no more. ``take_in`` accepts first the connections that wait in the system's backlog.

        ``deafen`` lets no further one wait. It is for listeners that no process needs any more. Those to
        which connections may still be on their way stay open until ``close``.
        """
        for listener in list(self.listeners.values()):
            expects = deafen and listener.deafen()
            if take_in:
                self._take_all(listener)
            elif self._row is not None:
                self._take(listener, 1)  # The system may have woken us for it, and nobody else.
            if not expects:
                self._close(listener)

    def close(self) -> None:
        """Take in the connections that wait, and listen no more."""
        for listener in list(self.listeners.values()):
            self._take_all(listener)
            self._close(listener)

    def _take_all(self, listener: Listener) -> None:
        while self._take(listener, ACCEPT_BURST):
            pass

    def _close(self, listener: Listener) -> None:
        if self.state == "open":
            self._poller.forget(listener.fd)
        del self.listeners[listener.fd]
        listener.close()
        if not self.listeners:
            self.state = "closed"
            self.resume_at = math.inf
            if self._row is not None:
                self._row.leave()

    def _room(self) -> int:
        """Return how many connections may be accepted now that one waits; make room or pause if none may."""
        room = self._cap - self._count()
        if room > 0:
            return room
        now = monotonic()
        if now >= self._next_search:
            if self._make_room():
                return self._cap - self._count()
            self._next_search = now + PAUSE_SECONDS
            self._crowded.add(self._cap)
        self._pause("full", PAUSE_SECONDS)
        self.resume()  # A thread may have closed one before it could see that we are full.
        return 0

    def _take(self, listener: Listener, most: int) -> bool:
        """Take new connections in; True if there may be more."""
        for _ in range(most):
            try:
                sock, address = accept(listener.sock, listener.kind)
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return False
            except OSError as error:  # Out of descriptors or memory.
                if error.errno == errno.EINVAL:
                    return False  # Another process has deafened the Unix socket, and nobody waits any more.
                if descriptors.raise_limit():
                    continue
                if not self._make_room():
                    logger.error(
                        "cannot accept connections for a second: %s; where that is for want of "
                        "descriptors, raise the limit of open files (ulimit -n)",
                        error,
                    )
                    self._pause("short", PAUSE_SECONDS)
                return False
            if sock.fileno() >= self._ample_below:
                descriptors.raise_limit()
                self._ample_below = descriptors.ample_below()
            self._add(sock, listener.host, listener.port, address, listener)
        return True

    def _go_behind(self, row: Row, listener: Listener) -> None:
        """Accept nothing for a moment if another worker has fewer connections.

        Else register the listener again, so that epoll wakes the workers that registered before us first.
        """
        self.publish_count()
        place = row.place()
        self._burst = ACCEPT_BURST if place == "alone" else 1
        if place == "ahead":
            self._pause("yielding", YIELD_SECONDS)
        elif place == "even":
            self._poller.forget(listener.fd)
            self._poller.share(listener.fd)

    def _watch(self) -> None:
        for fd in self.listeners:
            if self._row is None:
                self._poller.watch(fd, 0, READ)
            else:
                self._poller.share(fd)
        self.state = "open"
        self.resume_at = math.inf

    def _pause(self, state: State, seconds: float) -> None:
        if self.state == "open":
            for fd in self.listeners:
                self._poller.forget(fd)
        if self.state != "closed":
            self.state = state
            self.resume_at = monotonic() + seconds
