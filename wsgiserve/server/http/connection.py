"""One connection: its socket, received bytes that are not used yet, and bytes that are still to be sent.

A connection has one owner at any time, the loop or one exchange, and only the owner touches it. Nothing in
here waits for the client except the ``wait_`` methods, which an exchange calls on its own thread.

How a connection ends is one of these, in the order in which one replaces another:

======= ======================================================================================
ending  meaning
======= ======================================================================================
""      the connection persists
close   close it once everything is sent; serve no further request
linger  everything is sent, and the client knows; read and forget bytes until it has closed
cut     close it at once: the client must not take its bytes for a whole response
reset   as cut, with a reset: a regular end of the connection would look like a whole response
======= ======================================================================================
"""

from __future__ import annotations

import logging
import math
import select
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol

from wsgiserve.config import Config
from wsgiserve.protocol.receiver import Receiver
from wsgiserve.protocol.request import RequestHead
from wsgiserve.server.errors import ClientDisconnected, ClientTooSlow, ResponseCut
from wsgiserve.server.http.budget import Budget
from wsgiserve.server.http.environ import Environ, request_environ
from wsgiserve.server.http.file_wrapper import FileError, FileSegment
from wsgiserve.server.http.pace import ABSOLUTE, Absolute, Pace
from wsgiserve.server.sockets.poller import Poller
from wsgiserve.server.system import Socket, monotonic, poll

if TYPE_CHECKING:
    from wsgiserve.server.sockets.tls import TLSSocket

if sys.platform == "linux":
    import fcntl
    import termios

# Python allocates a buffer of this size for each receive, so a small one is faster where little arrives.
HEAD_SIZE = 16384
BODY_SIZE = 262144
MAX_POLL = (1 << 31) - 1  # milliseconds, a C int
# The loop sends at most this much of a file before it looks after other connections.
FILE_BURST = 1 << 21
# The thread that called the app sends at most this much: more would make a fast call look slow.
FIRST_BURST = 1 << 18
# More data follows at once, and may leave in one packet with this.
MSG_MORE: int = getattr(socket, "MSG_MORE", 0)

logger = logging.getLogger("wsgiserve")

Ending = Literal["", "close", "linger", "cut", "reset"]

# see ``Connection.forget_plain_line``
NO_LINE: tuple[RequestHead | None, object, Any, Any] = (None, None, None, None)


class Running(Protocol):
    """The exchange that runs on a connection, as its connection and the extensions see it."""

    request: RequestHead
    head_sent: bool
    id: str

    def send(self, data: bytes) -> None:
        """Send, and wait while the client does not read."""

    def set_trailers(self, lines: bytes) -> None:
        """Set the trailer lines of the response."""

    def upgrade(
        self,
        protocol: str,
        handler: Callable[[socket.socket, bytes], object],
        fields: list[tuple[str, str]],
    ) -> None:
        """Answer 101 in place of a response, and hand the socket over."""

    def end_as(self, end: str) -> None:
        """Note why it ends, for the access log."""

    def log(self) -> None:
        """Write the access log's line."""

    def lose(self, end: str) -> None:
        """Write the access log's line if there was none, since the exchange ends here."""


class Door(Protocol):
    """The listener that a connection came from, which knows where https is spoken."""

    def answer(self, path: str) -> bytes | None:
        """Return what an authority is told that asks for the host of the certificates."""

    def url_by_https(self, host: str) -> str:
        """Return the URL that a request for a host is redirected to; "" if we are not that host."""

    def url_for_plain(self, data: bytes) -> str:
        """Return the URL for a client that sent HTTP, beginning with ``data``, without TLS."""


def queued(fd: int) -> int:
    """Count the bytes in a socket's send buffer, sent or not, that the peer has not acknowledged.

    SIOCOUTQ of tcp(7), by its other name. Other systems do not tell: 0 there.
    """
    if sys.platform != "linux":
        return 0
    (count,) = struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)))
    return int(count)


def bytes_of(part: memoryview) -> bytes:
    """Return the block that a part keeps in memory as a whole."""
    block = part.obj
    assert isinstance(block, bytes)
    return block


class Connection:
    """State of one accepted socket; the headings tell how long each part lives."""

    base = 0.0  # of its words in the journal; see ``shown``

    __slots__ = (
        "budget",
        "config",
        "deadline",
        "door",
        "ending",
        "exchange",
        "fd",
        "handler",
        "kept_environ",
        "layer",
        "line",
        "logged",
        "outgoing",
        "pace",
        "peer",
        "receiver",
        "repeated",
        "share",
        "sock",
        "tls",
        "unlogged",
        "unsent",
        "waits",
        "watched",
    )

    def __init__(
        self,
        sock: socket.socket | TLSSocket,
        peer: str,
        layer: Environ,
        config: Config,
        receiver: Receiver,
        budget: Budget,
    ) -> None:
        # the connection's lifetime
        self.sock = sock
        self.tls: TLSSocket | None = None if isinstance(sock, Socket) else sock  # type: ignore[assignment]
        self.fd = sock.fileno()
        self.peer = peer or "unix"  # for the logs
        self.config = config
        self.receiver = receiver
        self.budget = budget
        self.share = 0  # bytes of the budget
        self.door: Door | None = None
        self.ending: Ending = ""
        self.layer = layer
        # the last request, if the receiver knows it when it comes again, and its environ once it did
        self.repeated: RequestHead | None = None
        self.kept_environ: Environ | None = None
        # the last request in the access log: (request, status, bytes, what its format keeps)
        self.logged: tuple[RequestHead | None, int, int, Any] = (None, 0, 0, None)
        self.line = NO_LINE
        # the loop's wait for the client
        self.watched = 0  # events the poller reports
        self.deadline = math.inf  # monotonic seconds; inf while an exchange owns the connection
        # while the loop waits for a head (so a new connection is not idle), a body, or a response to be taken
        self.pace: Pace | Absolute | None = ABSOLUTE
        # the exchange that runs, or ran last
        self.exchange: Running | None = None
        self.handler: Callable[[socket.socket, bytes], object] | None = None  # takes the socket over
        self.waits: Literal["body", "sending"] | None = None  # its thread, for the client
        # the response being sent
        self.outgoing: list[memoryview | FileSegment] = []  # a few at most
        self.unsent = 0  # bytes in outgoing, without those in files
        self.unlogged: Running | None = None  # its line in the access log waits for the unsent bytes

    @property
    def at_rest(self) -> bool:
        """Whether nothing is left to do after a request, but to wait for the next one."""
        receiver = self.receiver
        return not (receiver.buffer or self.outgoing or self.ending or receiver.body_reader is not None)

    @property
    def is_idle(self) -> bool:
        """Whether it is kept alive, and no part of a request has arrived."""
        return self.at_rest and self.pace is None

    @property
    def state(self) -> Literal["idle", "receiving", "sending"]:
        """What it does while no exchange owns it."""
        if self.outgoing or self.ending:
            return "sending"
        return "idle" if self.is_idle else "receiving"

    @property
    def is_broken(self) -> bool:
        """Whether the client is gone, or must not take its bytes for a whole response."""
        return self.ending == "cut" or self.ending == "reset"

    def come_by(self, door: Door) -> None:
        """Name the listener that it was accepted from."""
        self.door = door

    # -- waiting for the client, in the loop

    def watch(self, poller: Poller, events: int) -> None:
        """Have the poller report these events, or nothing for 0."""
        before, self.watched = self.watched, events
        if events:
            poller.watch(self.fd, before, events)
        elif before:
            poller.forget(self.fd)

    @property
    def has_deadline(self) -> bool:
        """Whether it waits for its client."""
        return self.deadline < math.inf

    def begin(self, exchange: Running | None) -> None:
        """Begin to answer a request: an exchange runs, or the server answers itself."""
        self.exchange = exchange
        self.pace = None

    def rest(self, until: float) -> bool:
        """Wait for the next request until a deadline; False if something is left to do before."""
        receiver = self.receiver
        if receiver.buffer or self.outgoing or self.ending or receiver.body_reader is not None:
            return False
        self.deadline = until
        return True

    def wait_for_loop(self) -> None:
        """Have no deadline while an exchange owns the connection, or while the loop serves others first."""
        self.deadline = math.inf

    def demand_progress(self) -> None:
        """Give the client until the next look to move some bytes; see ``Pace``."""
        self.pace = self.pace_from(self.progress())
        self.look_later()

    def pace_from(self, start: int) -> Pace:
        """Begin to measure how fast the client moves bytes."""
        return Pace(self.config.stall_timeout, self.config.min_rate, start)

    def look_later(self) -> None:
        """Look again whether the client has moved some bytes."""
        self.deadline = monotonic() + self.config.stall_timeout

    def await_bytes(self, now: float) -> None:
        """Set the deadline for the next bytes of the client."""
        receiver = self.receiver
        if receiver.phase != "head":
            if self.pace is None or self.pace is ABSOLUTE:
                self.demand_progress()
        elif self.pace is not ABSOLUTE:
            self.pace = ABSOLUTE if receiver.buffer else None
            self.deadline = now + (self.config.head_timeout if receiver.buffer else self.config.keep_alive)

    def hasten(self, moment: float) -> None:
        """Bring the deadline forward."""
        self.deadline = min(self.deadline, moment)

    def put_off(self, seconds: float) -> None:
        """Put the deadline off: for so long nobody could look at the socket."""
        self.deadline += seconds
        if self.pace is not None:
            self.pace.put_off(seconds)

    # -- the end

    def close_when_sent(self) -> None:
        """Serve no further request, and close once everything is sent."""
        self.ending = self.ending or "close"

    def cut(self, *, reset: bool = False) -> None:
        """Close at once; with a reset if a regular end would look like a whole response."""
        self.ending = "reset" if reset or self.ending == "reset" else "cut"

    def linger(self, deadline: float) -> None:
        """Tell the client that nothing follows, and give it time to read the response."""
        self.ending = "linger"
        self.pace = None
        self.deadline = deadline
        self.receiver.forget()
        self.give_share_back()
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # It is gone already.

    def hang_up(self) -> None:
        """End the connection in both directions, also for a thread or another process that has the socket."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # It is gone already.

    def lay_tls_down(self, sock: socket.socket) -> None:
        """Go on without TLS: the client never began it."""
        self.sock, self.tls = sock, None

    def close(self) -> None:
        """End the connection, and drop unsent bytes."""
        if self.tls is not None and not self.is_broken:
            self.tls.say_goodbye()
        if self.ending == "reset":
            try:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            except OSError:
                pass  # It is gone already.
        else:
            self.hang_up()  # A child that the app forked outside of Python may hold the socket.
        self._close_descriptors()
        self.give_share_back()
        self.forget_exchange()

    def leave(self) -> None:
        """Close our descriptors in a process that the app forked; the connection is the parent's."""
        self.cut()
        self._close_descriptors()

    def _close_descriptors(self) -> None:
        self.sock.close()
        for segment in self.outgoing:
            if isinstance(segment, FileSegment):
                segment.close()
        self.outgoing.clear()

    def forget_exchange(self) -> None:
        """Drop references that lead back to this connection, so that it is freed without the collector."""
        self.exchange = self.kept_environ = None
        self.layer = {}

    def hand_over(self, handler: Callable[[socket.socket, bytes], object] | None) -> None:
        """Name who gets the socket once everything is sent; None for nobody."""
        self.handler = handler

    def taken_over(self) -> socket.socket:
        """Return the blocking socket for who takes the connection over."""
        if self.tls is not None:
            return self.tls.bridge()
        assert isinstance(self.sock, Socket)
        self.sock.setblocking(True)
        return self.sock

    def replacement(self, sock: socket.socket | TLSSocket) -> Connection:
        """Make a connection for the last answer to the client, over another descriptor of its socket."""
        receiver = Receiver(self.receiver.limits)
        connection = Connection(sock, self.peer, self.layer, self.config, receiver, self.budget)
        connection.close_when_sent()
        return connection

    def inherit(self, before: Connection) -> None:
        """Take over the unsent bytes of another connection to the same client."""
        self.outgoing, before.outgoing = before.outgoing, []
        self.unsent = before.unsent
        self.share, before.share = before.share, 0

    # -- kept from one request to the next

    def remember_line(self, request: RequestHead, status: int, size: int, kept: Any) -> None:
        """Keep what lines of a repeated request have in common."""
        self.logged = (request, status, size, kept)

    def remember_plain_line(self, request: RequestHead, rendered: object, plain: Any, timed: Any) -> None:
        """Keep what the line is made from in the simplest case.

        That is when a request is repeated and answered with the same rendered head, and its body leaves as a
        whole and at once. ``forget_plain_line`` is called in all other cases. The line is ``plain`` and the
        microseconds, or is made by ``timed``: see ``log_lines.Plain``.
        """
        self.line = (request, rendered, plain, timed)

    def forget_plain_line(self) -> None:
        """The line of the exchange that runs will be another one."""
        self.line = NO_LINE

    def identify(self, id: str) -> None:
        """Set the id of the request that is about to run, in its environ."""
        self.layer["wsgiserve.request_id"] = id
        if self.kept_environ is not None:
            self.kept_environ["wsgiserve.request_id"] = id

    def environ_of(self, request: RequestHead) -> Environ:
        """Make a request's environ; the caller adds its body. One that is repeated has a copy of the last."""
        if request is not self.repeated:
            self.repeated = request if request is self.receiver.last_head else None
            self.kept_environ = None
            return request_environ(self.layer, request)
        if self.kept_environ is None:
            self.kept_environ = request_environ(self.layer, request)
        return self.kept_environ.copy()

    def client_of(self, request: RequestHead) -> str:
        """Return the address of a request's client for the logs: the peer, unless a proxy named another."""
        address = request.fields.get("REMOTE_ADDR")
        return self.peer if address is None else address or "unknown"

    # -- the bytes that are kept for a slow client

    def adjust_share(self) -> bool:
        """Have the bytes that are kept here count in the budget; False if they do not fit."""
        kept = self.receiver.kept
        for segment in self.outgoing:
            if not isinstance(segment, FileSegment):
                kept += len(bytes_of(segment))
        fits = kept == self.share or self.budget.change(self.share, kept)
        if fits:
            self.share = kept
        return fits

    def give_share_back(self) -> None:
        """Count nothing: nothing is kept, or an exchange has it now."""
        if self.share:
            self.budget.change(self.share, 0)
            self.share = 0

    def take_body(self) -> bytes:
        """Return the part of the body that has arrived; it is the exchange's now."""
        body = self.receiver.take_body()
        self.give_share_back()
        return body

    # -- reading

    def receive(self) -> bytes | None:
        """Receive bytes: None if none have arrived, b"" at the end or when the client is gone."""
        try:
            return self.sock.recv(HEAD_SIZE if self.receiver.body_reader is None else self._body_size())
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""

    def _body_size(self) -> int:
        """Return how much of a body to receive: little if it would be kept, and there is no room for more."""
        collects = self.receiver.phase == "body"
        return HEAD_SIZE if collects and not self.budget.has_room(BODY_SIZE) else BODY_SIZE

    # -- sending

    def send(self, data: bytes) -> None:
        """Send ``data`` behind unsent bytes; keep the part that the socket does not take."""
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
            self.cut()
            raise ClientDisconnected("the client closed the connection") from error
        if sent < len(data):
            self.forget_plain_line()
            self.outgoing.append(memoryview(data)[sent:])
            self.unsent += len(data) - sent

    def send_parts(self, parts: list[bytes]) -> None:
        """Send large blocks as ``send`` does, but never copy them: several clients may get the same bytes."""
        views = [memoryview(part) for part in parts]
        if not self.outgoing:
            try:
                sent = self.sock.sendmsg(views)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                self.cut()
                raise ClientDisconnected("the client closed the connection") from error
            while views and sent >= len(views[0]):
                sent -= len(views.pop(0))
            if sent:
                views[0] = views[0][sent:]
        if views:
            self.forget_plain_line()
        self.outgoing += views
        self.unsent += sum(map(len, views))

    def send_file(self, head: bytes, segment: FileSegment) -> bool:
        """Send a head and a part of a file behind unsent bytes.

        Return False if the rest of the file cannot be kept, for want of a descriptor: then it is the
        caller's.
        """
        self.forget_plain_line()
        if self.tls is not None:
            segment.read_instead()
        if not self.outgoing:
            try:
                head = head[self.sock.send(head, MSG_MORE) :]
                if not head and segment.count:
                    segment.send(self.sock, FIRST_BURST)
            except (OSError, FileError):
                pass  # It fails once more when the loop tries, which then says so.
            if not head and not segment.count:
                return True
        if head:
            self.outgoing.append(memoryview(head))
            self.unsent += len(head)
        if segment.count:
            try:
                segment.keep()
            except OSError:
                return False
            self.outgoing.append(segment)
        return True

    def flush(self) -> None:
        """Send as much as the socket takes now."""
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
        except FileError as error:
            self._give_up(str(error))
        except OSError as error:
            self.cut()
            raise ClientDisconnected("the client closed the connection") from error

    def log_when_sent(self, exchange: Running) -> None:
        """Have the exchange's line in the access log wait for the unsent bytes."""
        self.unlogged = exchange

    def all_sent(self) -> None:
        """Everything has left: the client is not waited for any more, and the log's line can be written."""
        self.pace = None
        self.give_share_back()
        if self.unlogged is not None:
            self.log_unlogged()

    def log_unlogged(self) -> None:
        """Write the line that waited: its bytes have left, or never will."""
        exchange, self.unlogged = self.unlogged, None
        if exchange is not None:
            exchange.log()

    def left(self) -> int:
        """Count the bytes that have not left yet."""
        files = sum(segment.count for segment in self.outgoing if isinstance(segment, FileSegment))
        return self.unsent + files

    def untaken(self) -> int:
        """Count the bytes that the client has not taken yet, in the system's buffer too where it tells.

        The system takes megabytes at once, and tells of room again when a third of its buffer is free: the
        amount it took says little about whether a slow client reads.
        """
        return self.left() + queued(self.fd)

    def progress(self) -> int:
        """Count the bytes that the client has sent of a body, or taken of a response; see ``Pace``."""
        return -self.untaken() if self.outgoing else self.receiver.arrived

    def _flush_file(self, segment: FileSegment) -> bool:
        """Send from a file; True when its part has left, False to come back later."""
        burst = FILE_BURST
        while segment.count and burst > 0:
            sent = segment.send(self.sock, burst)
            if sent == 0:
                self._give_up("a file became shorter while it was sent")
            burst -= sent
        return segment.count == 0

    def _give_up(self, reason: str) -> NoReturn:
        """Cut the connection: the announced length cannot be kept, and that is not the client's fault."""
        logger.error("%s: %s; the connection was cut", self.peer, reason)
        self.cut()
        if self.unlogged is not None:
            self.unlogged.end_as("cut")
        raise ResponseCut(reason)

    # -- waiting, on an exchange's own thread

    def wait_readable(self, seconds: float) -> bool:
        """Wait until there is something to receive, or a hang-up."""
        with self._shown_as("body"):
            return self._wait(select.POLLIN, seconds)

    def wait_writable(self, seconds: float) -> bool:
        """Wait until the socket takes bytes, or a hang-up."""
        with self._shown_as("sending"):
            return self._wait(select.POLLOUT, seconds)

    def wait_until_sent(self, pace: Pace, progress: Callable[[], int]) -> None:
        """Send, and wait while the client does not read, until all has left but the rest of a file.

        ``progress`` is what ``pace`` measures. Raise ClientDisconnected if the client is too slow, or gone.
        """
        while self.unsent:
            self.wait_writable(pace.resume())
            self.flush()
            if pace.too_slow(progress):
                self.cut(reset=True)  # Drops the bytes that the system still holds.
                raise ClientTooSlow("the client reads the response too slowly")

    @contextmanager
    def _shown_as(self, phase: Literal["body", "sending"]) -> Iterator[None]:
        self.waits = phase
        try:
            yield
        finally:
            self.waits = None

    def _wait(self, event: int, seconds: float) -> bool:
        waiter = poll()
        waiter.register(self.fd, event)
        return bool(waiter.poll(min(seconds * 1000, MAX_POLL)))

    def closed_by_client(self) -> bool:
        """Tell whether it was reset, or the client has closed it or its sending side; one system call."""
        return self._wait(getattr(select, "POLLRDHUP", 0), 0)
