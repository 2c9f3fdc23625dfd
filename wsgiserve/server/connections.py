"""Who has a connection: taking it back from an exchange, having it watched, closing it.

What is in here may run on the thread of a detached exchange, which owns the connection until ``settle`` has
given it back. Everything else that touches connections is in ``loop``, for the leader alone.

Rules
- Watching a connection is the last step of giving it back: the leader may act on it at once.
- The leader takes a connection that nobody asked it to look at for its own only if it is watched, seen under
  the lock of ``_watch``.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
from collections.abc import Callable
from functools import partial
from time import monotonic

from wsgiserve.config import Config
from wsgiserve.protocol import RemoteProtocolError, RequestHead, error_response
from wsgiserve.server.errors import ClientDisconnected
from wsgiserve.server.http.connection import Connection
from wsgiserve.server.http.exchange import Exchange
from wsgiserve.server.http.gateway import Gateway
from wsgiserve.server.http.pace import Pace
from wsgiserve.server.own_answers import HealthAsked, answer
from wsgiserve.server.sockets.poller import READ, WRITE, Poller

logger = logging.getLogger("wsgiserve")

LINGER_SECONDS = 2.0


class Custody:
    """The connections of one server, and what may be done with one by whoever owns it."""

    def __init__(self, gateway: Gateway, config: Config, poller: Poller) -> None:
        self.gateway = gateway
        self.config = config
        self.poller = poller
        self.connections: dict[int, Connection] = {}
        self._full = False  # whether accepting waits for a connection to close or to be idle
        self._giving_back = threading.Lock()
        self._stop_at = math.inf  # when the server stops: by then a head has to be there
        self._dead_end: socket.socket | None = None  # what stands for a connection that was taken over
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._ringer.setblocking(False)
        self.poller.watch(self._bell.fileno(), 0, READ)

    def settle(self, exchange: Exchange) -> Exchange | None:
        """Give the connection of a finished exchange back, or return its next exchange.

        For the thread of a detached exchange, which owns the connection until this returns None.
        """
        self.gateway.tick()
        try:
            following = self._settle(exchange.connection)
        except Exception:  # As in ``turn``; nobody else would ever close it.
            logger.critical("%s: giving it back failed", exchange.connection.peer, exc_info=True)
            self._drop(exchange.connection)
            return None
        finally:
            if self.gateway.access_log is not None:
                self.gateway.access_log.flush()
        if following is not None:
            following.detached = True
        return following

    def _settle(self, connection: Connection) -> Exchange | None:
        """Do what the state of a connection asks for; return the next exchange once it is complete."""
        if connection.broken:
            self._drop(connection)
        elif connection.outgoing:
            self._demand_progress(connection)
            self._watch(connection, WRITE)
        elif connection.closing:
            self._close(connection)
        else:
            return self._next_exchange(connection)
        return None

    def _next_exchange(self, connection: Connection, data: bytes = b"") -> Exchange | None:
        """Cut the next request off what a connection has read; while it is incomplete, wait for more."""
        try:
            head = connection.next_request(data)
        except RemoteProtocolError as error:
            if connection.phase == "discard":  # It is answered already.
                connection.closing = True
            else:
                self._refuse(connection, error)
            return self._settle(connection)
        except HealthAsked as asked:
            self._answer_health(connection, asked.head)
            return self._settle(connection)
        if head is None:
            self._await_bytes(connection)
            return None
        connection.reading_head = False
        exchange = connection.exchange = Exchange(self.gateway, connection, head)
        return exchange

    def _answer_health(self, connection: Connection, head: RequestHead) -> None:
        """Answer in place of the app. Behind a request with a body, or with another behind it, it closes."""
        keep_alive = head.keep_alive and not head.block.has_body and not connection.reader.buffer
        data, persists = answer(self.gateway, head, keep_alive)
        connection.reading_head = False
        connection.closing = not persists
        try:
            connection.send(data)
        except ClientDisconnected:
            pass  # Its flag is set.

    def _await_bytes(self, connection: Connection) -> None:
        if connection.phase == "discard" or connection.phase == "body":
            if connection.pace is None:
                self._demand_progress(connection)
        elif not connection.reader.buffer:
            if not connection.reading_head:
                connection.deadline = monotonic() + self.config.keep_alive
        elif not connection.reading_head:  # Absolute: more bytes do not buy more time.
            connection.reading_head = True
            connection.deadline = monotonic() + self.config.head_timeout
        if self._stop_at < math.inf and connection.phase == "head":
            connection.deadline = min(connection.deadline, self._stop_at)
        self._watch(connection, READ)

    def _demand_progress(self, connection: Connection) -> None:
        """Have the client looked at in a while; see ``Pace``."""
        connection.pace = Pace(self.config, connection.progress())
        connection.deadline = monotonic() + self.config.stall_timeout

    def _refuse(self, connection: Connection, error: RemoteProtocolError) -> None:
        """Answer what may not be served; nothing is served on the connection after it."""
        self.gateway.refusals.add(connection.peer, error)
        connection.closing = True
        self._send_refusal(connection, error)

    def _send_refusal(self, connection: Connection, error: RemoteProtocolError) -> None:
        head, body = error_response(error.status, error.detail, self.gateway.standing())
        try:
            connection.send(head if connection.reader.method == "HEAD" else head + body)
        except ClientDisconnected:
            pass  # Its flag is set.

    # -- watching and closing

    def _watch(self, connection: Connection, events: int) -> None:
        """Have events reported. For an exchange's thread the last step: the loop may act at once."""
        before = connection.watched
        if before == events:
            return
        with self._giving_back:
            connection.watched = events
            self.poller.watch(connection.fd, before, events)

    def unwatch(self, exchange: Exchange) -> None:
        """Take a connection off the poller: its exchange owns it now."""
        connection = exchange.connection
        connection.deadline = math.inf
        if connection.watched:
            connection.watched = 0
            self.poller.forget(connection.fd)

    def take_over(self, exchange: Exchange) -> Callable[[], None]:
        """Take the connection away from a thread that is written off; return what answers the client.

        The thread may be anywhere, also in the middle of a send. So first its descriptor is made to lead
        nowhere, in one step of the system: what it has not sent by then does not leave. How far it came is
        looked at after that. The descriptor is closed when the thread comes back, lest a new connection get
        its number meanwhile.
        """
        before = exchange.connection
        exchange.write_off()
        self.connections.pop(before.fd, None)
        try:
            if self._dead_end is None:
                self._dead_end, other = socket.socketpair()
                other.close()
            sock = before.sock.dup()
            os.dup2(self._dead_end.fileno(), before.fd, inheritable=False)
        except OSError as error:  # Out of descriptors.
            logger.error("cannot answer a request that took too long: %s", error)
            before.hang_up()
            return self._tell_of_room
        connection = Connection(sock, before.peer, before.layer, self.config)
        connection.closing = True
        self.connections[connection.fd] = connection
        return partial(self._answer_overdue, exchange, connection)

    def _answer_overdue(self, exchange: Exchange, connection: Connection) -> None:
        """Answer 504, unless the response has begun: then what is missing of it is visibly cut."""
        before, log = exchange.connection, self.gateway.access_log
        if exchange.complete:  # The app hangs in ``close()``.
            connection.outgoing, before.outgoing = before.outgoing, []
            connection.unsent = before.unsent
        elif exchange.head_sent:
            connection.broken = connection.reset = True
            if exchange.stream is not None or exchange.pace is not None:
                # Its thread may wait for the socket, which then stays open for as long as that does.
                connection.hang_up()
        else:
            head, body = error_response(504, "the application took too long", self.gateway.standing())
            exchange.status, exchange.sent = 504, 0 if exchange.request.method == "HEAD" else len(body)
            try:
                connection.send(head if exchange.request.method == "HEAD" else head + body)
            except ClientDisconnected:
                pass  # Its flag is set.
        if log is not None:
            log.add(exchange, max(0, exchange.sent - before.left()))
            log.flush()
        self._settle(connection)

    def _own_connections(self) -> list[Connection]:
        """Return the connections that no exchange owns.

        The lock is that of ``_watch``: what an exchange gives back is ours once it is really watched.
        """
        with self._giving_back:
            return [connection for connection in list(self.connections.values()) if connection.watched]

    def _close(self, connection: Connection) -> None:
        """Close a connection whose last response has left.

        Closing a socket with unread bytes resets it, which may destroy the response before the client has
        read it (RFC 9112 §9.6): then close for writing first, and read until the client has closed.
        """
        if connection.handler is not None:
            self._hand_over(connection)
        elif self._may_send_more(connection):
            connection.phase = "linger"
            connection.end_of_output()
            connection.closing = False
            connection.pace = None
            connection.deadline = monotonic() + LINGER_SECONDS
            self._watch(connection, READ)
        else:
            self._drop(connection)

    def _may_send_more(self, connection: Connection) -> bool:
        exchange = connection.exchange
        if exchange is None or exchange.request.keep_alive or connection.phase != "head":
            return True  # It was not the client who asked to close, or it has not finished.
        return bool(connection.reader.buffer or connection.receive())

    def _hand_over(self, connection: Connection) -> None:
        """Give a socket to the handler that an app named when it upgraded; it is ours no more."""
        handler, data = connection.handler, bytes(connection.reader.buffer)
        if connection.watched:
            self.poller.forget(connection.fd)
        self.connections.pop(connection.fd, None)
        connection.sock.setblocking(True)
        connection.forget_exchange()
        thread = threading.Thread(target=handler, args=(connection.sock, data), daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            logger.error("cannot hand a connection over: %s", error)
            connection.close()
        self._tell_of_room()

    def _drop(self, connection: Connection) -> None:
        if connection.watched:
            self.poller.forget(connection.fd)
        self.connections.pop(connection.fd, None)
        if connection.unlogged is not None:
            connection.unlogged.log()
        connection.close()
        self._tell_of_room()

    def _tell_of_room(self) -> None:
        """A connection is no longer ours: another may come, or it was the last one."""
        if self._full or self.gateway.stopping:
            self.wake()

    def wake(self) -> None:
        """End the poller's wait; safe from any thread and from a signal handler."""
        try:
            self._ringer.send(b".")
        except (BlockingIOError, OSError):
            pass  # Enough rings are waiting, or the loop is over.
