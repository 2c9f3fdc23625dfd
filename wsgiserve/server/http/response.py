"""The response of one exchange, from the app's status and blocks to bytes on the connection.

The app's head waits in ``head`` until the first byte of the body. Then ``_start`` fixes the framing and gets
the rendered head from ``gateway``, which caches it for equal responses. From there on blocks are counted
against the announced length: the response keeps to it or is visibly cut, and is never filled up.
"""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Callable

from wsgiserve.protocol.errors import LocalProtocolError
from wsgiserve.protocol.request import RequestHead
from wsgiserve.protocol.response import (
    LAST_CHUNK,
    Framing,
    ResponseHead,
    chunk,
    chunk_parts,
    error_response,
    switching_protocols,
)
from wsgiserve.server.errors import ClientDisconnected, RequestTimeout
from wsgiserve.server.http.connection import Connection
from wsgiserve.server.http.file_wrapper import FileSegment, FileWrapper
from wsgiserve.server.http.gateway import Gateway, Start
from wsgiserve.server.http.pace import Pace
from wsgiserve.server.journal import IN_PASSING, METHOD_UNITS
from wsgiserve.server.system import Lock, monotonic

logger = logging.getLogger("wsgiserve")

# An unread rest of a request body up to this size is read and discarded. Behind a longer rest, or one of
# unknown length, the connection closes.
MAX_DISCARD = 65536
# A larger body is sent from the app's own bytes; joining a smaller one with its head costs less.
LARGE = 65536

_starting = Lock()  # decides between a thread that begins its response, and who gives it up


class Response:
    """The response to ``request``; ``reader`` reads the part of its body that has not arrived.

    The class attributes are how every response begins, so that a new response sets only the attributes that
    every response reads: those are found much faster in the instance.
    """

    waits_until = math.inf  # monotonic seconds, while it waits for a thread
    asked_for_body = False  # the app has begun to read a body that was still arriving
    complete = False  # everything was given to the connection
    framing: Framing = "none"
    remaining = 0  # bytes still missing to the Content-Length
    status = 0
    sent = 0  # bytes of the body
    trailers = b""
    streamed = 0  # bytes given to ``send``
    pace: Pace | None = None  # of the client's reading, once ``send`` has waited
    id = ""  # of the request, with --request-id
    end = "done"  # why it ended, for the access log; see ``recorded``
    counted = False  # in the tally, if there is one
    written_off = False  # its thread is given up, and nothing that the thread does reaches the client
    starting = False  # a detached one: its thread was not given up before the head was fixed
    owes_line = False  # a counted one: its line in the access log waits for its client

    def __init__(self, gateway: Gateway, connection: Connection, request: RequestHead) -> None:
        self.gateway = gateway
        self.connection = connection
        self.request = request
        self.reader = connection.receiver.body_reader
        self.keep_alive = request.keep_alive
        self.head: ResponseHead | None = None
        self.head_sent = False
        self.switching = b""  # the 101 that takes the place of a response
        self.detached = False  # it runs on a thread of its own; guarded by the leadership
        self.started = gateway.now

    @property
    def name(self) -> str:
        """The request in log lines: method, target and, if it has one, id."""
        request = self.request
        return (
            f"{request.method} {request.target} [{self.id}]"
            if self.id
            else f"{request.method} {request.target}"
        )

    @property
    def client(self) -> str:
        """The address of the client."""
        return self.connection.client_of(self.request)

    # -- the head

    def _start(self, known_length: int | None) -> bytes:
        """Fix the framing and render the head; ``known_length`` is the whole body's, None if unknown."""
        head = self.head
        if head is None:
            raise LocalProtocolError("the app returned without calling start_response")
        gateway, request = self.gateway, self.request
        if self.detached and not self.starting:
            return self._start_alone(known_length)
        if self.reader is not None:
            self._decide_persistence()
        rendered = head.rendered
        if rendered[0] is gateway.epoch and request.usual and self.keep_alive:
            start: Start = rendered[1]
        else:
            announced = head.content_length
            # The app may have left out the body: then do not invent a Content-Length of 0.
            if announced is None and (known_length or not self._may_omit_body(head)):
                announced = known_length
            key = (head, announced, request.method, request.minor, self.keep_alive)
            start = gateway.starts.get(key) or gateway.render_start(*key)
        self.framing, self.remaining, self.keep_alive, self.status, data, unit = start
        self.head_sent = True
        if unit:  # Somebody wants to know; see ``CountedExchange`` for the rest.
            elapsed = monotonic() - self.started
            if known_length != self.remaining or elapsed > IN_PASSING or self.detached or unit < 0.0:
                self._tally(known_length)
            else:
                journal = gateway.journal
                at = journal.at
                try:
                    word = unit + METHOD_UNITS[request.method] + elapsed
                    if journal.writes_lines:
                        journal.owed[0] = journal.words[at]
                    journal.words[at] = word
                except (IndexError, KeyError):
                    self._tally(known_length)
                else:
                    journal.at = at + 1
                    self.counted = True
        return data

    def _start_alone(self, known_length: int | None) -> bytes:
        """Fix the head on a thread of its own, unless that is given up: who answers sets the status then."""
        self.gateway.tick()
        with _starting:
            if self.written_off:
                raise RequestTimeout
            self.starting = True
            return Response._start(self, known_length)

    def write_off(self) -> None:
        """Silence it: its thread is given up, and somebody else answers."""
        with _starting:
            self.written_off = True

    def _tally(self, known_length: int | None) -> None:
        """Count a response that begins, where it is not one of the usual."""

    def _may_omit_body(self, head: ResponseHead) -> bool:
        """Whether an app may leave out the body whose length the response would announce."""
        return self.request.method == "HEAD" or head.status == 304

    def _decide_persistence(self) -> None:
        if self.gateway.parting:
            self.keep_alive = False
        reader = self.reader
        if reader is not None and not reader.done:
            unasked = self.request.expects_continue and not self.asked_for_body
            failed = self.connection.receiver.failed
            if unasked or failed or reader.remaining is None or reader.remaining > MAX_DISCARD:
                self.keep_alive = False

    # -- the body

    def _send_whole(self, blocks: list[bytes] | tuple[bytes, ...]) -> None:
        """All blocks are there: their length is known, and they leave in one send."""
        try:
            data = b"".join(blocks)
        except TypeError:
            wrong = next(type(b).__name__ for b in blocks if not isinstance(b, bytes))
            raise LocalProtocolError(f"the app returned {wrong}; a body is made of bytes") from None
        if self.head_sent:
            if data:
                self._send_block(data)
        elif self.switching:
            self._switch()
            return
        else:
            length = len(data)
            start = self._start(length)
            if length == self.remaining and self.framing == "length":
                self.sent = length
                if length > LARGE:
                    self.connection.send_parts([start, data])
                else:
                    self.connection.send(start + data)
                self.complete = True  # Only now: see ``answer_overdue``.
                return
            self.connection.send(start + self._fit(data))
        self._end_body()

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Send a regular file from the disk to the socket; False if the wrapper holds anything else."""
        part = None if self.head_sent else wrapper.segment()
        if part is None:
            return False
        descriptor, offset, count = part
        start = self._start(count)
        if self.framing == "length":
            if count < self.remaining:
                self._complain(f"a file of {count} bytes for a Content-Length of {self.remaining}")
                self.keep_alive = False
            segment = FileSegment(descriptor, offset, min(count, self.remaining))
            self.sent += segment.count
            if not self.connection.send_file(start, segment):
                self._read_and_send(wrapper, segment)
            self.remaining = 0
        else:
            self.connection.send(start)
        self.complete = True
        return True

    def _read_and_send(self, wrapper: FileWrapper, segment: FileSegment) -> None:
        """Send the rest of a file from this thread, as there is no descriptor with which the loop could."""
        self.remaining = segment.count
        self.sent -= segment.count
        wrapper.file.seek(segment.offset)
        for block in wrapper:
            self._send_block(block[: self.remaining])
            if not self.remaining:
                break

    def _send_block(self, data: bytes) -> None:
        """Send a block that is not empty."""
        start = b"" if self.head_sent else self._start(None)
        if self.framing == "chunked":
            self.sent += len(data)
            if len(data) > LARGE:
                self._send_parts(chunk_parts(data, start))
            else:
                self.send(chunk(data, start))
        elif len(data) > LARGE:
            self._send_parts([start, self._fit(data)])
        else:
            data = self._fit(data)
            self.send(start + data if start else data)

    def _send_parts(self, parts: list[bytes]) -> None:
        """Send a large block as ``send`` does, without a copy of it."""
        self.connection.send_parts([part for part in parts if part])
        self.streamed += sum(map(len, parts))
        if self.connection.outgoing:
            self._await_reader()

    def _fit(self, data: bytes) -> bytes:
        """Count a block against the announced length, and return the part of it that may leave."""
        if self.framing == "length":
            if len(data) > self.remaining:
                data = self._cut(data)
            self.remaining -= len(data)
        elif self.framing == "none" or self.framing == "head":
            data = b""
        self.sent += len(data)
        return data

    def send(self, data: bytes) -> None:
        """Send, and wait while the client does not read.

        Nobody else would send the rest while the app makes the next block (PEP 3333, "Middleware Handling of
        Block Boundaries"). The loop sends the rest of a result that is there as a whole.
        """
        if data:
            self.connection.send(data)
            self.streamed += len(data)
        if self.connection.outgoing:
            self._await_reader()

    def _await_reader(self) -> None:
        """Wait until the rest has left; time that the app takes for its blocks does not count."""
        self.gateway.before_wait(self)
        pace = self.pace = self.pace or self.connection.pace_from(self._progress())
        self.connection.wait_until_sent(pace, self._progress)

    def _progress(self) -> int:
        return self.streamed - self.connection.untaken()

    def _cut(self, data: bytes) -> bytes:
        """RFC 9110 §8.6: the client believes the announced length."""
        self._complain(f"more bytes than its Content-Length; {len(data) - self.remaining} were left out")
        self.keep_alive = False
        return data[: self.remaining]

    def _end_body(self) -> None:
        if self.framing == "chunked":
            wanted = self.trailers and "trailers" in self.request.fields.get("HTTP_TE", "").lower()
            self.connection.send(LAST_CHUNK % (self.trailers if wanted else b""))
        elif self.framing == "length" and self.remaining:
            self.end = "cut"
            self.connection.forget_plain_line()
            self._complain(f"{self.remaining} bytes fewer than its Content-Length; the connection was cut")
            self.connection.cut()
        self.complete = True

    def set_trailers(self, lines: bytes) -> None:
        """Set the trailer lines to send behind a chunked body."""
        self.trailers = lines

    # -- in place of a response

    def upgrade(
        self, protocol: str, handler: Callable[[socket.socket, bytes], object], fields: list[tuple[str, str]]
    ) -> None:
        """Answer 101 in place of a response, and hand the socket over (RFC 9110 §7.8)."""
        self.switching = switching_protocols(protocol, fields)
        self.connection.hand_over(handler)

    def _switch(self) -> None:
        self.head_sent = True
        self.status = 101
        self.keep_alive = False
        self.connection.send(self.switching)

    def _answer(self, status: int, detail: str) -> None:
        """Send an answer of our own."""
        self.framing = "none"
        self.head_sent = True
        if not self.request.minor:  # HTTP/1.0 would have to be told that the connection persists.
            self.keep_alive = False
        self._decide_persistence()
        head, body = error_response(status, detail, self._own_lines(), close=not self.keep_alive)
        if self.request.method == "HEAD":
            body = b""
        self._send_answer(status, head, body)

    def _send_answer(self, status: int, head: bytes, body: bytes) -> None:
        self.connection.forget_plain_line()
        self.head = None  # of the app
        self.status, self.sent = status, len(body)
        try:
            self.connection.send(head + body)
        except ClientDisconnected as error:  # The connection knows.
            self.end = error.end if self.end == "done" else self.end

    def _own_lines(self) -> bytes:
        """Return the header lines that every response has, an answer of our own too."""
        id_line = f"X-Request-ID: {self.id}\r\n".encode() if self.id else b""
        return self.gateway.date_and_server() + id_line

    def _complain(self, text: str) -> None:
        logger.error("%s: %s", self.name, text)
