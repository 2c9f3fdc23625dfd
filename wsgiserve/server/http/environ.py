"""The WSGI environ (PEP 3333 "environ Variables", RFC 3875), in three layers of one lifetime each.

The server's layer is built once. A connection adds its own to it once. A request joins that with its fields,
which have their keys already (see ``protocol.fields``), and adds its request line and its body. So a request
on a kept-alive connection costs one join of two dicts and a few stores. One whose whole head is repeated
costs a copy of the environ before: see ``Connection.environ_of``.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from wsgiserve.protocol.fields import FORWARDED
from wsgiserve.protocol.forwarded import TRUSTED, as_ipv4
from wsgiserve.protocol.proxy import ProxyHeader
from wsgiserve.protocol.request import RequestHead
from wsgiserve.server.http.file_wrapper import FileWrapper
from wsgiserve.server.system import monotonic
from wsgiserve.version import __version__

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import StartResponse, WSGIApplication

Environ = dict[str, Any]


class NoBody(io.BufferedIOBase):
    """``wsgi.input`` of all requests without a body: one object, empty and unchangeable."""

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return no bytes."""
        return b""

    read1 = readline = read

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill in nothing."""
        return 0

    def close(self) -> None:
        """Stay open: other requests use it too."""


def server_environ(*, multithread: bool, multiprocess: bool) -> Environ:
    """Make the layer that every request of a server shares.

    It has the keys of a request already: adding keys to a copy of a dict would make the copy grow.
    """
    return {
        "REQUEST_METHOD": "",
        "PATH_INFO": "",
        "QUERY_STRING": "",
        "RAW_URI": "",
        "REQUEST_URI": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.input": NoBody(),
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": f"wsgiserve/{__version__}",
        "SCRIPT_NAME": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,
        "wsgiserve.deadline": None,
    }


def with_deadline(app: WSGIApplication, seconds: float) -> WSGIApplication:
    """Return ``app``, with the deadline of each call in its environ."""

    def call(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgiserve.deadline"] = monotonic() + seconds
        return app(environ, start_response)

    return call


def connection_environ(server: Environ, host: str, port: int, peer: tuple[Any, ...] | str | bytes) -> Environ:
    """Add the layer of a connection: the listener's name, the peer's address, IPv4 in IPv6 as IPv4.

    A peer on a Unix socket has no address. REMOTE_ADDR is then "", so that ``environ["REMOTE_ADDR"]`` works.
    """
    layer = server | {"SERVER_NAME": host or "localhost", "SERVER_PORT": str(port), "REMOTE_ADDR": ""}
    if isinstance(peer, tuple):
        layer["REMOTE_ADDR"] = as_ipv4(peer[0])
        layer["REMOTE_PORT"] = str(peer[1])
    return layer


def proxied_environ(said: ProxyHeader) -> Environ:
    """Return what a connection's layer has besides, behind a proxy that speaks the PROXY protocol.

    The names are those of Apache's mod_ssl, which apps know.
    """
    layer: Environ = {FORWARDED: "proxy protocol"}
    if said.unique_id:
        layer["wsgiserve.connection_id"] = said.unique_id.decode("latin-1")
    if said.server_name:
        layer["SSL_TLS_SNI"] = said.server_name
    tls = said.tls
    if tls is not None:
        layer |= {
            "wsgi.url_scheme": "https",
            "HTTPS": "on",
            "SSL_PROTOCOL": tls.version,
            "SSL_CIPHER": tls.cipher,
        }
        layer["SSL_CLIENT_VERIFY"] = {None: "NONE", True: "SUCCESS", False: "FAILED"}[tls.verified]
        if tls.common_name:
            layer["SSL_CLIENT_S_DN_CN"] = tls.common_name
    return layer


def request_environ(layer: Environ, head: RequestHead) -> Environ:
    """Make one request's environ from the layer of its connection; the caller adds its body."""
    environ = layer | head.fields
    path = head.path
    environ["REQUEST_METHOD"] = head.method
    environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1") if "%" in path else path
    environ["QUERY_STRING"] = head.query
    environ["RAW_URI"] = environ["REQUEST_URI"] = head.target
    if not head.minor:
        environ["SERVER_PROTOCOL"] = "HTTP/1.0"
    if head.authority is not None and environ.get(FORWARDED) != TRUSTED:
        # RFC 9112 §3.2.2: it replaces the Host field; a proxy has made its own of it.
        environ["HTTP_HOST"] = head.authority
    return environ
