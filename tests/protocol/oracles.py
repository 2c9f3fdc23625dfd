"""Two other readers of requests, h11 and httptools (llhttp), seen as functions from bytes to requests.

Each returns what it read before it stopped and whether it refused something; both stop, as our connections
do, behind a request after which the connection closes. A request that is not whole is not returned.
"""

from __future__ import annotations

from collections.abc import Mapping

import h11
import httptools

from .driver import Stream, by_cgi_name

Plain = tuple[str, str, tuple[tuple[str, str], ...], bytes]


def _text(data: bytes) -> str:
    return bytes(data).decode("latin-1")


def read_with_h11(data: bytes) -> tuple[list[Plain], bool]:
    """Read with h11's strict state machine, answering each with 404, so that the next may follow."""
    requests: list[Plain] = []
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                fields = tuple((_text(n), _text(v).strip(" \t")) for n, v in event.headers.raw_items())
                method, target, body = _text(event.method), _text(event.target), b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                requests.append((method, target, fields, body))
                connection.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    return requests, False
                connection.start_next_cycle()
            else:  # NEED_DATA, PAUSED, ConnectionClosed
                return requests, False
    except h11.RemoteProtocolError:
        return requests, True


class _Collector:
    """The callbacks of httptools."""

    def __init__(self) -> None:
        self.requests: list[Plain] = []
        self.closed = False
        self.on_message_begin()

    def on_message_begin(self) -> None:
        self.target = b""
        self.fields: list[tuple[str, str]] = []
        self.body = b""
        self.in_trailers = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_trailers:
            self.fields.append((_text(name), _text(value).strip(" \t")))

    def on_headers_complete(self) -> None:
        self.in_trailers = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        if self.closed:
            return
        method = _text(self.parser.get_method())
        self.requests.append((method, _text(self.target), tuple(self.fields), self.body))
        self.closed = not self.parser.should_keep_alive()

    parser: httptools.HttpRequestParser


def read_with_httptools(data: bytes) -> tuple[list[Plain], bool]:
    """Read with llhttp as httptools sets it up."""
    collector = _Collector()
    collector.parser = httptools.HttpRequestParser(collector)
    try:
        collector.parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return collector.requests, not collector.closed
    return collector.requests, False


# Where the others differ from us in whether a connection goes on behind a request, and why we are right.
# Given the request as we read it; nothing else about it may differ.
OTHER_PERSISTENCE = {
    "h11": [
        # h11 never keeps an HTTP/1.0 connection; RFC 9112 §9.3 lets us, if the client asks for it.
        lambda request: request.head.minor == 0,
    ],
    "httptools": [
        # llhttp obeys Proxy-Connection, which RFC 9112 §C.2.2 wants ignored by origin servers.
        lambda request: "HTTP_PROXY_CONNECTION" in request.fields,
        # It lets "keep-alive" win over "close"; in RFC 9112 §9.3 "close" comes first.
        lambda request: {"close", "keep-alive"} <= request.head.meaning.connection,
        # It merges trailers into the header fields; RFC 9110 §6.5.1 wants Connection in them ignored.
        lambda request: bool(request.trailers),
    ],
}

ORACLES = {"h11": read_with_h11, "httptools": read_with_httptools}


def normal(method: str, target: str, fields: Mapping[str, str], body: bytes) -> tuple[object, ...]:
    """Write a transfer-coding in small letters, as h11 hands it out."""
    coding = "HTTP_TRANSFER_ENCODING"
    return method, target, {n: v.lower() if n == coding else v for n, v in fields.items()}, body


def disagreement(name: str, data: bytes, stream: Stream) -> str | None:
    """Compare an oracle's reading of ``data`` with ours: describe the difference, or return None."""
    theirs, refused = ORACLES[name](data)
    for ours, other in zip(stream.requests, theirs, strict=False):
        method, target, fields, body = other
        if normal(*ours.plain) != normal(method, target, by_cgi_name(fields), body):
            return f"{name} reads {other!r}, we {ours.plain!r}"
    if stream.refusal or refused or len(theirs) == len(stream.requests):
        return None
    common = min(len(theirs), len(stream.requests))
    if common and any(excuse(stream.requests[common - 1]) for excuse in OTHER_PERSISTENCE[name]):
        return None
    return f"{name} reads {len(theirs)} requests, we {len(stream.requests)}"
