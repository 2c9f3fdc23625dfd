"""Request bodies: telling their bytes from the framing, and from the next request.

A reader is fed received bytes and returns ``(body, rest)``: the bytes that belong to the body, and
those behind its end, which are the next request's. ``done`` tells that the end was seen. Readers hold back
at most one incomplete line; the cost is linear in the bytes fed, however they are split.
"""

from __future__ import annotations

import math
from typing import Protocol

from wsgiserve.protocol import grammar
from wsgiserve.protocol.errors import RemoteProtocolError
from wsgiserve.protocol.fields import Meaning, read_trailers
from wsgiserve.protocol.limits import Limits

MAX_CHUNK_LINE = 4096
MAX_CHUNK_EXTENSIONS = 16384
MAX_TRAILERS = 16384


class BodyReader(Protocol):
    """The common interface of the two readers."""

    done: bool

    @property
    def remaining(self) -> int | None:
        """Bytes still to come; None if only the end will tell."""

    def receive_data(self, data: bytes) -> tuple[bytes, bytes]:
        """Split ``data`` into (body, rest); raise RemoteProtocolError to refuse."""


class LengthReader:
    """A body of ``length`` bytes (RFC 9112 §6.2)."""

    def __init__(self, length: int) -> None:
        self.remaining: int = length
        self.done = length == 0

    def receive_data(self, data: bytes) -> tuple[bytes, bytes]:
        """Take at most the bytes that are missing to the announced length."""
        body, rest = data[: self.remaining], data[self.remaining :]
        self.remaining -= len(body)
        self.done = self.remaining == 0
        return body, rest


class ChunkedReader:
    """A body in chunks (RFC 9112 §7.1).

    ``max_body`` bounds the sum of the chunks, 0 for no limit. Chunk extensions are checked and ignored
    (§7.1.1); trailer fields are checked as strictly as header fields and kept in ``trailers``, apart from
    the header fields (§7.1.2).
    """

    def __init__(self, *, max_body: int = 0, max_fields: int = 100) -> None:
        self.max_body = max_body
        self.max_fields = max_fields
        self.done = False
        self.remaining = None
        self.trailers: list[tuple[str, str]] = []
        self._total = 0
        self._extensions = 0
        self._line = bytearray()
        self._trailer_lines = bytearray()
        self._missing = 0  # bytes of the chunk still to come
        self._expect = self._chunk_line

    def receive_data(self, data: bytes) -> tuple[bytes, bytes]:
        """Take framing and chunk data off ``data``, to the body's end at the latest."""
        pieces: list[bytes] = []
        position = 0
        while position < len(data) and not self.done:
            if self._missing:
                piece = data[position : position + self._missing]
                self._missing -= len(piece)
                position += len(piece)
                pieces.append(piece)
            elif self._line or self._expect != self._chunk_line:
                position = self._read_line(data, position)
            else:
                position = self._read_line(data, self._read_whole_chunks(data, position, pieces))
        return b"".join(pieces), data[position:]

    def _read_whole_chunks(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        """Take chunks that are there to their end, and with which nothing is amiss, in few steps each.

        Returns the position behind them. All else, the last chunk too, is left to be read line
        by line.
        """
        chunk_line = grammar.PLAIN_CHUNK_LINE.match
        most = self.max_body or math.inf
        while match := chunk_line(data, position):
            start, size = match.end(), int(match[1], 16)
            end = start + size
            if not size or data[end : end + 2] != b"\r\n" or self._total + size > most:
                break
            self._total += size
            pieces.append(data[start:end])
            position = end + 2
        return position

    def _read_line(self, data: bytes, position: int) -> int:
        """Read on to the end of a line and hand the line, with its CRLF, to whoever expects one."""
        end = data.find(b"\n", position) + 1
        self._line += data[position : end or len(data)]
        if len(self._line) > MAX_CHUNK_LINE:
            raise RemoteProtocolError(400, f"a line of more than {MAX_CHUNK_LINE} bytes in a chunked body")
        if not end:
            return len(data)
        line = bytes(self._line)
        self._line.clear()
        if not line.endswith(b"\r\n"):
            raise RemoteProtocolError(400, "a line feed without a carriage return in a chunked body")
        self._expect(line)
        return end

    def _chunk_line(self, line: bytes) -> None:
        match = grammar.CHUNK_LINE.fullmatch(line)
        if match is None:
            raise RemoteProtocolError(400, "a chunk that does not begin with its size in hexadecimal")
        size = int(match[1], 16)
        self._extensions += len(match[2] or b"")
        if self._extensions > MAX_CHUNK_EXTENSIONS:
            raise RemoteProtocolError(400, f"more than {MAX_CHUNK_EXTENSIONS} bytes of chunk extensions")
        self._total += size
        if self.max_body and self._total > self.max_body:
            raise RemoteProtocolError(413, f"a body of more than {self.max_body} bytes (max_body)")
        self._missing = size
        self._expect = self._chunk_end if size else self._trailer_line

    def _chunk_end(self, line: bytes) -> None:
        if line != b"\r\n":
            raise RemoteProtocolError(400, "a chunk longer than its size")
        self._expect = self._chunk_line

    def _trailer_line(self, line: bytes) -> None:
        if line == b"\r\n":
            self.trailers = read_trailers(bytes(self._trailer_lines), self.max_fields)
            self.done = True
            return
        self._trailer_lines += line
        if len(self._trailer_lines) > MAX_TRAILERS:
            raise RemoteProtocolError(431, f"more than {MAX_TRAILERS} bytes of trailer fields")


def body_reader(meaning: Meaning, limits: Limits) -> BodyReader | None:
    """Make the reader that the fields of a head announce, None where no body follows (RFC 9112 §6.3)."""
    if meaning.chunked:
        return ChunkedReader(max_body=limits.max_body, max_fields=limits.max_fields)
    if meaning.content_length:
        return LengthReader(meaning.content_length)
    return None
