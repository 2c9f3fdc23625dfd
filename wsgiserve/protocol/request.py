"""Requests: bytes in, :class:`RequestHead` values out, for one connection after another request on it.

Strategy. ``RequestReader`` keeps the bytes that no request has taken yet. ``next_head`` looks for the end of
the head with one C-speed search and matches the request line against one pattern. ``fields`` reads the rest.
Only when a pattern fails is there a look for the reason.

Rules
- The verdict depends on the bytes alone, never on how they were split: the first fault in their order counts.
  A byte that no continuation can make right is refused when it arrives, as is one above a limit. The meaning
  of a line (its target, its version) is judged when the line is complete, that of the fields with the head.
  Only a head that is incomplete, or wrong, is judged byte by byte.
- Equal bytes mean the same, so strict reading is paid for once per run of equal ones. A client that comes
  often repeats itself: kept are the connection's last head, also for its field lines alone where the request
  line differs or for most of these (``varying``), and the lines that were read lately, whoever sent them.
- After an error there is no next request: nobody can say where it would begin.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import NoReturn

from wsgiserve.protocol import grammar
from wsgiserve.protocol.errors import RemoteProtocolError
from wsgiserve.protocol.fields import (
    BARE_LINE_FEED,
    EVERY_FIELD,
    FORWARDED,
    FieldReader,
    Fields,
    Meaning,
    refuse_fields,
)
from wsgiserve.protocol.limits import Limits
from wsgiserve.protocol.varying import Varying, find_varying

# RFC 9112 §2.2: "a server that is expecting to receive and parse a request-line SHOULD ignore at least one
# empty line (CRLF) received prior to the request-line".
MAX_EMPTY_LINES = 4

MAX_REMEMBERED = 8192  # bytes of a head; larger ones would make idle connections heavy
MAX_KNOWN_LINE = 1024  # bytes of a request line; clients choose them, and many are kept

# A search for the lines that differ costs about what it saves in two heads. On a connection where other lines
# differ each time it saves nothing.
MAX_SEARCHES = 4

TLS_HANDSHAKE = b"\x16"  # RFC 8446 §5.1: the first byte of a client that takes us for https


# The parts of a request line in the order of RequestHead's: a plain tuple, since each new target makes one.
RequestLine = tuple[str, str, str, str, int, str | None]


_NO_FIELDS = Meaning(None, None, None, None, None)


class RequestHead:
    """One request's head: its line, its fields by CGI name, and their meaning.

    ``target`` is as sent; ``path`` and ``query`` are its parts, still percent-encoded, ``query`` without "?";
    ``minor`` is 0 for HTTP/1.0 and 1 for any later 1.x; ``authority`` is that of an absolute-form target,
    else None. Text is ``str`` of latin-1. ``keep_alive`` tells whether the client lets the connection persist
    (RFC 9112 §9.3); ``usual`` that it does in HTTP/1.1, and takes a response with a body; ``own`` that the
    server answers in place of the app.
    """

    __slots__ = (
        "authority",
        "fields",
        "keep_alive",
        "meaning",
        "method",
        "minor",
        "own",
        "path",
        "query",
        "target",
        "usual",
    )

    def __init__(
        self, line: RequestLine, fields: Fields, meaning: Meaning, own_paths: Collection[str] = ()
    ) -> None:
        self.method, self.target, self.path, self.query, minor, self.authority = line
        self.minor = minor
        self.fields = fields
        self.meaning = meaning
        self.keep_alive = meaning.persists[minor]
        self.usual = self.keep_alive and minor > 0 and self.method != "HEAD"
        self.own = self.path in own_paths

    @property
    def has_body(self) -> bool:
        """Whether a body follows; see :class:`Meaning`."""
        return self.meaning.has_body

    @property
    def asks_upgrade(self) -> bool:
        """Whether the client would go on in another protocol (RFC 9110 §7.8), and nothing is in between."""
        return "upgrade" in self.meaning.connection and self.minor > 0 and not self.has_body

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for ``100 Continue`` before it sends the body (RFC 9110 §10.1.1)."""
        return self.meaning.expects and self.minor > 0 and self.has_body


def head_of(method: str, target: str, minor: int) -> RequestHead:
    """Return the head of a request of which only the line is known."""
    path, _, query = target.partition("?")
    return RequestHead((method, target, path, query, minor, None), {}, _NO_FIELDS)


class RequestReader:
    """Cut a stream of bytes into request heads.

    A head with a path of ``own_paths`` is marked: the server answers it in place of the app.
    ``field_reader`` has the rules for the fields of this peer. Bytes behind a
    head are left in ``buffer`` for the body's reader. ``method`` is that of the last request line, "" if it
    could not be read: a refusal of HEAD has no body.
    """

    __slots__ = (
        "_beginning",
        "_empty_lines",
        "_field_start",
        "_fields",
        "_fields_start",
        "_judged",
        "_last",
        "_last_line_end",
        "_line",
        "_scanned",
        "_searches",
        "_varying",
        "buffer",
        "failed",
        "field_reader",
        "last_head",
        "limits",
        "method",
        "own_paths",
    )

    def __init__(
        self, limits: Limits, own_paths: Collection[str] = (), field_reader: FieldReader = EVERY_FIELD
    ) -> None:
        # the connection's lifetime
        self.limits = limits
        self.own_paths = own_paths
        self.field_reader = field_reader
        self.failed = False
        self._beginning: bytes | bytearray = b""  # of a head that was refused, and with it the last one
        self._judged: RequestHead | None = None  # that head, if it was complete
        self._last = b""  # the bytes of last_head
        self._last_line_end = 0
        self.last_head: RequestHead | None = None  # the last that is not too large to be kept
        self._varying: Varying | None = None  # the lines of last_head that differ from the one before
        self._searches = 0  # for those
        # until the next head is complete
        self.buffer: bytes | bytearray = b""  # a bytearray where a head comes in pieces
        self.method = ""
        self._line: RequestLine | None = None
        self._fields_start = 0  # in the buffer, once _line is known
        self._field_start = 0  # of the field line that is incomplete
        self._fields = 0  # complete lines before it
        self._scanned = 0
        self._empty_lines = 0

    def receive_data(self, data: bytes) -> None:
        """Add bytes from the peer."""
        if self.failed:
            return
        if not self.buffer:
            self.buffer = data
        elif not self._scanned or isinstance(self.buffer, bytearray):
            self.buffer += data
        else:  # A head in many pieces: from here on, adding a piece costs only its own length.
            self.buffer = bytearray(self.buffer) + data

    def next_head(self, data: bytes = b"") -> RequestHead | None:
        """Add bytes from the peer and return the next head once it is complete, else None.

        Raise RemoteProtocolError to refuse.
        """
        last = self.last_head
        if last is not None and not self.buffer:  # Most often; and most often nothing is behind it.
            head: RequestHead | None = last
            if data != self._last:
                head = None if data.startswith(self._last) else self._read_similar(data, last)
            if head is not None:
                self.method = head.method
                self._empty_lines = 0
                return head
        if not self.buffer and not self.failed:
            self.buffer = data
        elif data:
            self.receive_data(data)
        buffer = self.buffer
        if not buffer:
            return None
        if last is not None and not self._scanned and buffer.startswith(self._last):
            self.buffer = buffer[len(self._last) :]
            self.method = last.method
            self._empty_lines = 0
            return last
        try:
            if buffer[0] < 32 and not self._skip_empty_lines():
                return None
            end = self.buffer.find(b"\r\n\r\n", self._scanned)
            if end < 0:
                self._judge_partial()
                return None
            return self._read_head(bytes(self.buffer), end)  # bytes() of bytes copies nothing.
        except RemoteProtocolError:
            self.fail()
            raise

    def _read_similar(self, data: bytes, last: RequestHead) -> RequestHead | None:
        """Read a head that has the fields of the last one, but for those that vary, and nothing behind it.

        None if it is another one, or wrong: then it is read as a whole, and judged in the order of its bytes.
        """
        line_end = data.find(b"\r\n")
        most = min(MAX_KNOWN_LINE, self.limits.max_line)
        if not 0 < line_end <= most or len(data) > MAX_REMEMBERED or not last.meaning.fits:
            return None
        block, varying = data[line_end + 2 :], self._varying
        fields: Fields | None = last.fields
        if block != self._last[self._last_line_end + 2 :]:
            if varying is None or len(block) - 2 > self.limits.max_head:
                return None
            fields = varying.read(block, last.fields, self.field_reader.read_few)
        if fields is None:
            return None
        try:
            line = _known_request_line(data[:line_end])
        except RemoteProtocolError:
            return None
        head = RequestHead(line, fields, last.meaning, self.own_paths)
        self._last, self._last_line_end, self.last_head = data, line_end, head
        return head

    def fail(self) -> None:
        """Read nothing more: nobody can say where a next request would begin."""
        self.failed = True
        self._beginning = self.buffer[: self.limits.max_line]
        self.buffer = self._last = b""
        self.last_head = None

    def unserved(self) -> RequestHead:
        """Return what is known of a request that is refused, or incomplete, for a log.

        If its request line cannot be read, that is its ``target`` as sent, and its ``method`` is "".
        """
        if self._judged is not None:
            return self._judged
        beginning = bytes(self._beginning or self.buffer[: self.limits.max_line])
        line = beginning.partition(b"\n")[0].removesuffix(b"\r")
        try:
            parts = read_request_line(line)
        except RemoteProtocolError:
            parts = "", line.decode("latin-1"), "", "", 1, None
        return RequestHead(parts, {}, _NO_FIELDS)

    def _read_head(self, buffer: bytes, end: int) -> RequestHead:
        line_end = buffer.find(b"\r\n")
        line = self._line or self._read_line(buffer[:line_end])
        if end - line_end > self.limits.max_head:
            self._refuse_fields(buffer, line_end + 2)
        fields, meaning = self._read_fields(buffer[line_end + 2 : end + 4])
        head = RequestHead(line, fields, meaning, self.own_paths)
        if not meaning.fits:
            self._judged = head
            self._judge_head(head)
            self._judged = None
        if end <= MAX_REMEMBERED:
            self._last = buffer[: end + 4]
            self._last_line_end = line_end
            self.last_head = head
        else:
            self._varying = None  # It may be of this head, which is not kept.
        self.buffer = buffer[end + 4 :]
        self._line = None
        self._scanned = self._empty_lines = 0
        return head

    def _skip_empty_lines(self) -> bool:
        """Drop CRLFs before the request line; tell whether anything is left to read."""
        self.method = ""
        while self.buffer[:2] == b"\r\n":
            self.buffer = self.buffer[2:]
            self._empty_lines += 1
            if self._empty_lines > MAX_EMPTY_LINES:
                raise RemoteProtocolError(400, "too many empty lines before the request line")
        if self.buffer[:1] == TLS_HANDSHAKE:
            raise RemoteProtocolError(400, "a TLS handshake, and this port speaks plain HTTP")
        return bool(self.buffer) and self.buffer != b"\r"

    def _judge_partial(self) -> None:
        """Refuse a head that no continuation could complete."""
        buffer = self.buffer
        if self._line is None:
            self.method = ""  # No longer that of the request before.
            line_end = buffer.find(b"\r\n", self._scanned)
            if line_end >= 0:
                self._line = self._read_line(bytes(buffer[:line_end]))
                self._fields_start = self._field_start = line_end + 2
                self._fields = 0
            else:
                _judge_line(bytes(buffer[: self.limits.max_line + 2]), self.limits.max_line)
        if self._line is not None and not self._may_become_head():
            self._refuse_fields(bytes(buffer), self._fields_start)
        self._scanned = max(0, len(buffer) - 3)

    def _may_become_head(self) -> bool:
        """Whether the field lines that have arrived are the beginning of a head; only new bytes are read."""
        buffer, limits = self.buffer, self.limits
        start, new = self._field_start, max(self._field_start, self._scanned)
        end = buffer.rfind(b"\n", new) + 1
        if end:
            lines = bytes(buffer[start:end])
            self._fields += lines.count(b"\n")
            if not grammar.FIELD_LINES.fullmatch(lines.decode("latin-1")):
                return False
            self._field_start = start = new = end
        rest = buffer[self._fields_start + limits.max_head : self._fields_start + limits.max_head + 2]
        pattern = grammar.NAME_CONTINUED if buffer.find(b":", start, new) < 0 else grammar.VALUE_CONTINUED
        return (
            self._fields + (buffer[start : start + 1] not in (b"", b"\r")) <= limits.max_fields
            and (not rest or rest == b"\r")
            and pattern.fullmatch(buffer, new) is not None
        )

    def _refuse_fields(self, buffer: bytes, start: int) -> NoReturn:
        refuse_fields(buffer[start:], self.limits.max_fields, self.limits.max_head)

    def _read_fields(self, block: bytes) -> tuple[Fields, Meaning]:
        """Read field lines and the empty line, or take them for those of the last head, which they repeat."""
        last = self._last[self._last_line_end + 2 :]
        head = self.last_head
        if head is not None and block == last:
            return head.fields, head.meaning
        fields, meaning = self.field_reader.read(block[:-2], self.limits.max_fields)
        self._varying = None  # Of the last head.
        if head is not None and self._searches < MAX_SEARCHES:
            self._searches += 1
            self._varying = find_varying(block, last, fields, self.field_reader.read_few, FORWARDED)
        return fields, meaning

    def _read_line(self, line: bytes) -> RequestLine:
        self.method = ""
        length = len(line)
        if length > self.limits.max_line:
            _judge_line(line, self.limits.max_line)
        parts = _known_request_line(line) if length <= MAX_KNOWN_LINE else read_request_line(line)
        self.method = parts[0]
        return parts

    def _judge_head(self, head: RequestHead) -> None:
        """Refuse a head whose request line and fields do not fit together."""
        meaning = head.meaning
        if head.minor == 0:
            if meaning.chunked:  # RFC 9112 §6.1: framing faulty, the connection to be closed
                raise RemoteProtocolError(400, "Transfer-Encoding in an HTTP/1.0 request")
        elif not meaning.host:  # RFC 9112 §3.2: empty only where the target has no authority
            if meaning.host is None:
                raise RemoteProtocolError(400, "an HTTP/1.1 request without a Host field")
            if head.authority is not None:
                raise RemoteProtocolError(400, "an empty Host field, though the target has an authority")
        length = meaning.content_length
        if length and length > self.limits.max_body > 0:
            raise RemoteProtocolError(413, f"a body of more than {self.limits.max_body} bytes (max_body)")


def read_request_line(line: bytes) -> RequestLine:
    """Read a request line without its CRLF."""
    text = line.decode("latin-1")
    match = grammar.ORIGIN_FORM_LINE.fullmatch(text)
    if match is None or match[1] == "CONNECT":
        return _read_unusual_line(text)
    method, target, path, query, minor = match.groups()
    return method, target, path, query or "", 1 if minor != "0" else 0, None


_known_request_line = functools.lru_cache(maxsize=512)(read_request_line)


def _read_unusual_line(line: str) -> RequestLine:
    """Read a request line whose target is not in origin-form, or say why it is none (RFC 9112 §3.2)."""
    match = grammar.REQUEST_LINE.fullmatch(line)
    if match is None:
        _judge_line(line.encode("latin-1") + b"\r\n", len(line))
        raise AssertionError("the two patterns of a request line differ")
    method, target, major, minor_digit = match.groups()
    if major != "1":
        raise RemoteProtocolError(505, "HTTP/1.1 and HTTP/1.0 are served here, no other version")
    minor = 1 if minor_digit != "0" else 0
    if method == "CONNECT":
        raise RemoteProtocolError(501, "CONNECT: this is an origin server and opens no tunnels")
    if target == "*" and method == "OPTIONS":
        return method, target, "", "", minor, None
    absolute = grammar.ABSOLUTE_FORM.fullmatch(target)
    if absolute is None or not grammar.is_host(absolute[1]):
        raise RemoteProtocolError(400, "the request target is in none of the forms for this method")
    authority, path, query = absolute.groups()
    if path is None:  # RFC 9112 §3.2.4: without a query either, OPTIONS means the server as a whole
        path = "" if method == "OPTIONS" and query is None else "/"
    return method, target, path, query or "", minor, authority


def _judge_line(beginning: bytes, max_line: int) -> None:
    """Refuse the beginning of a request line that no continuation makes right, or short enough."""
    window = beginning[: max_line + 1]
    match = grammar.REQUEST_LINE_BEGINNING.match(window)
    end = match.end() if match else 0
    if end < len(window):
        line_feed = window[end : end + 1] == b"\n"
        detail = BARE_LINE_FEED if line_feed else "the request line is not 'method target HTTP/1.1'"
        raise RemoteProtocolError(400, detail)
    if len(beginning) > max_line and beginning[max_line : max_line + 2] not in (b"\r", b"\r\n"):
        raise RemoteProtocolError(414, f"more than {max_line} bytes")
