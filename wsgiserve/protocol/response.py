"""Responses: the app's status and headers, checked and rendered.

Strategy. ``response_head`` turns a status string and a header list into a :class:`ResponseHead`, validated
as one block with one pattern and rendered once, so that equal responses can share the value.
``response_framing`` decides how the client will know where the body ends. ``render_head`` joins both with
the few fields that differ each time.

Rules
- Nothing that the app gave is repaired, split or half sent: it is valid as a whole or refused as a whole.
- The fields that frame bytes on this connection are the server's (PEP 3333, "Other HTTP Features").
"""

from __future__ import annotations

from typing import Any, Literal

from wsgiserve.protocol import grammar
from wsgiserve.protocol.errors import LocalProtocolError

# RFC 2616 §13.5.1, to which PEP 3333 refers: "applications … may not use hop-by-hop features"; RFC 9110
# §7.6.1 adds Proxy-Connection.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailers",
        "transfer-encoding",
        "upgrade",
    }
)

REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}

# RFC 9110 §10.2.3: Retry-After of a 503. Nobody knows the right time; most bursts are over by then.
RETRY_SECONDS = 5

# RFC 9110 §6.5.1: fields that must be known before the body, and so cannot come behind it.
NOT_IN_TRAILERS = frozenset(
    {
        "authorization",
        "cache-control",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "date",
        "expires",
        "host",
        "location",
        "retry-after",
        "set-cookie",
        "trailer",
        "vary",
        "www-authenticate",
    }
)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n%b\r\n"  # with the trailer lines

# How the client knows where the response's body ends (RFC 9112 §6.3). "none": there is no body, and no field
# speaks of one. "head": no body either, but the Content-Length that it would have, where that is known.
Framing = Literal["none", "length", "head", "chunked", "close"]


NEVER: tuple[object, Any] = (None, None)  # no epoch


class ResponseHead:
    """The arguments of ``start_response``, valid and rendered.

    ``block`` is the status line and the app's header lines, without Content-Length; ``content_length`` is the
    app's own, else None; ``status`` is the code; ``has_date``, ``has_server`` and ``has_id`` (X-Request-ID)
    tell whether the app set these. ``rendered`` caches the rendered start of the response; the server fills
    it.
    """

    __slots__ = ("block", "content_length", "has_date", "has_id", "has_server", "rendered", "status")

    def __init__(
        self,
        status: int,
        block: bytes,
        content_length: int | None,
        has_date: bool,
        has_server: bool,
        has_id: bool = False,
    ) -> None:
        self.status = status
        self.block = block
        self.content_length = content_length
        self.has_date = has_date
        self.has_server = has_server
        self.has_id = has_id
        self.rendered = NEVER

    def cache(self, epoch: object, start: Any) -> None:
        """Keep the rendered start of the response, which is right during an epoch of the server's clock."""
        self.rendered = (epoch, start)


def response_head(status: str, headers: list[tuple[str, str]]) -> ResponseHead:
    """Check and render the arguments of ``start_response``; raise LocalProtocolError to refuse them."""
    match = grammar.STATUS.fullmatch(status) if isinstance(status, str) else None
    if match is None:
        raise LocalProtocolError(f"the status must be a string such as '200 OK', not {status!r}")
    code = int(match[1])
    if code < 200:
        raise LocalProtocolError(f"{status!r} is not a final status; an app cannot send it")
    content_length: int | None = None
    names = set()
    lines = []
    for name, value in _checked(headers):
        lower = name.lower()
        if lower in HOP_BY_HOP:
            raise LocalProtocolError(f"the header {name} is the server's own (PEP 3333); leave it out")
        if lower == "content-length":
            content_length = _content_length(value, content_length)
        else:
            lines.append(f"{name}: {value}\r\n")
        names.add(lower)
    status_line = f"HTTP/1.1 {match[1]} {match[2] or ''}\r\n"
    block = status_line.encode("latin-1") + _render_lines(lines)
    return ResponseHead(
        code, block, content_length, "date" in names, "server" in names, "x-request-id" in names
    )


def early_hints(fields: list[tuple[str, str]]) -> bytes:
    """Render ``103 Early Hints`` (RFC 8297 §2)."""
    return b"HTTP/1.1 103 Early Hints\r\n%b\r\n" % _field_lines(fields)


def switching_protocols(protocol: str, fields: list[tuple[str, str]]) -> bytes:
    """Render ``101 Switching Protocols`` (RFC 9110 §15.2.2 and §7.8)."""
    lines = _field_lines([("Upgrade", protocol)], frozenset()) + _field_lines(fields)
    return b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n%b\r\n" % lines


def trailer_lines(fields: list[tuple[str, str]]) -> bytes:
    """Render trailer fields (RFC 9112 §7.1.2)."""
    return _field_lines(fields, HOP_BY_HOP | NOT_IN_TRAILERS)


def _field_lines(fields: Any, refused: frozenset[str] = HOP_BY_HOP) -> bytes:
    pairs = _checked(fields)
    for name, _ in pairs:
        if name.lower() in refused:
            raise LocalProtocolError(f"the field {name} cannot be sent here; leave it out")
    return _render_lines([f"{name}: {value}\r\n" for name, value in pairs])


def _render_lines(lines: list[str]) -> bytes:
    """Join header lines, each ended by CRLF, and check them as one block."""
    text = "".join(lines)
    if not grammar.FIELD_LINES.fullmatch(text) or text.count("\r\n") != len(lines):
        raise LocalProtocolError(_why_no_header(lines))
    return text.encode("latin-1")


def response_framing(
    method: str, status: int, minor: int, content_length: int | None
) -> tuple[Framing, int | None]:
    """Decide how the body ends: (framing, the length to announce or None).

    ``minor`` is the request's version, ``content_length`` the one that the app announced or the server knows,
    else None. RFC 9112 §6.3, RFC 9110 §8.6 (no Content-Length on 204), §15.3.6 (205 has no content).
    """
    if status == 204:
        return "none", None
    if status == 304 or method == "HEAD":
        return "head", content_length
    if status == 205:
        return "none", 0
    if content_length is not None:
        return "length", content_length
    return ("chunked" if minor else "close"), None


def render_head(
    head: ResponseHead, framing: Framing, length: int | None, date_and_server: bytes, persistence: bytes
) -> bytes:
    """Join the bytes of a response head.

    ``date_and_server`` are those of the two lines that the app did not set, ``persistence`` the Connection
    line or nothing.
    """
    if length is not None:
        return b"%bContent-Length: %d\r\n%b%b\r\n" % (head.block, length, date_and_server, persistence)
    if framing == "chunked":
        return b"%bTransfer-Encoding: chunked\r\n%b%b\r\n" % (head.block, date_and_server, persistence)
    return b"%b%b%b\r\n" % (head.block, date_and_server, persistence)


def chunk(data: bytes, start: bytes = b"") -> bytes:
    """Wrap a block that is not empty as one chunk (RFC 9112 §7.1), behind what precedes it."""
    return b"%b%x\r\n%b\r\n" % (start, len(data), data)


def chunk_parts(data: bytes, start: bytes = b"") -> list[bytes]:
    """Return the bytes of ``chunk`` without a copy of the block."""
    return [b"%b%x\r\n" % (start, len(data)), data, b"\r\n"]


def error_response(
    status: int, detail: str, date_and_server: bytes, *, close: bool = True
) -> tuple[bytes, bytes]:
    """Render the server's own answer where no app's answer is to be had: (head, body).

    ``detail`` is our own text and never repeats the client's; ``close`` announces that the
    connection ends, as it does behind everything that was refused. A response to HEAD is the head alone.
    """
    phrase = REASONS[status]
    body = f"{status} {phrase}: {detail}\n".encode()
    lines = (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
    )
    if status == 503:
        lines += f"Retry-After: {RETRY_SECONDS}\r\n"
    closing = b"Connection: close\r\n" if close else b""
    return lines.encode("latin-1") + date_and_server + closing + b"\r\n", body


def permanent_redirect(location: str, date_and_server: bytes, *, close: bool) -> bytes:
    """Render the server's own redirect, which has no body (RFC 9110 §15.4.9)."""
    lines = f"HTTP/1.1 308 Permanent Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n"
    closing = b"Connection: close\r\n" if close else b""
    return lines.encode("latin-1") + date_and_server + closing + b"\r\n"


def _checked(headers: Any) -> list[tuple[str, str]]:
    if not isinstance(headers, list):
        raise LocalProtocolError(f"the headers must be a list of tuples, not {type(headers).__name__}")
    for pair in headers:
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise LocalProtocolError(f"a header must be a tuple (name, value), not {pair!r}")
        name, value = pair
        if not (isinstance(name, str) and isinstance(value, str)):
            raise LocalProtocolError(f"a header's name and value must be str, not {pair!r}")
        if not grammar.TOKEN.fullmatch(name):  # With ": " in it, it would pass for another header's.
            raise LocalProtocolError(f"{name!r} cannot be a header's name")
    return headers


def _content_length(value: str, earlier: int | None) -> int:
    if earlier is not None:
        raise LocalProtocolError("two Content-Length headers; send one")
    if not grammar.CONTENT_LENGTH.fullmatch(value):
        raise LocalProtocolError(f"Content-Length must be a number in digits, not {value!r}")
    return int(value)


def _why_no_header(lines: list[str]) -> str:
    for line in lines:
        name, _, value = line[:-2].partition(": ")
        if not grammar.FIELD_LINES.fullmatch(line) or line.count("\r\n") != 1:
            return f"the header {name} has a value that cannot be sent: {value!r}"
    return "a header that cannot be sent"
