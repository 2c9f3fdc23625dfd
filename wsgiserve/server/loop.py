"""The event loop: reads requests, has them served, sends the rest of responses, keeps deadlines.

One thread at a time runs it, the leader (see ``threads.leadership``), one ``turn`` after the other. A
connection stays watched from one request to the next, so a request on a kept-alive connection costs one
receive and one send.

Rules
- Nothing in here waits for a client. It may wait for the disk (``sendfile``, closing a file, a log's
  file). It calls the app through ``Leadership.call`` only, which releases the loop lock
  for that.
- An event is a hint; the loop tries the socket and believes the result. Stale events and reused descriptors
  do no harm.
- Everything in here is for the leader, except ``beat``, ``stop``, ``snapshot`` and ``_on_close``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from math import inf

from wsgiserve.config import Config
from wsgiserve.server.acceptor import Acceptor
from wsgiserve.server.access_log import MAX_SECONDS
from wsgiserve.server.connections import Connections
from wsgiserve.server.history import Done
from wsgiserve.server.http.connection import Connection
from wsgiserve.server.http.exchange import Exchange
from wsgiserve.server.http.gateway import Gateway
from wsgiserve.server.http.recorded import exchange_type
from wsgiserve.server.in_flight import Entry, InFlight
from wsgiserve.server.journal import FULL
from wsgiserve.server.scoreboard import Board, Row
from wsgiserve.server.shutdown import Plan, Shutdown
from wsgiserve.server.snapshot import Snapshot
from wsgiserve.server.sockets.greeting import Greetings
from wsgiserve.server.sockets.listener import Listener, certificates_of
from wsgiserve.server.sockets.poller import MAX_EVENTS, READ, WRITE, Poller
from wsgiserve.server.system import monotonic
from wsgiserve.server.threads.calls import Calls
from wsgiserve.server.threads.leadership import Leadership, Role
from wsgiserve.server.threads.sentinel import Sentinel
from wsgiserve.server.threads.timeouts import Timeouts

logger = logging.getLogger("wsgiserve")

PIPELINE_BURST = 16  # pipelined requests of one connection served before others are looked after
SWEEP_SECONDS = 1.0
PAUSE_SECONDS = 0.25  # a turn that comes later than this was kept from coming
CUT_SECONDS = 0.2  # for the last answers, once running requests are to be cut


class EventLoop:
    """The loop of one server.

    ``row`` is there if other processes accept from the listeners too; ``worn_out`` is called when so many
    threads are lost that the process should be replaced.
    """

    def __init__(
        self,
        gateway: Gateway,
        listeners: list[Listener],
        config: Config,
        poller: Poller,
        *,
        row: Row | None = None,
        worn_out: Callable[[int], None] | None = None,
    ) -> None:
        self.gateway = gateway
        self.config = config
        self.poller = poller
        self.shutdown = Shutdown()
        self.connections = self._make_connections(listeners)
        self.greetings = self._make_greetings()
        self.acceptor = self._make_acceptor(listeners, row)
        self.leadership: Leadership[Exchange] = Leadership(
            self._counting_turn if gateway.counts else self.turn,
            self.connections,
            config.threads,
            config.max_queue,
            config.queue_timeout,
            Calls(config.slow_log, config.request_timeout, gateway.in_flight if gateway.counts else None),
        )
        gateway.tell_before_wait(self.leadership.detach)
        self.sentinel = Sentinel(self.leadership, Timeouts(self.leadership, worn_out))
        self._queue = self.leadership.queue.exchanges
        self._journal = gateway.journal
        self._unserved: dict[Connection, None] = {}  # with requests in the buffer that have to wait for us
        self._idle_until = 0.0  # the deadline of connections that become idle in this turn
        self._alive: Callable[[], object] | None = None  # wants to hear that the loop turns
        self._look_after: Callable[[], object] | None = None  # does what is to be done about once a second
        self._shows_more = False  # there were connections or lost threads at its last call, and may be fewer
        self._beat_seconds = inf
        self._next_beat = inf
        self._sweep_seconds = SWEEP_SECONDS
        self._next_sweep = 0.0
        self._emptied = False  # idle connections were closed, as the server stops
        self._due = 0.0  # when ``_look_around`` has something to do
        self._unfinished_since: dict[Connection, float] = {}  # that wait for their clients, as published

    def _make_connections(self, listeners: list[Listener]) -> Connections:
        return Connections(
            self.gateway,
            self.config,
            self.poller,
            self.shutdown,
            self._on_close,
            awaited=certificates_of(listeners) if self.config.acme_wait else None,
            exchange=exchange_type(self.gateway, request_id=self.config.request_id),
        )

    def _make_greetings(self) -> Greetings:
        return Greetings(
            self.poller,
            self.connections.peers.trusts,
            self.config.head_timeout,
            self.connections.add,
            partial(self.gateway.refusals.add_line, "proxy"),
            self._on_close,
        )

    def _make_acceptor(self, listeners: list[Listener], row: Row | None) -> Acceptor:
        return Acceptor(
            listeners,
            self.poller,
            self.config.max_connections,
            self.greetings.add if self.config.proxy_protocol else self.connections.add,
            self.count,
            self.connections.make_room,
            row,
        )

    def count(self) -> int:
        """Count the open connections."""
        return len(self.connections) + len(self.greetings)

    def beat(self, call: Callable[[], object], seconds: float) -> None:
        """Call ``call`` about every ``seconds`` while the loop turns; called before the loop runs."""
        self._alive = call
        self._beat_seconds = seconds
        self._next_beat = 0.0
        self._sweep_seconds = min(SWEEP_SECONDS, seconds / 2)

    def look_after(self, call: Callable[[], object]) -> None:
        """Call ``call`` about once a second while there are connections; called before the loop runs."""
        self._look_after = call

    def begin(self) -> None:
        """Accept connections and serve, on the thread that ``leadership.start`` has started."""
        self.acceptor.publish_count()
        self.leadership.begin()

    # -- one turn

    def turn(self) -> Role:
        """Wait for events once and serve them."""
        if self.shutdown.plan is not None and self._wind_down():
            return "over"
        by_fd = self.connections.by_fd
        events = self._poll()
        now = self.gateway.tick()
        if now >= self._due:
            self._forgive_pause(now)
        self._idle_until = now + self.config.keep_alive
        for fd, _ in events:
            connection = by_fd.get(fd)
            if connection is None:
                self._own_event(fd)
                continue
            try:
                role = self._on_event(connection)
            except Exception:  # noqa: BLE001 - see `_lose`
                role = self._lose(connection)
            if role != "leading":
                return role
        if self._unserved or self._queue:
            role = self._serve_waiting()
            if role != "leading":
                return role
        if now >= self._due:
            self._look_around(now, told_everything=len(events) < MAX_EVENTS)
        return "leading"

    def _counting_turn(self) -> Role:
        if self._journal.at >= FULL:
            self._journal.fold()
        return self.turn()

    def _poll(self) -> list[tuple[int, int]]:
        """Wait for events; log lines are written before, unless other work waits already."""
        log = self.gateway.access_log
        if log is not None and log.pending:
            events = [] if log.is_due(self.gateway.now) else self.poller.poll(0)
            if events:
                return events
            log.flush()
            due = min(self._due, monotonic() + MAX_SECONDS) if log.pending else self._due  # No room for them?
        else:
            due = self._due
        if self._unserved:
            return self.poller.poll(0)
        return self.poller.poll(None if due == inf else max(0.0, due - monotonic()))

    def _own_event(self, fd: int) -> None:
        """Accept connections, or read what proxies say of them, or hear the bell.

        The bell says that a connection has closed, that the server is to stop, or that a signal has come.
        """
        listener = self.acceptor.listeners.get(fd)
        if listener is not None:
            self.acceptor.accept(listener)
            for connection in self.connections.take_arrived():
                self._unserved[connection] = None
        elif fd in self.greetings:
            self.greetings.read(fd)
        else:
            if self.poller.bell.silence():
                self.leadership.alarm.ring()  # The main thread may sleep, and is to call the handler.
            self.acceptor.resume()
            self.acceptor.watch_anew()
        self._due = self._next_due()

    def _on_event(self, connection: Connection) -> Role:
        if self._unserved and connection in self._unserved:
            return "leading"  # Its earlier requests come first; the event is reported again.
        if connection.watched == WRITE:
            if self.connections.flush(connection):
                return self._advance(connection, self.connections.go_on(connection))
            return "leading"
        data = connection.receive()
        if data:
            if connection.ending == "linger":
                return "leading"
            return self._advance(connection, self.connections.next_exchange(connection, data))
        if data is not None:
            self.connections.end_of_input(connection)
        elif connection.tls is not None:
            self.connections.go_on_greeting(connection, connection.tls)
        return "leading"

    def _lose(self, connection: Connection) -> Role:
        """Serving it raised: a bug of ours costs one connection, not the server."""
        logger.critical("%s: serving it failed", connection.peer, exc_info=True)
        self.connections.drop(connection)
        return "leading"

    # -- requests

    def _advance(self, connection: Connection, exchange: Exchange | None) -> Role:
        """Serve a connection's next exchange, if there is one, and the requests pipelined behind it."""
        served = 0
        while exchange is not None:
            role = self.leadership.serve(exchange)
            if role != "leading":
                return "leading" if role == "dispatched" else role
            if connection.rest(self._idle_until):
                return "leading"
            served += 1
            if served == PIPELINE_BURST:
                self._serve_later(connection)
                break
            exchange = self.connections.go_on(connection)
        return "leading"

    def _serve_later(self, connection: Connection) -> None:
        connection.wait_for_loop()
        self._unserved[connection] = None

    def _serve_waiting(self) -> Role:
        """Serve requests that wait for the loop itself, not for their clients."""
        for connection in tuple(self._unserved):
            del self._unserved[connection]
            try:
                role = self._advance(connection, self.connections.go_on(connection))
            except Exception:  # noqa: BLE001 - see `_lose`
                role = self._lose(connection)
            if role != "leading":
                return role
        exchange = self.leadership.next_inline()
        return "leading" if exchange is None else self._call(exchange)

    def _call(self, exchange: Exchange) -> Role:
        connection = exchange.connection
        try:
            self.connections.watch(connection, READ)  # ``_advance`` takes for granted that it is watched.
            role = self.leadership.call(exchange)
            if role == "leading":
                role = self._advance(connection, self.connections.go_on(connection))
        except Exception:  # noqa: BLE001 - see `_lose`
            role = self._lose(connection)
        return role

    def _serve_behind(self, shed: list[Exchange]) -> None:
        """Serve later the requests that are pipelined behind these, which were answered without the app."""
        for exchange in shed:
            self.connections.watch(exchange.connection, READ)  # As in ``_call``.
            self._serve_later(exchange.connection)

    # -- deadlines

    def _forgive_pause(self, now: float) -> None:
        """Put deadlines off by a time in which this process could not look at its sockets.

        It was frozen or stopped, or a call held the interpreter; bytes that arrived meanwhile count as in
        time.
        """
        last_turn = self._idle_until - self.config.keep_alive
        late = now - max(self._due, last_turn)
        if late > PAUSE_SECONDS:
            self.connections.put_off(late)
            self.greetings.put_off(late)
            self.leadership.put_off(late)

    def _look_around(self, now: float, *, told_everything: bool) -> None:
        """Accept again after a pause, sweep, or close idle connections as the server stops, if it is time."""
        self.acceptor.resume_if_due(now)
        if self.shutdown.reached("emptying") and not self._emptied and told_everything:
            self._close_idle()  # All that had been sent before is served by now.
        if now >= self._next_sweep:
            self._sweep(now)
        self._due = self._next_due()

    def _next_due(self) -> float:
        if self.shutdown.reached("emptying") and not self._emptied:
            return 0.0
        shows = self._look_after is not None and (self._shows_more or self._has_lost_threads())
        busy = self._is_busy() or self.shutdown.plan is not None or shows
        sweep = self._next_sweep if busy else self._next_beat
        return min(sweep, self.acceptor.resume_at, self.shutdown.next_at())

    def _has_lost_threads(self) -> bool:
        return bool(self.leadership.calls.written_off)

    def _is_busy(self) -> bool:
        return bool(self.connections.by_fd or self.greetings)

    def _sweep(self, now: float) -> None:
        """End requests that waited too long, and connections whose deadline has passed."""
        self._next_sweep = now + self._sweep_seconds
        if self._alive is not None and now >= self._next_beat:
            self._next_beat = now + self._beat_seconds
            self._alive()
        if self._look_after is not None:
            self._look_after()
            self._shows_more = self._is_busy() or self._has_lost_threads()
        self._serve_behind(self.leadership.shed_overdue())
        if self._emptied:
            self._close_idle()  # A thread may have given one back that did not know of the stop.
        self.greetings.expire(now)
        for connection in self.connections.watched():
            if connection.deadline <= now:
                try:
                    self.connections.expire(connection)
                except Exception:  # noqa: BLE001 - see `_lose`
                    self._lose(connection)

    # -- from outside

    def snapshot(self) -> Snapshot:
        """Look at the loop; safe from any thread, but the counts may be of slightly different moments."""
        leadership = self.leadership
        return Snapshot(
            self.shutdown.phase,
            self.acceptor.state,
            self.count(),
            self.connections.running(),
            len(leadership.queue),
            leadership.detached,
            leadership.idle,
            len(leadership.calls.written_off),
            self.connections.budget.used,
        )

    def publish(self, board: Board) -> None:
        """Show what is going on; for the leader, between two requests."""
        states = {"idle": 0, "receiving": 0, "sending": 0}
        unfinished = []
        for connection in self.connections.watched():
            states[connection.state] += 1
            if connection.state != "idle":
                unfinished.append(connection)
        leadership = self.leadership
        states["receiving"] += len(self.greetings)
        self._show_clients(board.in_flight, unfinished)
        board.tally.set(
            running=self.connections.running(),
            busy=leadership.detached,
            waiting=len(leadership.queue),
            lost=len(leadership.calls.written_off),
            **states,
        )
        now, done = self.gateway.now, Done(*board.tally.done())
        busy = leadership.detached + (leadership.inline is not None)
        board.history.note(now, done, busy, len(leadership.queue), self.count())

    def _show_clients(self, in_flight: InFlight, unfinished: list[Connection]) -> None:
        """Show the requests that wait for their clients."""
        with self.leadership.mutex:
            for exchange in self.leadership.calls.running():
                in_flight.refine(exchange, exchange.connection.waits or "app")
        now = self.gateway.now
        before, self._unfinished_since = self._unfinished_since, {}
        entries = []
        for connection in unfinished:
            since = self._unfinished_since[connection] = before.get(connection, now)
            entry = _entry(connection, since, in_flight)
            if entry is not None:
                entries.append(entry)
        in_flight.show_clients(entries)

    def look_again(self) -> None:
        """Have the leader accept what waits, though the system woke another process; safe from any thread."""
        self.acceptor.look_again()
        self.poller.bell.ring()

    def stop(self, plan: Plan) -> None:
        """Have the leader stop the server by this plan; safe from any thread and in a signal handler."""
        self.shutdown.ask(plan)
        self.sentinel.give_up_at(plan.cutting + CUT_SECONDS)
        self.poller.bell.ring()

    def _wind_down(self) -> bool:
        """Enter the phases of the shutdown that are due; True once nothing is left to serve."""
        for phase in self.shutdown.advance(monotonic()):
            if phase == "parting":
                self.gateway.part()
            elif phase == "deaf":
                plan = self.shutdown.plan
                assert plan is not None
                self.acceptor.part(take_in=plan.takes_in, deafen=plan.deafens)
            elif phase == "emptying":
                self.acceptor.close()
        if self.shutdown.phase == "cutting":
            self._serve_behind(self.leadership.shed_all())
        self._due = self._next_due()
        return not (self.connections.by_fd or self.greetings or self.acceptor.listeners)

    def _close_idle(self) -> None:
        self._emptied = True
        self.greetings.hasten(self.shutdown.head_deadline)
        self.connections.close_idle()
        for connection in self.connections.take_arrived():
            self._unserved[connection] = None

    def _on_close(self) -> None:
        """A connection is closed: another may be accepted, or it was the last one; from any thread."""
        self.acceptor.publish_count()
        if self.acceptor.is_full or self.shutdown.plan is not None:
            self.poller.bell.ring()

    def leave(self) -> None:
        """Close our descriptors in a process that the app forked, without a change to what the parent sees.

        Closing the poller leaves its object in the system as it is, which the two processes share.
        """
        self.leadership.leave()
        self.connections.leave()
        self.greetings.close(quietly=True)
        self.poller.close()

    def close(self) -> None:
        """Close everything; the loop is over."""
        self.connections.close()
        self.greetings.close()
        for listener in self.acceptor.listeners.values():
            listener.close()
        self.poller.close()


def _entry(connection: Connection, since: float, in_flight: InFlight) -> Entry | None:
    """Return what is shown of a connection that waits for its client; None if that has sent nothing."""
    head, exchange = connection.receiver.incomplete, connection.exchange
    if head is not None:
        client = connection.client_of(head)
        return Entry(since, 0, "body", client, head.method, head.target, "", head.minor)
    if connection.outgoing and exchange is not None:
        if in_flight.shows(exchange):
            return None
        head = exchange.request
        client = connection.client_of(head)
        return Entry(since, 0, "sending", client, head.method, head.target, exchange.id, head.minor)
    if connection.receiver.buffer:
        return Entry(since, 0, "head", connection.peer, "", "", "")
    return None
