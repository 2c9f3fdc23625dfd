"""The WSGI environ (PEP 3333 "environ Variables", RFC 3875), in three layers of one lifetime each.

The server's layer is built once, the connection's once per connection, and that of the header fields once for
all successive requests that repeat the same fields. A request copies the last layer and adds its request line
and its body. So a request on a kept-alive connection costs a dict copy and a few stores.

Rule: no field can pass for another. A name with an underscore is dropped, since ``X_Real_Ip`` would become
the key of ``X-Real-Ip``; ``Proxy`` is dropped, since CGI code reads HTTP_PROXY as a setting (httpoxy).
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from wsgiserve.protocol.fields import FieldBlock
from wsgiserve.protocol.request import RequestHead
from wsgiserve.server.http.file_wrapper import FileWrapper
from wsgiserve.server.system import monotonic
from wsgiserve.version import __version__

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import StartResponse, WSGIApplication

Environ = dict[str, Any]

_MAX_KEYS, _MAX_NAME = 1000, 64
_keys: dict[str, str | None] = {}


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


def connection_environ(host: str, port: int, peer: tuple[Any, ...] | str | bytes) -> Environ:
    """Make the layer of a connection: the listener's name, the peer's address, IPv4 in IPv6 as IPv4.

    A peer on a Unix socket has no address. REMOTE_ADDR is then "", so that ``environ["REMOTE_ADDR"]`` works.
    """
    layer = {"SERVER_NAME": host or "localhost", "SERVER_PORT": str(port), "REMOTE_ADDR": ""}
    if isinstance(peer, tuple):
        layer["REMOTE_ADDR"] = peer[0].removeprefix("::ffff:") if "." in peer[0] else peer[0]
        layer["REMOTE_PORT"] = str(peer[1])
    return layer


def block_environ(server: Environ, connection: Environ, block: FieldBlock) -> Environ:
    """Add a block of fields to the layers before it.

    Fields of equal names are joined in order (RFC 9110 §5.3, for Cookie RFC 9113 §8.2.3).
    """
    environ = server | connection
    for name, value in block.pairs:
        key = _environ_key(name)
        if key is None:
            continue
        if key in environ and key.startswith("HTTP_"):
            value = environ[key] + ("; " if key == "HTTP_COOKIE" else ", ") + value
        environ[key] = value
    return environ


def request_environ(layer: Environ, head: RequestHead) -> Environ:
    """Make one request's environ from the layer of its fields; the caller adds its body."""
    environ = layer.copy()
    path = head.path
    environ["REQUEST_METHOD"] = head.method
    environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1") if "%" in path else path
    environ["QUERY_STRING"] = head.query
    environ["RAW_URI"] = environ["REQUEST_URI"] = head.target
    if not head.minor:
        environ["SERVER_PROTOCOL"] = "HTTP/1.0"
    if head.authority is not None:  # RFC 9112 §3.2.2: it replaces the Host field
        environ["HTTP_HOST"] = head.authority
    return environ


def _environ_key(name: str) -> str | None:
    try:
        return _keys[name]
    except KeyError:
        pass
    upper = name.upper()
    key: str | None = "HTTP_" + upper.replace("-", "_")
    if "_" in name or upper == "PROXY":
        key = None
    elif upper in ("CONTENT-TYPE", "CONTENT-LENGTH"):
        key = upper.replace("-", "_")
    if len(_keys) < _MAX_KEYS and len(name) <= _MAX_NAME:  # A client may send a new name each time.
        _keys[name] = key
    return key
