"""The response of one exchange, from the app's status and blocks to bytes on the connection.

The app's head waits in ``head`` until the first byte of the body. ``_start`` then gets the framing, the
rendered head and whether the connection persists from ``gateway``, which keeps them for equal responses. From
there on blocks are counted against what was announced: that is kept or visibly broken, never filled up.
"""

from __future__ import annotations

import logging
import math

from wsgiserve.protocol import (
    LAST_CHUNK,
    Framing,
    LocalProtocolError,
    RequestHead,
    ResponseHead,
    chunk,
    error_response,
)
from wsgiserve.server.errors import ClientDisconnected
from wsgiserve.server.http.connection import Connection
from wsgiserve.server.http.environ import Environ, block_environ
from wsgiserve.server.http.gateway import Gateway, Start
from wsgiserve.server.http.input import BodyStream
from wsgiserve.server.http.pace import Pace

logger = logging.getLogger("wsgiserve")

# An unread rest of a request body up to this size is read and forgotten; behind a longer one, or one of
# unknown length, the connection closes.
MAX_DISCARD = 65536


class Reply:
    """The response to ``request``; ``reader`` reads what has not arrived of its body.

    The class attributes are how every response begins, so that making one costs no more than what differs.
    Those that every response reads are the instance's own: that is much faster to look up.
    """

    waits_until = math.inf  # monotonic seconds, set by the leadership while it waits in line
    stream: BodyStream | None = None  # of the body that is still arriving, once the app is called
    complete = False  # everything was given to the connection
    framing: Framing = "none"
    remaining = 0  # bytes still missing to the Content-Length
    status = 0
    sent = 0  # bytes of the body
    trailers = b""
    streamed = 0  # bytes given to ``send``
    pace: Pace | None = None  # of the client's reading, once ``send`` has waited

    def __init__(self, gateway: Gateway, connection: Connection, request: RequestHead) -> None:
        self.gateway = gateway
        self.connection = connection
        self.request = request
        self.reader = connection.body_reader
        self.keep_alive = request.keep_alive
        self.head: ResponseHead | None = None
        self.head_sent = False
        self.switching = b""  # the 101 that takes the place of a response
        self.detached = False  # guarded by the leadership: on a thread of its own, and the loop's no more
        self.started = gateway.now

    def layer(self) -> Environ:
        """Return the environ without what is this request's alone, kept while requests repeat the block."""
        connection, block = self.connection, self.request.block
        if block is connection.last_block:
            return connection.block_layer
        layer = block_environ(self.gateway.environ, connection.layer, block)
        last = connection.reader.last_head
        if last is not None and block is last.block:  # Else it is too large for an idle connection to keep.
            connection.last_block, connection.block_layer = block, layer
        return layer

    def _start(self, known_length: int | None) -> bytes:
        """Fix the framing and render the head; ``known_length`` is the whole body's, None if unknown."""
        head = self.head
        if head is None:
            raise LocalProtocolError("the app returned without calling start_response")
        gateway, request = self.gateway, self.request
        if self.detached:
            gateway.tick()
        if self.reader is not None:
            self._decide_persistence()
        made = head.made
        if made is not None and made[0] is gateway.term and request.usual and self.keep_alive:
            start: Start = made[1]
        else:
            announced = head.content_length
            if announced is None and (known_length or not self._may_omit_body(head)):  # Zero: an invention.
                announced = known_length
            key = (head, announced, request.method, request.minor, self.keep_alive)
            start = gateway.starts.get(key) or gateway.render_start(*key)
        self.framing, self.remaining, self.keep_alive, data = start
        self.head_sent = True
        self.status = head.status
        return data

    def _may_omit_body(self, head: ResponseHead) -> bool:
        """Whether an app may leave out the body whose length the response would announce."""
        return self.request.method == "HEAD" or head.status == 304

    def _decide_persistence(self) -> None:
        if self.gateway.parting:
            self.keep_alive = False
        reader = self.reader
        if reader is not None and not reader.done:
            stream = self.stream
            unasked = self.request.expects_continue and not (stream is not None and stream.begun)
            failed = stream is not None and stream.failed
            if unasked or failed or reader.remaining is None or reader.remaining > MAX_DISCARD:
                self.keep_alive = False

    def _send_block(self, data: bytes) -> None:
        start = b"" if self.head_sent else self._start(None)
        data = self._fit(data)
        if self.framing == "chunked" and data:
            data = chunk(data)
        self.send(start + data if start else data)

    def _fit(self, data: bytes) -> bytes:
        """Count a block against what was announced, and return what of it may leave."""
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
        Block Boundaries"). A result that is there as a whole is left to the loop instead.
        """
        connection = self.connection
        if data:
            connection.send(data)
            self.streamed += len(data)
        if connection.outgoing:
            self.gateway.before_wait(self)
            self._await_reader()

    def _await_reader(self) -> None:
        """Wait until the rest has left; the time that the app takes for its blocks is not the client's."""
        connection = self.connection
        pace = self.pace = self.pace or Pace(connection.config, self._progress())
        while connection.outgoing:
            connection.wait_writable(pace.resume())
            connection.flush()
            if pace.too_slow(self._progress):
                connection.reset = True  # What the system still holds is dropped too.
                raise ClientDisconnected("the client reads the response too slowly")

    def _progress(self) -> int:
        return self.streamed - self.connection.untaken()

    def _cut(self, data: bytes) -> bytes:
        """RFC 9110 §8.6: the announced length is what the client believes."""
        self._complain(f"more bytes than its Content-Length; {len(data) - self.remaining} were left out")
        self.keep_alive = False
        return data[: self.remaining]

    def _end_body(self) -> None:
        self.complete = True
        if self.framing == "chunked":
            wanted = self.trailers and "trailers" in self.layer().get("HTTP_TE", "").lower()
            self.connection.send(LAST_CHUNK % (self.trailers if wanted else b""))
        elif self.framing == "length" and self.remaining:
            self._complain(f"{self.remaining} bytes fewer than its Content-Length; the connection was cut")
            self.connection.broken = True

    def _answer(self, status: int, detail: str) -> None:
        """Send an answer of our own."""
        self.framing = "none"
        self.head_sent = True
        if not self.request.minor:  # HTTP/1.0 would have to be told that the connection persists.
            self.keep_alive = False
        self._decide_persistence()
        head, body = error_response(status, detail, self.gateway.standing(), close=not self.keep_alive)
        if self.request.method == "HEAD":
            body = b""
        self.status, self.sent = status, len(body)
        try:
            self.connection.send(head + body)
        except ClientDisconnected:
            pass  # Its own flag is set.

    def _complain(self, text: str) -> None:
        logger.error("%s %s: %s", self.request.method, self.request.target, text)

    def log(self) -> None:
        """Write the access log's line, once the response has left or has been given up."""
        log, connection = self.gateway.access_log, self.connection
        connection.unlogged = None
        if log is not None:
            log.add(self, max(0, self.sent - connection.left()))
