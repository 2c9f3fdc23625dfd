"""One connection over a socket pair: a client and the server's side of it take turns on one thread.

There is no port, no loop, no second thread and no sleep. When the client reads, the server's side is driven
as far as the bytes allow. When the app waits for its client (``Gateway.tell_before_wait``), the client sends
more of its bytes and reads. So bodies may be larger than the socket's buffer, in both directions.

A reset, and a client that acts while the app runs, need a real connection: such tests are live.
"""

from __future__ import annotations

import socket

from tests.server.apps import checked
from tests.server.client import Client
from wsgiserve.config import make_config
from wsgiserve.server.connections import Connections
from wsgiserve.server.http.gateway import Gateway
from wsgiserve.server.http.recorded import exchange_type
from wsgiserve.server.shutdown import Shutdown

PORTS = (8000, 50000)  # the server's and the client's, as the environ names them


class NoPoller:
    """Watch nothing: nobody polls here."""

    def watch(self, fd, before, events):
        pass

    def forget(self, fd):
        pass


class Lone(Client):
    """A client and its connection; the validator is around ``app``, except where it is served ``bare``.

    ``board`` counts the requests.
    """

    def __init__(self, app, *, bare=False, board=None, **options):
        config = make_config(**{"access_log": False, **options})
        self.gateway = Gateway(
            app if bare else checked(app),
            config,
            tally=board and board.tally,
            in_flight=board and board.in_flight,
        )
        self.gateway.tell_before_wait(lambda exchange: self._pump())
        self.shutdown = Shutdown()
        self.connections = Connections(
            self.gateway,
            config,
            NoPoller(),
            self.shutdown,
            lambda: None,
            exchange=exchange_type(self.gateway, request_id=config.request_id),
        )
        self.sock, theirs = socket.socketpair()
        self.sock.setblocking(False)
        self.connections.add(theirs, "127.0.0.1", PORTS[0], ("127.0.0.1", PORTS[1]))
        (self.connection,) = self.connections.by_fd.values()
        self.unread = b""
        self._unsent = bytearray()
        self._arrived = bytearray()
        self._sends_no_more = self._over = False

    def close(self):
        self.sock.close()
        self.connections.close()

    @property
    def is_open(self):
        """Whether the server still has the connection."""
        return bool(self.connections.by_fd)

    def send(self, data):
        """Have ``data`` sent as the server takes it."""
        self._unsent += data

    def half_close(self):
        """Close the sending side once everything is sent."""
        self._sends_no_more = True

    def serve(self):
        """Drive the server as far as the bytes allow; return the bytes that have arrived."""
        self._pump()
        while self._turn():
            self._pump()
        self._pump()
        arrived = self.unread + bytes(self._arrived)
        self.unread = b""
        self._arrived.clear()
        return arrived

    def rest(self):
        data = self.serve()
        assert self._over, f"the server waits for more, behind {data[-200:]!r}"
        return data

    def _receive(self, so_far):
        self.unread = b""
        piece = self.serve()
        if not piece:
            assert self._over, f"the server waits for more, behind {bytes(so_far[-200:])!r}"
            raise EOFError(f"the response ends after {len(so_far)} bytes: {bytes(so_far[-200:])!r}")
        return piece

    def _pump(self):
        """Send and receive as much as the socket takes and has."""
        try:
            while self._unsent:
                del self._unsent[: self.sock.send(self._unsent)]
            if self._sends_no_more:
                self.sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()  # The server has closed the connection.
        try:
            while piece := self.sock.recv(1 << 20):
                self._arrived += piece
            self._over = True
        except BlockingIOError:
            pass

    def _turn(self):
        """Handle one event as the loop does; return False if there is none."""
        connections, connection = self.connections, self.connection
        if not self.is_open:
            return False
        if connection.outgoing:
            if not connections.flush(connection):
                return True
            exchange = connections.go_on(connection)
        else:
            data = connection.receive()
            if not data:
                if data is not None:
                    connections.end_of_input(connection)
                return False
            if connection.ending == "linger":
                return True
            exchange = connections.next_exchange(connection, data)
        while exchange is not None:
            exchange.run()
            exchange = connections.go_on(connection)
        return True


def ask(data, app, **options):
    """Send ``data``, end the sending side, and return all that the server answers."""
    with Lone(app, **options) as client:
        client.send(data)
        client.half_close()
        return client.rest()
