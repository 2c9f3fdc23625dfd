"""The environ's callables beyond PEP 3333; ``docs/reference.md`` documents each.

| key | effect |
|---|---|
| ``wsgi.early_hints`` | sends ``103 Early Hints`` |
| ``wsgiserve.client_gone`` | tells whether the client has closed its side |
| ``wsgiserve.request_trailers`` | returns the trailer fields of the request body |
| ``wsgiserve.send_trailers`` | sets the trailer fields of the response |
| ``wsgiserve.upgrade`` | takes the socket over, where the client asked to upgrade |

They are made once per connection and act on its running exchange, so other requests do not pay for them. An
app may call them until it has returned and its result is closed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wsgiserve.config import Config
from wsgiserve.protocol.body import ChunkedReader
from wsgiserve.protocol.errors import LocalProtocolError
from wsgiserve.protocol.limits import Limits
from wsgiserve.protocol.proxy import ProxyHeader
from wsgiserve.protocol.receiver import Receiver
from wsgiserve.protocol.response import early_hints, trailer_lines
from wsgiserve.server.http.budget import Budget
from wsgiserve.server.http.connection import Connection, Running
from wsgiserve.server.http.environ import Environ, connection_environ, proxied_environ

if TYPE_CHECKING:
    from wsgiserve.server.sockets.certificates import Certificates

Fields = list[tuple[str, str]]
UpgradeHandler = Callable[[socket.socket, bytes], object]


class Extensions:
    """The extensions of one connection."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def environ(self) -> dict[str, Any]:
        """Return the keys for every request of the connection."""
        return {
            "wsgi.early_hints": self.early_hints,
            "wsgiserve.client_gone": self.client_gone,
            "wsgiserve.request_trailers": self.request_trailers,
            "wsgiserve.send_trailers": self.send_trailers,
            "wsgiserve.upgrade": self.upgrade,
        }

    def early_hints(self, fields: Fields) -> None:
        """Send ``103 Early Hints`` with these fields (RFC 8297); nothing to a client of HTTP/1.0."""
        message = early_hints(fields)
        exchange = self._unanswered()
        if exchange.request.minor:
            exchange.send(message)

    def client_gone(self) -> bool:
        """Tell whether the client has closed the connection or its sending side; costs one system call."""
        return self._connection.is_broken or self._connection.closed_by_client()

    def request_trailers(self) -> Fields:
        """Return the request's trailer fields as (name, value); [] until the body was read to its end."""
        exchange, reader = self._connection.exchange, self._connection.receiver.last_body_reader
        if exchange is None or not exchange.request.meaning.chunked or not isinstance(reader, ChunkedReader):
            return []
        return list(reader.trailers)

    def send_trailers(self, fields: Fields) -> None:
        """Set the fields to send behind the body (RFC 9110 §6.5), in place of those set before.

        They leave only behind a chunked body, and only if the client said ``TE: trailers`` (§6.5.1).
        """
        lines = trailer_lines(fields)
        if self._connection.exchange is not None:
            self._connection.exchange.set_trailers(lines)

    def upgrade(self, protocol: str, handler: UpgradeHandler, fields: Fields | None = None) -> None:
        """Answer ``101 Switching Protocols`` once the app returns, and give the socket to ``handler``.

        ``handler(sock, data)`` runs on a thread of its own, outside the server's count of calls. ``sock`` is
        blocking and the handler's to close; ``data`` are the bytes that the client sent behind its request.
        If the client did not ask for an upgrade (RFC 9110 §7.8), LocalProtocolError is raised.
        """
        exchange = self._unanswered()
        if not exchange.request.asks_upgrade:
            raise LocalProtocolError(
                "this client did not ask for an upgrade; answer 426 with an Upgrade field"
            )
        exchange.upgrade(protocol, handler, fields or [])

    def _unanswered(self) -> Running:
        exchange = self._connection.exchange
        if exchange is None or exchange.head_sent:
            raise LocalProtocolError("too late: the response to this request has left already")
        return exchange


def open_connection(
    sock: socket.socket,
    server: Environ,
    host: str,
    port: int,
    peer: Any,
    config: Config,
    receiver: Receiver,
    budget: Budget,
    certificates: Certificates | None = None,
    *,
    said: ProxyHeader | None = None,
    trusted: bool = False,
    make: Callable[..., Connection] = Connection,
) -> Connection:
    """Make the connection of a socket accepted at ``host`` and ``port``, with its layer of the environ.

    With ``certificates`` it begins with TLS. ``said`` is what its proxy said in the PROXY protocol. A
    ``trusted`` peer is no client, so only its fields could tell the client's port.
    """
    sock.setblocking(False)
    layer = connection_environ(server, host, port, peer)
    if trusted:
        layer.pop("REMOTE_PORT", None)
    if said is not None:
        layer |= proxied_environ(said, ends_tls=certificates is None)
    peer_address = layer["REMOTE_ADDR"]
    if certificates is None:
        connection = make(sock, peer_address, layer, config, receiver, budget)
    else:
        layer |= {"wsgi.url_scheme": "https", "HTTPS": "on"}
        tls = certificates.wrap(sock, layer.update)
        connection = make(tls, peer_address, layer, config, receiver, budget)
    layer.update(Extensions(connection).environ())
    return connection


def limits(config: Config) -> Limits:
    """Return the configured limits of a request."""
    return Limits(config.max_line, config.max_head, config.max_fields, config.max_body)
