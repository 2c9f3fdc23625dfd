"""The event loop: accepts, reads heads and small bodies, sends what is left over, keeps deadlines.

Run by one thread at a time, the leader (see ``leadership``), one ``turn`` after the other. A connection stays
watched from one request to the next, so a request on a kept-alive connection costs one receive and one send.

Rules
- Nothing in here waits for a client. It may wait for the disk (``sendfile``, closing a file) and for whoever
  reads the logs. It calls the app through ``Leadership.call`` only, which lets the lock go for that.
- An event is a hint; what the socket gives is the truth. Stale events and reused descriptors do no harm.
- Everything in here is for the leader. What may run on the thread of an exchange is in ``custody``.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from time import monotonic

from wsgiserve.config import Config
from wsgiserve.protocol import RemoteProtocolError
from wsgiserve.server.connections import Custody
from wsgiserve.server.errors import ClientDisconnected
from wsgiserve.server.http.connection import Connection
from wsgiserve.server.http.environ import connection_environ
from wsgiserve.server.http.exchange import Exchange
from wsgiserve.server.http.extensions import Extensions
from wsgiserve.server.http.gateway import Gateway
from wsgiserve.server.refusals import ShortageLog
from wsgiserve.server.scoreboard import Row
from wsgiserve.server.shutdown import Ending
from wsgiserve.server.sockets.listener import Listener
from wsgiserve.server.sockets.poller import MAX_EVENTS, READ, WRITE, Poller
from wsgiserve.server.threads.leadership import Leadership, Standing
from wsgiserve.server.threads.timeouts import Calls

logger = logging.getLogger("wsgiserve")

ACCEPT_BURST = 64  # connections accepted before others are looked after
PIPELINE_BURST = 16  # pipelined requests of one connection served before others are looked after
EVICTED_SHARE = 64  # of so many idle connections one more is closed at once: the search for them costs
SWEEP_SECONDS = 1.0
REST_SECONDS = 0.001
STOP_SECONDS = 1.0  # for a head that is half received when idle connections are closed
CUT_SECONDS = 0.2  # for the last answers, once what runs is to be cut


class EventLoop(Custody):
    """The loop of one server."""

    def __init__(
        self,
        gateway: Gateway,
        listeners: list[Listener],
        config: Config,
        poller: Poller,
        *,
        row: Row | None = None,
    ) -> None:
        super().__init__(gateway, config, poller)
        self._row = row  # there if other processes accept from the listeners too
        self._burst = ACCEPT_BURST if row is None else 1
        self.leadership = Leadership(
            self,
            config.threads,
            config.max_queue,
            config.queue_timeout,
            Calls(config.slow_log, config.request_timeout),
        )
        gateway.before_wait = self.leadership.detach
        self.listeners = {listener.fd: listener for listener in listeners}
        if row is not None:
            row.set(0)
        self._watch_listeners()
        self._next_search = 0.0  # for idle connections to close, once there were none
        self._crowded = ShortageLog(
            "all %d connections are in use and new clients wait; times so far: %d; raise --max-connections"
        )
        self._unserved: dict[Connection, None] = {}  # with requests in the buffer that had to wait
        self._idle_until = 0.0  # for what becomes idle in this turn
        self._next_sweep = self._sweep_at = 0.0
        self._resting = False  # others may accept before us
        self._alive: Callable[[], object] | None = None  # wants to hear that the loop turns
        self._beat_seconds = math.inf
        self._next_beat = 0.0
        self._sweep_seconds = SWEEP_SECONDS
        self._ending: Ending | None = None  # the server was asked to stop
        self._next_step = math.inf  # of it
        self._deaf = False
        self._idle_let_go = False

    def beat(self, call: Callable[[], object], seconds: float) -> None:
        """Call ``call`` every ``seconds``, or a sweep later, from now on; said before the loop runs."""
        self._alive = call
        self._beat_seconds = seconds
        self._sweep_seconds = min(SWEEP_SECONDS, seconds / 2)

    # -- one turn

    def turn(self) -> Standing:
        """Wait for events once and serve them."""
        if self.gateway.stopping and self._wind_down():
            return "over"
        connections = self.connections
        events = self._poll()
        self.gateway.tick()
        now = monotonic()
        self._idle_until = now + self.config.keep_alive
        for fd, _ in events:
            connection = connections.get(fd)
            if connection is None:
                self._own_event(fd)
                continue
            try:
                standing = self._on_event(connection)
            except Exception:  # noqa: BLE001 - see `_lose`
                standing = self._lose(connection)
            if standing != "leading":
                return standing
        standing = self._go_on()
        if standing != "leading":
            return standing
        if self._stop_at < math.inf and not self._idle_let_go and len(events) < MAX_EVENTS:
            self._let_go_of_idle()  # All that had been sent before is served by now.
        if now >= self._next_sweep:
            self._sweep()
        return "leading"

    def _go_on(self) -> Standing:
        """Serve what waits for us, and not for its client."""
        for connection in tuple(self._unserved):
            del self._unserved[connection]
            try:
                standing = self._advance(connection, self._settle(connection))
            except Exception:  # noqa: BLE001 - see `_lose`
                standing = self._lose(connection)
            if standing != "leading":
                return standing
        exchange = self.leadership.next_inline()
        return "leading" if exchange is None else self._serve(exchange)

    def _lose(self, connection: Connection) -> Standing:
        """Serving it raised: a bug of ours costs one connection, not the server."""
        logger.critical("%s: serving it failed", connection.peer, exc_info=True)
        self._drop(connection)
        return "leading"

    def _poll(self) -> list[tuple[int, int]]:
        """Wait for events; what was logged is written before, unless there is other work at once."""
        log = self.gateway.access_log
        if log is not None and log.pending:
            events = [] if log.is_due() else self.poller.poll(0)
            if events:
                return events
            log.flush()
        return self.poller.poll(self._timeout())

    def _timeout(self) -> float | None:
        if self._unserved or (self._stop_at < math.inf and not self._idle_let_go):
            return 0
        if self.connections or not self._listening or self._ending is not None:
            return max(0.0, min(self._next_sweep, self._next_step) - monotonic())
        return None if self._alive is None else max(0.0, self._next_beat - monotonic())

    def _own_event(self, fd: int) -> None:
        listener = self.listeners.get(fd)
        if listener is not None:
            if self._listening:  # Not paused by another one a moment ago.
                self._accept(listener)
                if self._row is not None and self._listening:
                    self._let_others_go_first(self._row, fd)
        elif fd == self._bell.fileno():
            try:
                self._bell.recv(4096)
            except BlockingIOError:
                pass  # A hint; see the rules.
            if self._full and len(self.connections) < self.config.max_connections:
                self._watch_listeners()

    def _on_event(self, connection: Connection) -> Standing:
        if self._unserved and connection in self._unserved:
            return "leading"  # First what it sent before; this is reported again.
        if connection.watched & WRITE:
            return self._on_writable(connection)
        data = connection.receive()
        if data:
            if connection.phase == "linger":
                return "leading"
            return self._advance(connection, self._next_exchange(connection, data))
        if data is not None:
            self._on_end_of_input(connection)
        return "leading"

    def _on_end_of_input(self, connection: Connection) -> None:
        """The client sends no more. If that cuts a request, it may still read why it gets no answer."""
        cut = connection.phase == "body" or (connection.phase == "head" and connection.reader.buffer)
        if cut and not connection.closing:
            self._send_refusal(connection, RemoteProtocolError(400, "the request is incomplete"))
        self._drop(connection)

    def _on_writable(self, connection: Connection) -> Standing:
        try:
            connection.flush()
        except ClientDisconnected:
            self._drop(connection)
            return "leading"
        if connection.outgoing:
            return "leading"
        connection.pace = None
        if connection.unlogged is not None:
            connection.unlogged.log()
        return self._advance(connection, self._settle(connection))

    # -- requests

    def _advance(self, connection: Connection, exchange: Exchange | None) -> Standing:
        """Serve a connection's next exchange, if there is one, and what is pipelined behind it."""
        served = 0
        while exchange is not None:
            standing = self.leadership.serve(exchange)
            if standing != "leading":
                return "leading" if standing == "dispatched" else standing
            if not (  # As ``at_rest``, without the call.
                connection.reader.buffer
                or connection.outgoing
                or connection.closing
                or connection.broken
                or connection.body_reader is not None
            ):
                connection.deadline = self._idle_until
                return "leading"
            served += 1
            if served == PIPELINE_BURST:
                connection.deadline = math.inf  # It waits for us, not for its client.
                self._unserved[connection] = None
                break
            exchange = self._settle(connection)
        return "leading"

    def _serve(self, exchange: Exchange) -> Standing:
        connection = exchange.connection
        try:
            self._watch(connection, READ)  # ``_advance`` takes one at rest for watched.
            standing = self.leadership.call(exchange)
            if standing == "leading":
                standing = self._advance(connection, self._settle(connection))
        except Exception:  # noqa: BLE001 - see `_lose`
            standing = self._lose(connection)
        return standing

    # -- connections

    def _accept(self, listener: Listener) -> bool:
        """Take new connections in; True if there may be more."""
        for _ in range(min(self._burst, self._room())):
            try:
                sock, address = listener.sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return False
            except OSError as error:  # Out of descriptors or memory.
                if not self._let_go_of_oldest():
                    logger.error(
                        "cannot accept connections for a second: %s; where that is for want of "
                        "descriptors, raise the limit of open files (ulimit -n)",
                        error,
                    )
                    self._pause_listeners()
                    self._next_sweep = monotonic() + SWEEP_SECONDS
                return False
            sock.setblocking(False)
            layer = connection_environ(listener.host, listener.port, address)
            connection = Connection(sock, layer["REMOTE_ADDR"] or "-", layer, self.config)
            layer.update(Extensions(connection).environ())
            connection.deadline = monotonic() + self.config.head_timeout
            self.connections[connection.fd] = connection
            self._watch(connection, READ)
        return True

    def _room(self) -> int:
        """Return how many connections may be accepted now that one waits; if none, pause until one closes."""
        if self._deaf:
            return ACCEPT_BURST  # The system has accepted them for us, at most the backlog.
        cap = self.config.max_connections
        room = cap - len(self.connections)
        if room > 0:
            return room
        now = monotonic()
        if now >= self._next_search:
            if self._let_go_of_oldest():
                return cap - len(self.connections)
            self._next_search = now + SWEEP_SECONDS
            self._crowded.add(cap)
        self._pause_listeners()
        self._full = True
        if len(self.connections) < cap:  # Closed by a thread that did not see the flag.
            self.wake()
        return 0

    def _let_go_of_oldest(self) -> bool:
        """Close the connections that have been idle longest; True if there were any."""
        idle = [connection for connection in self._own_connections() if connection.is_idle]
        idle.sort(key=lambda connection: connection.deadline)
        for connection in idle[: len(idle) // EVICTED_SHARE + 1]:
            self._drop(connection)
        return bool(idle)

    def _watch_listeners(self) -> None:
        for fd in self.listeners:
            if self._row is None:
                self.poller.watch(fd, 0, READ)
            else:
                self.poller.share(fd)
        self._listening = True
        self._full = False

    def _let_others_go_first(self, row: Row, fd: int) -> None:
        """Go to the end of the line of those who wait for a connection; a moment later if we are ahead."""
        row.set(len(self.connections))
        place = row.place()
        self._burst = ACCEPT_BURST if place == "alone" else 1
        if place == "ahead":
            self._pause_listeners()
            self._resting = True
            self._next_sweep = min(self._next_sweep, monotonic() + REST_SECONDS)
        elif place == "even":
            self.poller.forget(fd)
            self.poller.share(fd)

    def _pause_listeners(self) -> None:
        if not self._listening:
            return
        for fd in self.listeners:
            self.poller.forget(fd)
        self._listening = False

    def _sweep(self) -> None:
        """End what took or waited too long; listen again after a pause."""
        now = monotonic()
        if self._resting:
            self._resting = False
            self._watch_listeners()
            if now < self._sweep_at:
                self._next_sweep = self._sweep_at
                return
        self._next_sweep = self._sweep_at = now + self._sweep_seconds
        if self._alive is not None and now >= self._next_beat:
            self._next_beat = now + self._beat_seconds
            self._alive()
        if not self._listening and self.listeners:
            self._watch_listeners()
        self._go_on_behind(self.leadership.shed_overdue())
        if self._idle_let_go:
            self._let_go_of_idle()  # What a thread gave back as the stop began may not have known of it.
        for connection in self._own_connections():
            if connection.deadline <= now:
                try:
                    self._expire(connection)
                except Exception:  # noqa: BLE001 - see `_lose`
                    self._lose(connection)

    def _go_on_behind(self, shed: list[Exchange]) -> None:
        for exchange in shed:
            self._watch(exchange.connection, READ)  # As in ``_serve``.
            self._unserved[exchange.connection] = None

    def _expire(self, connection: Connection) -> None:
        pace = connection.pace
        if pace is not None and not pace.too_slow(connection.progress):
            connection.deadline = monotonic() + self.config.stall_timeout
            return
        unfinished = connection.phase == "body" or connection.reader.buffer
        if unfinished and connection.phase != "linger" and not connection.outgoing:
            self._refuse(connection, RemoteProtocolError(408, "the request did not arrive in time"))
            self._settle(connection)
        else:
            connection.reset = bool(connection.outgoing)  # What the system still holds is dropped too.
            self._drop(connection)

    def _tell_of_room(self) -> None:
        super()._tell_of_room()
        if self._row is not None and not self._deaf:
            self._row.set(len(self.connections))

    # -- the end

    def running(self) -> int:
        """Count the requests that an app is working on, or that wait for it."""
        return sum(1 for connection in list(self.connections.values()) if not connection.watched)

    def unfinished(self) -> list[str]:
        """Name the requests that are not over: method, path and, unless the app has them, what is missing."""
        return [text for connection in list(self.connections.values()) if (text := self._missing(connection))]

    def _missing(self, connection: Connection) -> str:
        head, exchange = connection.head, connection.exchange
        if connection.phase == "body" and head is not None:
            return f"{head.method} {head.path} (its body was still arriving)"
        if exchange is None:
            return ""
        request = f"{exchange.request.method} {exchange.request.path}"
        if not connection.watched or self.leadership.inline is exchange:
            return request
        return f"{request} (its response was still being sent)" if connection.outgoing else ""

    def stop(self, ending: Ending) -> None:
        """Have the leader stop the server in these steps; safe from any thread and in a signal handler."""
        self._ending = ending
        self.gateway.stopping = True
        self.gateway.ready = not ending.takes_in  # Else other processes have new clients.
        self.leadership.sentinel.give_up(ending.cut_at - monotonic() + CUT_SECONDS)
        self.wake()

    def _wind_down(self) -> bool:
        """Take the steps of the stop that are due; True once nothing is left to serve."""
        ending, now = self._ending, monotonic()
        assert ending is not None
        if now >= ending.part_at and not self.gateway.parting:
            self.gateway.part()
        if now >= ending.deaf_at and not self._deaf:
            self._stop_listening(ending.takes_in)
        if now >= ending.cut_at:
            self._go_on_behind(self.leadership.shed_all())
        if now >= ending.let_go_at:
            self._stop_at = min(self._stop_at, now + STOP_SECONDS)
        self._next_step = ending.next_after(now)
        return not (self.connections or self.listeners)

    def _stop_listening(self, takes_in: bool) -> None:
        self._deaf = True
        while self.listeners:
            _, listener = self.listeners.popitem()
            while takes_in and self._accept(listener):  # The system has accepted them for us.
                pass
            if self._row is not None:
                self._row.leave()
            if self._listening:
                self.poller.forget(listener.fd)
            listener.close()

    def _let_go_of_idle(self) -> None:
        self._idle_let_go = True
        for connection in self._own_connections():
            if connection.deadline < math.inf and not connection.outgoing:
                self._await_stop(connection)

    def _await_stop(self, connection: Connection) -> None:
        if connection.phase != "head":
            return
        if not connection.reader.buffer:
            data = connection.receive()  # It may have come since the poll: the last moment for it.
            if not data:
                self._drop(connection)
                return
            connection.reader.receive_data(data)
            self._unserved[connection] = None
        connection.deadline = min(connection.deadline, self._stop_at)

    def close(self) -> None:
        """Close everything; the loop is over."""
        for connection in list(self.connections.values()):
            connection.close()
        for listener in self.listeners.values():
            listener.close()
        self._bell.close()
        self._ringer.close()
        if self._dead_end is not None:
            self._dead_end.close()
        self.poller.close()
