"""A connection without a socket: bytes go into the receiver, and requests with their bodies come out.

``Stream`` is fed bytes and keeps what it read. It reads nothing behind a refusal, and nothing behind a
request after which the connection closes.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from wsgiserve.protocol import Limits, Receiver, RemoteProtocolError, RequestHead

LIMITS = {"max_line": 8192, "max_head": 65536, "max_fields": 100, "max_body": 1 << 20}


@dataclass(frozen=True)
class Request:
    """One request, read whole."""

    method: str
    target: str
    fields: Mapping[str, str]  # by CGI name
    body: bytes
    head: RequestHead | None = None
    trailers: tuple[tuple[str, str], ...] = ()

    @property
    def plain(self) -> tuple[str, str, Mapping[str, str], bytes]:
        """The parts that every parser returns."""
        return self.method, self.target, self.fields, self.body


class Stream:
    """The requests that arrive on one connection, read by the receiver that the server uses."""

    def __init__(self, **limits: int) -> None:
        self.receiver = Receiver(Limits(**(LIMITS | limits)))
        self.requests: list[Request] = []
        self.refusal: RemoteProtocolError | None = None
        self.closed = False  # by a request that was the last
        self._head: RequestHead | None = None  # whose body is read on
        self._body = bytearray()

    @property
    def status(self) -> int | None:
        """The status of the refusal, None if there was none."""
        return self.refusal and self.refusal.status

    @property
    def waiting(self) -> bool:
        """Whether a request has begun and has not ended."""
        return self._head is not None or self.receiver.begun

    @property
    def verdict(self) -> tuple[object, ...]:
        """All that must not depend on how the bytes were split."""
        seen = [(*request.plain, request.trailers) for request in self.requests]
        return seen, self.status, self.refusal and self.refusal.detail, self.closed

    def receive_data(self, data: bytes) -> None:
        """Read on with ``data``."""
        if self.closed:
            self.receiver.receive_data(data)  # It is kept, and read no more.
        try:
            while not (self.refusal or self.closed) and self._next_request(data):
                data = b""
        except RemoteProtocolError as error:
            self.refusal = error

    def _next_request(self, data: bytes) -> bool:
        if self._head is None:
            self._head = self.receiver.next_request(data)
            if self._head is None:
                return False
            self._body += self.receiver.take_body()
        else:
            self._body += self.receiver.read_body(data)
        reader = self.receiver.body_reader
        if reader is not None:  # As an exchange does that reads the rest of a body itself.
            if self.receiver.buffer:
                self._body += self.receiver.read_body()
            if not reader.done:
                return False
            self.receiver.leave_body()
        self._end(self._head)
        return True

    def _end(self, head: RequestHead) -> None:
        trailers = getattr(self.receiver.last_body_reader, "trailers", ()) if head.meaning.chunked else ()
        request = Request(
            head.method, head.target, dict(head.fields), bytes(self._body), head, tuple(trailers)
        )
        self.requests.append(request)
        self.closed = not head.keep_alive
        self._head = None
        self._body.clear()


def by_cgi_name(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return what a head with these fields is read as, by the rules and not by the code of `fields`."""
    lists: dict[str, list[str]] = {}
    for name, value in pairs:
        if "_" not in name and name.lower() != "proxy":
            lists.setdefault(name.upper().replace("-", "_"), []).append(value)
    return {
        name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}": (
            "; " if name == "COOKIE" else ", "
        ).join(values)
        for name, values in lists.items()
    }


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
