"""A client that shows the bytes: one socket, one strict reading of responses, a timeout on everything.

It shares no code with the server, and refuses what a lenient client would put up with: a bare line feed, a
second ``Date``, a length that is no number, a body behind a status that has none.
"""

from __future__ import annotations

import re
import socket
import time
from typing import NamedTuple

import wsgiserve

SECONDS = 25.0  # for whatever a test waits for; a sound run never uses them up; less than a graceful timeout
DATE_AND_SERVER = f"Date: (masked)\r\nServer: wsgiserve/{wsgiserve.__version__}"

_DATE = re.compile(rb"Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) [ -~]*")
_FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([ -~\x80-\xff]*)")


def get(path="/", *fields, method="GET", minor=1, body=b""):
    """Render a request; HTTP/1.1 gets a Host field, a body its Content-Length."""
    lines = [f"{method} {path} HTTP/1.{minor}", *(["Host: test"] if minor else []), *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def whole(*lines, body=b""):
    """Render the response that a test expects; pass DATE_AND_SERVER where Date and Server stand."""
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def masked(raw):
    """Replace the value of a well-formed Date line."""
    return _DATE.sub(b"Date: (masked)\r\n", raw)


def wait_until(condition, seconds=SECONDS):
    """Return once ``condition()`` is true; fail when it does not become so in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.002)


def refuses(port):
    """Whether nobody listens on the port (any more)."""
    try:
        Client(port=port).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    return False


class Response(NamedTuple):
    """One response: ``raw`` is all its bytes with the Date masked, ``body`` is without the framing."""

    status: int
    headers: dict[str, str]
    body: bytes
    raw: bytes


class Client:
    """One connection to a server."""

    def __init__(self, server=None, *, port=None, receive_buffer=0, begins_only=False):
        """``begins_only`` sends the last packet of the handshake with the first request, or 0.2 s later."""
        self.sock = socket.socket()
        if begins_only:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(SECONDS)
        try:
            self.sock.connect(("127.0.0.1", port or server.port))
        except OSError:
            self.sock.close()
            raise
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unread = b""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Leave without a word: the server's next send fails."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def ask(self, request):
        """Send a request and read its response."""
        self.send(request)
        return self.response(request.split(b" ", 1)[0].decode())

    def rest(self):
        """Return everything up to the end of the connection, which must be regular."""
        data = bytearray(self.unread)
        while piece := self.sock.recv(1 << 20):
            data += piece
        self.unread = b""
        return bytes(data)

    def response(self, method="GET"):
        """Read one response strictly."""
        head = self._until(b"\r\n\r\n")
        status, headers = _read_head(head[:-4])
        pieces = [head]
        if method == "HEAD" or status in (204, 304) or status < 200:
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = self._chunks(pieces)
        elif "content-length" in headers:
            body = self._exactly(int(headers["content-length"]))
            pieces.append(body)
        else:
            assert headers.get("connection") == "close", "no framing, but the connection is to persist"
            body = self.rest()
            pieces.append(body)
        return Response(status, headers, body, masked(b"".join(pieces)))

    def _chunks(self, pieces):
        body = bytearray()
        while True:
            line = self._until(b"\r\n")
            assert re.fullmatch(rb"[0-9a-f]+\r\n", line), line
            chunk = self._exactly(int(line, 16) + 2)
            assert chunk.endswith(b"\r\n"), chunk
            pieces += line, chunk
            body += chunk[:-2]
            if line == b"0\r\n":
                return bytes(body)

    def _until(self, mark):
        data = bytearray(self.unread)
        while (end := data.find(mark)) < 0:
            data += self._receive(data)
        self.unread = bytes(data[end + len(mark) :])
        return bytes(data[: end + len(mark)])

    def _exactly(self, size):
        data = bytearray(self.unread)
        while len(data) < size:
            data += self._receive(data)
        self.unread = bytes(data[size:])
        return bytes(data[:size])

    def _receive(self, so_far):
        piece = self.sock.recv(1 << 20)
        if not piece:
            raise EOFError(f"the response ends after {len(so_far)} bytes: {bytes(so_far[-200:])!r}")
        return piece


def _read_head(head):
    status_line, *lines = head.split(b"\r\n")
    match = _STATUS_LINE.fullmatch(status_line)
    assert match, status_line
    headers = {}
    for line in lines:
        field = _FIELD_LINE.fullmatch(line)
        assert field, line
        name = field[1].decode().lower()
        assert name not in headers or name == "set-cookie", f"{name} twice"
        headers[name] = field[2].decode("latin-1")
    if int(match[1]) >= 200:
        assert "date" in headers
    assert re.fullmatch("[0-9]+", headers.get("content-length", "0"))
    return int(match[1]), headers
