"""Request bodies: telling their bytes from the framing, and from the next request.

A reader is fed received bytes and returns ``(body, rest)``: the bytes that belong to the body, and
those behind its end, which are the next request's. ``done`` tells that the end was seen. Readers hold back
at most one incomplete line; the cost is linear in the bytes fed, however they are split. A byte that no
continuation can make right is refused when it arrives; the first fault in the order of the bytes counts.
"""

from __future__ import annotations

import math
import re
from typing import Protocol

from wsgiserve.protocol import grammar
from wsgiserve.protocol.errors import RemoteProtocolError
from wsgiserve.protocol.fields import Meaning, read_trailers, too_many_fields, why_no_field
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
        self._trailer_count = 0
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
        line = bytes(self._line)
        self._expect(line, complete=bool(end))
        if end:
            self._line.clear()
        return end or len(data)

    def _chunk_line(self, line: bytes, *, complete: bool) -> None:
        match = _begin(grammar.CHUNK_LINE_BEGINNING, line)
        size, extensions = int(match[1] or b"0", 16), self._extensions + len(match[2] or b"")
        if self.max_body and self._total + size > self.max_body:
            raise RemoteProtocolError(413, f"a body of more than {self.max_body} bytes (max_body)")
        if extensions > MAX_CHUNK_EXTENSIONS:
            raise RemoteProtocolError(400, f"more than {MAX_CHUNK_EXTENSIONS} bytes of chunk extensions")
        _judge_end(match, line, "a chunk that does not begin with its size in hexadecimal")
        if complete:
            self._extensions = extensions
            self._total += size
            self._missing = size
            self._expect = self._chunk_end if size else self._trailer_line

    def _chunk_end(self, line: bytes, *, complete: bool) -> None:
        match = _begin(grammar.CHUNK_END_BEGINNING, line)
        _judge_end(match, line, "a chunk longer than its size")
        if complete:
            self._expect = self._chunk_line

    def _trailer_line(self, line: bytes, *, complete: bool) -> None:
        match = _begin(grammar.FIELD_LINE_BEGINNING, line)
        good = match[0]
        if line[:1] != b"\r":
            if self._trailer_count == self.max_fields:
                raise too_many_fields(self.max_fields)
            if len(self._trailer_lines) + len(good) > MAX_TRAILERS:
                raise RemoteProtocolError(431, f"more than {MAX_TRAILERS} bytes of trailer fields")
        if len(good) < min(len(line), MAX_CHUNK_LINE):
            _judge_end(match, line, why_no_field(line[: len(good) + 1]))
        _judge_end(match, line, "")
        if not complete:
            return
        if line == b"\r\n":
            self.trailers = read_trailers(bytes(self._trailer_lines), self.max_fields)
            self.done = True
        else:
            self._trailer_lines += line
            self._trailer_count += 1


def _begin(pattern: re.Pattern[bytes], line: bytes) -> re.Match[bytes]:
    """Match the longest beginning of a line, which may be incomplete, that is right and not too long."""
    match = pattern.match(line, 0, MAX_CHUNK_LINE)
    assert match is not None  # The patterns match nothing, too.
    return match


def _judge_end(match: re.Match[bytes], line: bytes, detail: str) -> None:
    """Refuse a line whose beginning is not all that has arrived of it."""
    end = match.end()
    if end < min(len(line), MAX_CHUNK_LINE):
        if line[end : end + 1] == b"\n":
            detail = "a line feed without a carriage return in a chunked body"
        raise RemoteProtocolError(400, detail)
    if len(line) > MAX_CHUNK_LINE:
        raise RemoteProtocolError(400, f"a line of more than {MAX_CHUNK_LINE} bytes in a chunked body")


def body_reader(meaning: Meaning, limits: Limits) -> BodyReader | None:
    """Make the reader that the fields of a head announce, None where no body follows (RFC 9112 §6.3)."""
    if meaning.chunked:
        return ChunkedReader(max_body=limits.max_body, max_fields=limits.max_fields)
    if meaning.content_length:
        return LengthReader(meaning.content_length)
    return None
