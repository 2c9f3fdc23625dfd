"""The bytes that cases are made of."""

from __future__ import annotations

from collections.abc import Iterator

Cases = Iterator[tuple[str, bytes]]

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: smuggled\r\n\r\n"
CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
# One chunk with a request in it. By a Content-Length of SIZE_LINE that is the next request.
CHUNKED_REQUEST = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
SIZE_LINE = CHUNKED_REQUEST.index(b"\n") + 1


def request(
    *fields: bytes, line: bytes = b"POST /case HTTP/1.1", host: bytes = b"Host: case", body: bytes = b""
) -> bytes:
    """Join a request; ``fields`` are field lines without CRLF."""
    lines = [line, host, *fields] if host else [line, *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def get(target: bytes, *fields: bytes, host: bytes = b"Host: case") -> bytes:
    return request(*fields, line=b"GET " + target + b" HTTP/1.1", host=host)


def length_wins(*fields: bytes) -> bytes:
    """CL.TE: one request with a body by Content-Length, two requests by Transfer-Encoding."""
    body = LAST_CHUNK + SMUGGLED
    return request(b"Content-Length: %d" % len(body), *fields, body=body)


def coding_wins(*fields: bytes) -> bytes:
    """TE.CL: one request with a body by Transfer-Encoding, two and a rest by Content-Length."""
    return request(*fields, b"Content-Length: %d" % SIZE_LINE, body=CHUNKED_REQUEST)
