"""One connection: its socket, what was read and not used yet, what is to be sent and was not taken yet.

A connection has one owner at any time, the loop or one exchange, and only the owner touches it. Nothing in
here waits for the client except the two ``wait_`` methods, which are for an exchange on its own thread.
"""

from __future__ import annotations

import math
import os
import select
import socket
import struct
import sys
from collections.abc import Callable
from typing import Literal, Protocol

from wsgiserve.config import Config
from wsgiserve.protocol import BodyReader, FieldBlock, RequestHead, RequestReader, body_reader
from wsgiserve.server.errors import ClientDisconnected
from wsgiserve.server.http.environ import Environ
from wsgiserve.server.http.file_wrapper import FileSegment, FileWrapper
from wsgiserve.server.http.pace import Pace
from wsgiserve.server.own_answers import HealthReader

if sys.platform == "linux":
    import fcntl
    import termios

# What is read at once. The room for it is made anew each time, so less is quicker where little comes.
HEAD_SIZE = 16384
BODY_SIZE = 262144
# A body up to this size is read by the loop, before the app is called.
BODY_IN_MEMORY = 1 << 20
# So is one in chunks, up to so much framing: the loop would spend longer on tiny ones than on all else.
CHUNK_OVERHEAD = 16384
MAX_POLL = (1 << 31) - 1  # milliseconds, a C int
# The loop sends at most this much of a file before it looks after other connections.
FILE_BURST = 1 << 21
# And this much on the thread that called the app: so little that the call is not taken for a slow one.
FIRST_BURST = 1 << 18
# What follows comes at once, and may leave in one packet with it.
MSG_MORE: int = getattr(socket, "MSG_MORE", 0)


# What the loop does with bytes that arrive. "head" reads the next request's head, "body" a body that is kept
# in memory until the app is called, "discard" a body that the app did not read to its end. In "linger"
# everything is answered, and bytes are read and forgotten until the client has seen it.
Phase = Literal["head", "body", "discard", "linger"]


class Running(Protocol):
    """What a connection's extensions ask of the exchange that runs on it."""

    request: RequestHead
    head_sent: bool
    trailers: bytes

    def send(self, data: bytes) -> None:
        """Send, and wait while the client does not read."""

    def upgrade(
        self,
        protocol: str,
        handler: Callable[[socket.socket, bytes], object],
        fields: list[tuple[str, str]],
    ) -> None:
        """Answer 101 in place of a response, and hand the socket over."""

    def log(self) -> None:
        """Write the access log's line."""


def queued(fd: int) -> int:
    """Count the bytes in a socket's send buffer, sent or not, that the peer has not acknowledged.

    SIOCOUTQ of tcp(7), by its other name; 0 on other systems, where a client has taken what has left.
    """
    if sys.platform != "linux":
        return 0
    (count,) = struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)))
    return int(count)


def _reader(config: Config) -> RequestReader:
    limits = {name: getattr(config, name) for name in ("max_line", "max_head", "max_fields", "max_body")}
    return HealthReader(config.health_path, **limits) if config.health_path else RequestReader(**limits)


class Connection:
    """State of one accepted socket; see the headings for how long each part lives."""

    __slots__ = (
        "arrived",
        "block_layer",
        "body",
        "body_reader",
        "broken",
        "closing",
        "config",
        "deadline",
        "exchange",
        "fd",
        "handler",
        "head",
        "last_block",
        "last_body_reader",
        "layer",
        "logged",
        "outgoing",
        "pace",
        "peer",
        "phase",
        "reader",
        "reading_head",
        "reset",
        "sock",
        "unlogged",
        "unsent",
        "watched",
    )

    def __init__(self, sock: socket.socket, peer: str, layer: Environ, config: Config) -> None:
        # the connection's lifetime
        self.sock = sock
        self.fd = sock.fileno()
        self.peer = peer or "-"  # for the logs
        self.config = config
        self.reader = _reader(config)
        self.layer = layer
        self.last_block: FieldBlock | None = None  # and the layer of the environ that was made for it
        self.block_layer: Environ = {}
        # the access log's last line: (request, status, bytes, what these come to)
        self.logged: tuple[RequestHead | None, int, int, str] = (None, 0, 0, "")
        # the loop's book-keeping
        self.watched = 0  # events the poller reports
        self.deadline = math.inf  # monotonic seconds; inf while an exchange owns the connection
        self.pace: Pace | None = None  # while the loop waits for a body, or for a response to be taken
        # the request being read, or being discarded
        self.phase: Phase = "head"
        self.reading_head = True  # its deadline runs; a new connection is not idle
        self.head: RequestHead | None = None
        self.body_reader: BodyReader | None = None
        self.body: bytes | bytearray = b""
        self.arrived = 0  # bytes of the body, with its framing
        # the exchange that runs, or ran last
        self.exchange: Running | None = None
        self.last_body_reader: BodyReader | None = None
        self.handler: Callable[[socket.socket, bytes], object] | None = None  # takes the socket over
        # the response being sent
        self.outgoing: list[memoryview | FileSegment] = []  # a few at most
        self.unsent = 0  # bytes in outgoing, without those in files
        self.unlogged: Running | None = None  # its line in the access log waits for what is unsent
        self.closing = False  # no further request: close once everything is sent
        self.broken = False  # the client must not take what it got for whole: close at once
        self.reset = False  # and the end of the connection alone would look regular

    @property
    def at_rest(self) -> bool:
        """Whether nothing is left to do after a request, but to wait for the next one."""
        return not (
            self.reader.buffer or self.outgoing or self.closing or self.broken or self.body_reader is not None
        )

    @property
    def is_idle(self) -> bool:
        """Whether it is kept alive without a request, or part of one, being in it."""
        return self.at_rest and not self.reading_head and self.phase == "head"

    # -- reading

    def receive(self) -> bytes | None:
        """Read what is there: None if nothing is, b"" at the end or when the client is gone."""
        try:
            return self.sock.recv(HEAD_SIZE if self.body_reader is None else BODY_SIZE)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""

    def next_request(self, data: bytes = b"") -> RequestHead | None:
        """Add what was received, and cut the next request off what was read; None while bytes are missing.

        Its body, if it has one, is in ``body``, or is still to be read by ``body_reader`` where the app is to
        be called before it is complete.
        """
        if self.phase != "head":
            self.reader.receive_data(data)
            data = b""
            if self.phase == "body":
                return self._request_with_body()
            if not self._discarded():
                return None
        head = self.reader.next_head(data)
        if head is None or not head.block.has_body:
            return head
        buffer, length = self.reader.buffer, head.block.content_length
        if length is not None and length <= len(buffer):  # Most bodies come with their head.
            self.body, self.reader.buffer = buffer[:length], buffer[length:]
            return head
        self._begin_body(head)
        return self._request_with_body()

    def _begin_body(self, head: RequestHead) -> None:
        self.head, self.phase = head, "body"
        self.body = bytearray()
        self.arrived = 0
        self.body_reader = self.last_body_reader = body_reader(
            head, max_body=self.config.max_body, max_fields=self.config.max_fields
        )

    def _request_with_body(self) -> RequestHead | None:
        head, reader = self.head, self.body_reader
        assert head is not None
        assert reader is not None
        self.body += self.take(reader)
        if reader.done:
            self.body_reader = None
        elif not (
            head.expects_continue
            or (head.block.content_length or 0) > BODY_IN_MEMORY
            or len(self.body) > BODY_IN_MEMORY
            or self.arrived - len(self.body) > CHUNK_OVERHEAD
        ):
            return None
        self.head = self.pace = None
        self.phase = "head"
        return head

    def _discarded(self) -> bool:
        """Read on through a body that nobody wants; True at its end."""
        assert self.body_reader is not None
        self.take(self.body_reader)
        if self.body_reader.done:
            self.body_reader = self.pace = None
            self.phase = "head"
        return self.phase == "head"

    def take(self, reader: BodyReader) -> bytes:
        """Move bytes from the request reader's buffer through a body's reader."""
        data, self.reader.buffer = bytes(self.reader.buffer), b""
        body, rest = reader.receive_data(data)
        self.reader.buffer = rest
        self.arrived += len(data) - len(rest)
        return body

    # -- sending

    def send(self, data: bytes) -> None:
        """Send ``data``, after what is unsent; keep what the socket does not take."""
        if self.outgoing:
            self.outgoing.append(memoryview(data))
            self.unsent += len(data)
            self.flush()
            return
        sent = 0
        try:
            sent = self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self.broken = True
            raise ClientDisconnected("the client closed the connection") from error
        if sent < len(data):
            self.outgoing.append(memoryview(data)[sent:])
            self.unsent += len(data) - sent

    def send_file(self, head: bytes, wrapper: FileWrapper, descriptor: int, offset: int, count: int) -> bool:
        """Send a head and a part of a file after what is unsent.

        Return False if all has left: then ``wrapper`` is the caller's to close, else it is closed here.
        """
        sent = 0
        if count and not self.outgoing:
            try:
                head = head[self.sock.send(head, MSG_MORE) :]
                if not head:
                    sent = os.sendfile(self.fd, descriptor, offset, min(count, FIRST_BURST))
            except OSError:
                pass  # As the first thing below, it says so again.
            if sent == count:
                return False
        if head:
            self.outgoing.append(memoryview(head))
            self.unsent += len(head)
        self.outgoing.append(FileSegment(wrapper, descriptor, offset + sent, count - sent))
        if not sent:
            self.flush()
        return True

    def flush(self) -> None:
        """Send what the socket takes now."""
        outgoing = self.outgoing
        try:
            while outgoing:
                segment = outgoing[0]
                if isinstance(segment, FileSegment):
                    if not self._flush_file(segment):
                        return
                    del outgoing[0]
                    segment.close()
                    continue
                sent = self.sock.send(segment)
                self.unsent -= sent
                if sent < len(segment):
                    outgoing[0] = segment[sent:]
                    return
                del outgoing[0]
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.broken = True
            raise ClientDisconnected("the client closed the connection") from error

    def left(self) -> int:
        """Count the bytes that have not left yet."""
        files = sum(segment.count for segment in self.outgoing if isinstance(segment, FileSegment))
        return self.unsent + files

    def untaken(self) -> int:
        """Count the bytes that the client has not taken yet, in the system's buffer too where it tells.

        The system takes megabytes at once, and tells of room again when a third of its buffer is free: what
        it took says little about whether a slow client reads.
        """
        return self.left() + queued(self.fd)

    def progress(self) -> int:
        """Count, from anywhere, what the client has done of what the loop waits for; see ``Pace``."""
        return -self.untaken() if self.outgoing else self.arrived

    def _flush_file(self, segment: FileSegment) -> bool:
        """Send from a file; True when its part has left, False to come back later."""
        burst = FILE_BURST
        while segment.count and burst > 0:
            sent = os.sendfile(self.fd, segment.descriptor, segment.offset, min(segment.count, burst))
            if sent == 0:  # The file shrank: the announced length cannot be kept.
                self.broken = True
                raise ClientDisconnected("the file became shorter while it was sent")
            segment.offset += sent
            segment.count -= sent
            burst -= sent
        return segment.count == 0

    # -- waiting, on an exchange's own thread

    def wait_readable(self, seconds: float) -> bool:
        """Wait until there is something to receive, or a hang-up."""
        return self._wait(select.POLLIN, seconds)

    def wait_writable(self, seconds: float) -> bool:
        """Wait until the socket takes bytes, or a hang-up."""
        return self._wait(select.POLLOUT, seconds)

    def _wait(self, event: int, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self.fd, event)
        return bool(poll.poll(min(seconds * 1000, MAX_POLL)))

    def closed_by_client(self) -> bool:
        """Tell whether it was reset, or the client has closed it or its sending side; one system call."""
        return self._wait(getattr(select, "POLLRDHUP", 0), 0)

    # -- the end

    def end_of_output(self) -> None:
        """Tell the client that nothing follows, while its own last bytes may still arrive."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # It is gone already.

    def hang_up(self) -> None:
        """End it in both directions, also for whoever waits for it."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # It is gone already.

    def close(self) -> None:
        """Close the socket, and what was not sent with it."""
        if self.reset:
            try:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            except OSError:
                pass  # It is gone already.
        self.sock.close()
        for segment in self.outgoing:
            if isinstance(segment, FileSegment):
                segment.close()
        self.outgoing.clear()
        self.forget_exchange()

    def forget_exchange(self) -> None:
        """Let go of what refers back to us, so that the collector need not come for it."""
        self.exchange = None
        self.layer = self.block_layer = {}
        self.last_block = None
