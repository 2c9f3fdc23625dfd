"""A connection without a socket: RequestReader and body readers put together as the server puts them.

``Stream`` is fed bytes and keeps what it read. It reads nothing behind a refusal, and nothing behind a
request after which the connection closes.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wsgiserve.protocol import BodyReader, RemoteProtocolError, RequestHead, RequestReader, body_reader

LIMITS = {"max_line": 8192, "max_head": 65536, "max_fields": 100, "max_body": 1 << 20}


@dataclass(frozen=True)
class Request:
    """One request, read whole."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes
    head: RequestHead | None = None
    trailers: tuple[tuple[str, str], ...] = ()

    @property
    def plain(self) -> tuple[str, str, tuple[tuple[str, str], ...], bytes]:
        """What every parser can say about a request."""
        return self.method, self.target, self.fields, self.body


class Stream:
    """What arrives on one connection."""

    def __init__(self, **limits: int) -> None:
        self.limits = LIMITS | limits
        self.reader = RequestReader(**self.limits)
        self.requests: list[Request] = []
        self.refusal: RemoteProtocolError | None = None
        self.closed = False  # by a request that was the last
        self._head: RequestHead | None = None
        self._body_reader: BodyReader | None = None
        self._body = bytearray()

    @property
    def status(self) -> int | None:
        """The status of the refusal, None if there was none."""
        return self.refusal and self.refusal.status

    @property
    def waiting(self) -> bool:
        """Whether a request has begun and has not ended."""
        return self._head is not None or bool(self.reader.buffer)

    @property
    def verdict(self) -> tuple[object, ...]:
        """All that must not depend on how the bytes were split."""
        seen = [(*request.plain, request.trailers) for request in self.requests]
        return seen, self.status, self.refusal and self.refusal.detail, self.closed

    def receive_data(self, data: bytes) -> None:
        """Read on with ``data``."""
        if (
            self._head is not None or self.closed
        ):  # As the server does it: between requests ``next_head`` takes the bytes.
            self.reader.receive_data(data)
            data = b""
        try:
            while not (self.refusal or self.closed) and self._next_request(data):
                data = b""
        except RemoteProtocolError as error:
            self.refusal = error

    def _next_request(self, data: bytes) -> bool:
        if self._head is None:
            self._head = self.reader.next_head(data)
            if self._head is None:
                return False
            limits = {name: self.limits[name] for name in ("max_body", "max_fields")}
            self._body_reader = body_reader(self._head, **limits)
        if self._body_reader is not None:
            data, self.reader.buffer = bytes(self.reader.buffer), b""
            body, self.reader.buffer = self._body_reader.receive_data(data)
            self._body += body
            if not self._body_reader.done:
                return False
        head = self._head
        trailers = tuple(getattr(self._body_reader, "trailers", ()))
        fields = tuple(head.block.pairs)
        self.requests.append(Request(head.method, head.target, fields, bytes(self._body), head, trailers))
        self.closed = not head.keep_alive
        self._head = self._body_reader = None
        self._body.clear()
        return True


def read(pieces: Iterable[bytes], **limits: int) -> Stream:
    """Feed ``pieces`` to a new Stream, one after the other."""
    stream = Stream(**limits)
    for piece in pieces:
        stream.receive_data(piece)
    return stream


def single_bytes(data: bytes) -> Iterator[bytes]:
    """Split ``data`` as finely as can be."""
    return (data[i : i + 1] for i in range(len(data)))


def random_split(data: bytes, source: random.Random) -> list[bytes]:
    """Split ``data`` at a few places, near each other or far."""
    cuts = sorted(source.randrange(len(data) + 1) for _ in range(source.randint(1, 8)))
    return [data[i:j] for i, j in zip([0, *cuts], [*cuts, len(data)], strict=True)]
