"""The open connections: taking them back from exchanges, waiting for their clients, closing them.

A connection belongs to the loop or to one exchange. An exchange that runs on a thread of its own gives its
connection back by ``settle``. The part above the line "for the leader alone" may run on such a thread; the
rest runs on the leader's.

Rules
- Watching a connection is the last step of giving it back: the leader may act on it at once.
- When the leader scans all connections it touches only watched ones, seen under the lock of ``watch``.
"""

from __future__ import annotations

import logging
import math
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from wsgiserve.config import Config
from wsgiserve.forks import ending_children
from wsgiserve.protocol.errors import RemoteProtocolError
from wsgiserve.protocol.proxy import ProxyHeader
from wsgiserve.protocol.receiver import Receiver
from wsgiserve.protocol.request import RequestHead
from wsgiserve.server.errors import ClientDisconnected
from wsgiserve.server.http.budget import Budget
from wsgiserve.server.http.connection import Connection
from wsgiserve.server.http.exchange import Exchange
from wsgiserve.server.http.extensions import limits, open_connection
from wsgiserve.server.http.gateway import Gateway
from wsgiserve.server.http.peers import Peers
from wsgiserve.server.http.shown import ShownConnection
from wsgiserve.server.own_answers import EVERY_PATH, health, own_paths, redirection, refusal
from wsgiserve.server.refusals import ShortageLog
from wsgiserve.server.shutdown import Shutdown
from wsgiserve.server.sockets.poller import READ, WRITE, Poller
from wsgiserve.server.system import Lock, monotonic, socketpair, start_thread

if TYPE_CHECKING:
    from wsgiserve.server.sockets.certificates import Certificates
    from wsgiserve.server.sockets.listener import Listener
    from wsgiserve.server.sockets.tls import TLSSocket

logger = logging.getLogger("wsgiserve")

LINGER_SECONDS = 2.0
EVICTED_PART = 64  # to make room, close one idle connection and one more per so many: scans are slow


class Connections:
    """The connections of one server. ``on_close`` is called, from any thread, when one was closed."""

    def __init__(
        self,
        gateway: Gateway,
        config: Config,
        poller: Poller,
        shutdown: Shutdown,
        on_close: Callable[[], None],
        awaited: Certificates | None = None,
        exchange: Callable[[Gateway, Connection, RequestHead], Exchange] = Exchange,
    ) -> None:
        self.gateway = gateway
        self._exchange = exchange
        self._make = partial(ShownConnection, gateway.journal) if gateway.counts else Connection
        self.config = config
        self.by_fd: dict[int, Connection] = {}
        self.budget = Budget(config.max_buffered)
        self._crowded = ShortageLog(
            "bodies and responses for slow clients need more than --max-buffered %d, so threads wait for the "
            "clients; times so far: %d; raise --max-buffered if there is memory, or --threads"
        )
        self._poller = poller
        self._shutdown = shutdown
        self._on_close = on_close
        self._awaited = awaited  # until then there is none of a CA, and we are not ready
        self.peers = Peers(config)
        self._limits = limits(config)
        self._own_paths = own_paths(config.health_path)
        self._giving_back = Lock()
        self._arrived: list[Connection] = []
        self._dead_end: socket.socket | None = None  # takes the place of a connection that was taken over

    def __len__(self) -> int:
        return len(self.by_fd)

    # -- for whoever owns the connection

    def settle(self, exchange: Exchange) -> Exchange | None:
        """Give the connection of a finished exchange back, or return its next exchange.

        For the thread of a detached exchange, which owns the connection until this returns None.
        """
        self.gateway.tick()
        try:
            self._send_unless_kept(exchange.connection)
            following = self.go_on(exchange.connection)
        except Exception:  # As in ``EventLoop.turn``; nobody else would ever close it.
            logger.critical("%s: giving it back failed", exchange.connection.peer, exc_info=True)
            self.drop(exchange.connection)
            return None
        finally:
            if self.gateway.access_log is not None:
                self.gateway.access_log.flush()
        if following is not None:
            following.detach()
        return following

    def _send_unless_kept(self, connection: Connection) -> None:
        """Send the rest of a response, and wait for the client, if the loop has no room to keep it."""
        if connection.outgoing and not connection.is_broken and not connection.adjust_share():
            self._crowded.add(self.config.max_buffered)
            try:
                connection.wait_until_sent(connection.pace_from(connection.progress()), connection.progress)
            except ClientDisconnected:
                pass  # The connection knows.
            if not connection.outgoing:
                connection.all_sent()

    def go_on(self, connection: Connection) -> Exchange | None:
        """Have the rest sent, or close, or drop the connection, or return its next exchange."""
        if connection.is_broken:
            self.drop(connection)
        elif connection.outgoing:
            connection.adjust_share()
            connection.demand_progress()
            self.watch(connection, WRITE)
        elif connection.ending:
            self._close(connection)
        else:
            return self.next_exchange(connection)
        return None

    def next_exchange(self, connection: Connection, data: bytes = b"") -> Exchange | None:
        """Take the next request from the received bytes; have more received while bytes are missing."""
        receiver = connection.receiver
        try:
            head = receiver.next_request(data)
        except RemoteProtocolError as error:
            if receiver.phase == "discard":  # The request is answered already.
                connection.close_when_sent()
            else:
                self._refuse(connection, error)
            return self.go_on(connection)
        if head is None:
            head = self._await_rest(connection)
            if head is None:
                return None
        if head.own:
            connection.begin(None)
            exchange = self._exchange(self.gateway, connection, head)
            if head.path in self._own_paths:
                answer = health(self.gateway, connection, head, self._why_unready())
            else:
                answer = redirection(self.gateway, connection, head)
            exchange.answer_itself(*answer)
            return self.go_on(connection)
        exchange = self._exchange(self.gateway, connection, head)
        connection.begin(exchange)
        return exchange

    def _unserved(self, connection: Connection) -> Exchange:
        """Return an exchange for a request that is refused, or will not be complete."""
        return self._exchange(self.gateway, connection, connection.receiver.unserved())

    def _refuse(self, connection: Connection, error: RemoteProtocolError, end: str = "") -> None:
        """Answer a request that may not be served, or will not be complete; see ``refusal``."""
        exchange = self._unserved(connection)
        exchange.answer_itself(*refusal(self.gateway, connection, error, end))

    def _await_rest(self, connection: Connection) -> RequestHead | None:
        """Have more of a request received; return it instead if there is no room to collect its body."""
        receiver = connection.receiver
        if receiver.phase == "body" and not connection.adjust_share():
            self._crowded.add(self.config.max_buffered)
            return receiver.end_collecting()
        connection.await_bytes(monotonic())
        if self._shutdown.plan is not None and receiver.phase == "head":
            connection.hasten(self._shutdown.head_deadline)
        self.watch(connection, READ)
        return None

    def watch(self, connection: Connection, events: int) -> None:
        """Have events reported. For an exchange's thread the last step: the loop may act at once."""
        if connection.watched != events:
            with self._giving_back:
                connection.watch(self._poller, events)

    def unwatch(self, exchange: Exchange) -> None:
        """Take a connection off the poller: its exchange owns it now."""
        connection = exchange.connection
        connection.wait_for_loop()
        connection.watch(self._poller, 0)

    def take_over(self, exchange: Exchange) -> Callable[[], None]:
        """Take the connection of a thread that is written off; return a function that answers the client.

        The thread may be anywhere, also in the middle of a send. So its descriptor is made to lead nowhere
        first, by one system call: from then on nothing that the thread sends leaves. How much of the response
        had left is looked at after that. The thread closes the descriptor when it comes back: closed earlier,
        its number could become a new connection's.
        """
        before = exchange.connection
        exchange.write_off()
        self.by_fd.pop(before.fd, None)
        try:
            if self._dead_end is None:
                self._dead_end, other = socketpair()
                other.close()
            sock = before.sock.dup()
            os.dup2(self._dead_end.fileno(), before.fd, inheritable=False)
        except OSError as error:  # Out of descriptors.
            logger.error("cannot answer a request that took too long: %s", error)
            before.hang_up()
            return self._on_close
        successor = before.replacement(sock)
        self.by_fd[successor.fd] = successor
        return partial(self._answer_overdue, exchange, successor)

    def _answer_overdue(self, exchange: Exchange, successor: Connection) -> None:
        exchange.answer_overdue(successor)
        if self.gateway.access_log is not None:
            self.gateway.access_log.flush()
        self.go_on(successor)

    def _close(self, connection: Connection) -> None:
        """Close a connection whose last response has left.

        Closing a socket with unread bytes resets it, which may destroy the response before the client has
        read it (RFC 9112 §9.6): then close for writing first, and read until the client has closed.
        """
        if connection.handler is not None:
            self._hand_over(connection)
        elif _may_receive_more(connection):
            connection.linger(monotonic() + LINGER_SECONDS)
            self.watch(connection, READ)
        else:
            self.drop(connection)

    def _hand_over(self, connection: Connection) -> None:
        """Give a socket to the handler that an app named when it upgraded the connection."""
        handler, data = connection.handler, bytes(connection.receiver.buffer)
        assert handler is not None
        self.by_fd.pop(connection.fd, None)  # First: one that is not watched counts as running.
        connection.watch(self._poller, 0)
        connection.forget_exchange()
        try:
            sock = connection.taken_over()
            start_thread(_handle, handler, sock, data, name="wsgiserve-upgraded")
        except (OSError, RuntimeError) as error:
            logger.error("cannot hand a connection over: %s", error)
            connection.close()
        self._on_close()

    def drop(self, connection: Connection) -> None:
        """Close a connection at once."""
        self.by_fd.pop(connection.fd, None)  # First: one that is not watched counts as running.
        connection.watch(self._poller, 0)
        self._log_last(connection)
        connection.close()
        self._on_close()

    def _log_last(self, connection: Connection) -> None:
        """Write the log lines of the requests that end with their connection."""
        if connection.unlogged is not None:
            connection.log_unlogged()
        if connection.exchange is not None:
            connection.exchange.lose("cut")
        if connection.receiver.begun and not connection.ending:
            self._unserved(connection).lose("cut")

    # -- for the leader alone

    def add(
        self,
        sock: socket.socket,
        host: str,
        port: int,
        peer: object,
        listener: Listener | None = None,
        said: ProxyHeader | None = None,
        deadline: float = math.inf,
    ) -> None:
        """Take in a connection that was accepted at a listener's host and port.

        Or one that a proxy handed on: what it said, and the deadline of the first request; see ``greeting``.
        """
        environ, trusted = self.gateway.environ, self.peers.is_trusted(peer)
        redirects = listener is not None and listener.secure is not None
        certificates = listener.certificates if listener is not None else None
        secure = certificates is not None or (said is not None and said.tls is not None)
        fields = self.peers.reader(trusted=trusted, scheme="https" if secure else "http")
        receiver = Receiver(self._limits, EVERY_PATH if redirects else self._own_paths, fields)
        connection = open_connection(
            sock,
            environ,
            host,
            port,
            peer,
            self.config,
            receiver,
            self.budget,
            certificates,
            said=said,
            trusted=trusted,
            make=self._make,
        )
        if listener is not None:
            connection.come_by(listener)
        connection.hasten(min(deadline, monotonic() + self.config.head_timeout))
        self.by_fd[connection.fd] = connection
        self.gateway.tally.count("connections")
        self.watch(connection, READ)

    def _why_unready(self) -> str:
        """Return why the readiness check fails; "" if it does not."""
        if not self._shutdown.ready:
            return "stopping"
        waits = self._awaited is not None and self._awaited.is_makeshift
        return "waiting for a certificate" if waits else ""

    def end_of_input(self, connection: Connection) -> None:
        """The client sends no more. If that cuts a request, it may still read why it gets no answer."""
        if connection.tls is not None and self._is_plain(connection, connection.tls):
            self.go_on(connection)
            return
        if connection.receiver.begun and not connection.ending:
            self._refuse(connection, RemoteProtocolError(400, "the request is incomplete"), "client left")
        self.drop(connection)

    def _is_plain(self, connection: Connection, tls: TLSSocket) -> bool:
        """Say why TLS has ended; True if the client was told because it speaks HTTP without TLS."""
        sock = tls.plain()
        if sock is None:
            if tls.failed:
                self.gateway.refusals.add_line("tls", connection.peer, f"TLS, {tls.fault}")
            elif tls.fault:
                logger.debug("%s: %s", connection.peer, tls.fault)
            return False
        connection.lay_tls_down(sock)
        assert connection.door is not None
        url = connection.door.url_for_plain(tls.first)
        self._refuse(connection, RemoteProtocolError(400, f"this port speaks https alone; use {url}"))
        return True

    def go_on_greeting(self, connection: Connection, tls: TLSSocket) -> None:
        """Watch for room too while a message of TLS itself waits for it."""
        self.watch(connection, READ | WRITE if tls.waits_to_send else READ)

    def flush(self, connection: Connection) -> bool:
        """Send as much as the socket takes; True once all has left and the connection can go on."""
        try:
            connection.flush()
        except ClientDisconnected:
            self.drop(connection)
            return False
        if connection.outgoing:
            connection.adjust_share()
            return False
        connection.all_sent()
        return True

    def expire(self, connection: Connection) -> None:
        """End a connection whose deadline has passed, unless its client moved bytes fast enough."""
        pace = connection.pace
        if pace is not None and not pace.too_slow(connection.progress):
            connection.look_later()
        elif connection.receiver.begun and connection.ending != "linger" and not connection.outgoing:
            self._refuse(connection, RemoteProtocolError(408, "the request did not arrive in time"))
            self.go_on(connection)
        else:
            if connection.outgoing:
                connection.cut(reset=True)  # Drops the bytes that the system still holds.
            self.drop(connection)

    def watched(self) -> list[Connection]:
        """Return the connections that no exchange owns.

        The lock is that of ``watch``: a connection that is being given back counts once it is really watched.
        """
        with self._giving_back:
            return [connection for connection in list(self.by_fd.values()) if connection.watched]

    def make_room(self) -> bool:
        """Close the connections that have been idle longest; True if there were any."""
        idle = [connection for connection in self.watched() if connection.is_idle]
        idle.sort(key=lambda connection: connection.deadline)
        wanted = len(idle) // EVICTED_PART + 1
        dropped = 0
        for connection in idle:
            dropped += self._drop_unless_arrived(connection)
            if dropped == wanted:
                break
        return dropped > 0

    def _drop_unless_arrived(self, connection: Connection) -> bool:
        """Close an idle connection; False if a request has arrived since the poll: this is the last look."""
        data = connection.receive()
        if data:
            connection.receiver.receive_data(data)
            self._arrived.append(connection)
        else:
            self.drop(connection)
        return not data

    def take_arrived(self) -> list[Connection]:
        """Return the connections that were to be closed, but have a request to be served."""
        arrived, self._arrived = self._arrived, []
        return arrived

    def put_off(self, seconds: float) -> None:
        """Put all deadlines off."""
        for connection in self.watched():
            connection.put_off(seconds)

    def close_idle(self) -> None:
        """Close idle connections, as the server stops."""
        for connection in self.watched():
            receiver = connection.receiver
            if not connection.has_deadline or connection.outgoing or connection.ending == "linger":
                continue
            if receiver.phase != "head":
                continue
            if receiver.buffer or not self._drop_unless_arrived(connection):
                connection.hasten(self._shutdown.head_deadline)

    def running(self) -> int:
        """Count the requests that run on threads of their own, or wait for one; from any thread.

        The leader's own call is not counted: its connection stays watched.
        """
        return sum(1 for connection in list(self.by_fd.values()) if not connection.watched)

    def unfinished(self, inline: Exchange | None) -> list[str]:
        """Return a text for each unfinished request: method, path and, unless the app has it, what lacks.

        ``inline`` is the leader's call in progress.
        """
        texts = (_missing(connection, inline) for connection in list(self.by_fd.values()))
        return [text for text in texts if text]

    def log_unfinished(self, inline: Exchange | None) -> None:
        """Write the log lines of the unfinished requests, as the process ends before they do."""
        for connection in list(self.by_fd.values()):
            begun = connection.receiver.begun
            if begun or _missing(connection, inline):
                self._log_last(connection)
            if begun:  # It must not be served after all, nor logged again.
                connection.close_when_sent()
                connection.hang_up()

    def leave(self) -> None:
        """Close our descriptors in a process that the app forked."""
        for connection in list(self.by_fd.values()):
            connection.leave()
        self.by_fd.clear()
        if self._dead_end is not None:
            self._dead_end.close()

    def close(self) -> None:
        """Close everything."""
        for connection in list(self.by_fd.values()):
            self._log_last(connection)
            connection.close()
        if self._dead_end is not None:
            self._dead_end.close()


def _handle(handler: Callable[[socket.socket, bytes], object], sock: socket.socket, data: bytes) -> None:
    with ending_children():
        handler(sock, data)


def _may_receive_more(connection: Connection) -> bool:
    exchange, receiver = connection.exchange, connection.receiver
    if exchange is None or exchange.request.keep_alive or receiver.phase != "head":
        return True  # It was not the client who asked to close, or it has not finished.
    return bool(receiver.buffer or connection.receive())


def _missing(connection: Connection, inline: Exchange | None) -> str:
    head, exchange = connection.receiver.incomplete, connection.exchange
    if head is not None:
        return f"{head.method} {head.path} (its body was still arriving)"
    if exchange is None:
        return ""
    request = f"{exchange.request.method} {exchange.request.path}"
    if not connection.watched or exchange is inline:
        return request
    return f"{request} (its response was still being sent)" if connection.outgoing else ""
