"""The event loop, turned by hand: socket pairs, a real poller, and no thread but the test's own."""

from __future__ import annotations

import io
import socket
import sys
from contextlib import ExitStack

import pytest

from tests.server.apps import answer, checked
from tests.server.client import SECONDS, get
from tests.server.clock import Clock
from wsgiserve.config import make_config
from wsgiserve.server import access_log, shutdown
from wsgiserve.server.access_log import AccessLog
from wsgiserve.server.http.gateway import Gateway
from wsgiserve.server.loop import PAUSE_SECONDS, PIPELINE_BURST, SWEEP_SECONDS, EventLoop
from wsgiserve.server.shutdown import FAREWELL_SECONDS
from wsgiserve.server.sockets.listener import open_listeners
from wsgiserve.server.sockets.poller import WRITE, EpollPoller

HELLO = answer(b"hello")


class NotingPoller(EpollPoller):
    """Notes how long each turn would wait, and does not wait; fails to watch for writability."""

    def __init__(self):
        super().__init__()
        self.timeouts = []

    def watch(self, fd, before, events):
        if events == WRITE:
            raise OSError("no memory")
        super().watch(fd, before, events)

    def poll(self, timeout):
        self.timeouts.append(timeout)
        return super().poll(0)


class Crank:
    """A loop whose leader is the test's thread, one turn after the other."""

    def __init__(self, stack, app, *, binds=(), beat=None, **options):
        self.stack = stack
        config = make_config(**{"access_log": False, "bind": binds or "127.0.0.1:0", **options})
        self.gateway = Gateway(checked(app), config)
        self.poller = NotingPoller()
        self.listeners = open_listeners(config) if binds else []
        self.loop = EventLoop(self.gateway, self.listeners, config, self.poller)
        self.loop.leadership.lock.acquire()
        stack.callback(self.loop.close)
        if beat is not None:
            self.loop.beat(*beat)
        self.turn()

    def connect(self, data=b""):
        """Have a client connect and send; return its socket and the server's side of it."""
        client, sock = socket.socketpair()
        self.stack.enter_context(client).settimeout(SECONDS)
        self.loop.connections.add(sock, "127.0.0.1", 80, ("127.0.0.1", 4711))
        client.sendall(data)
        self.poller.bell.ring()  # An event of a listener would tell the loop likewise.
        return client, self.loop.connections.by_fd[sock.fileno()]

    def turn(self):
        """Turn once; return the role of this thread, and for how long the turn would have waited."""
        role = self.loop.turn()
        return role, self.poller.timeouts[-1]


@pytest.fixture
def new_crank():
    """Return ``new_crank(app=…, **options)``, which makes a Crank."""
    with ExitStack() as stack:
        yield lambda app=HELLO, **options: Crank(stack, app, **options)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in ("loop", "connections", "http.connection", "http.gateway", "shutdown", "acceptor"):
        monkeypatch.setattr(f"wsgiserve.server.{module}.monotonic", clock)
    return clock


# -- one turn


def test_requests_that_have_arrived_are_served_in_one_turn(new_crank):
    crank = new_crank()
    clients = [crank.connect(get())[0] for _ in range(5)]
    assert crank.turn()[0] == "leading"
    assert [client.recv(65536)[-5:] for client in clients] == [b"hello"] * 5


def test_pipelining_client_does_not_hold_up_others(new_crank):
    called = []

    def app(environ, start_response):
        called.append(environ["PATH_INFO"])
        return HELLO(environ, start_response)

    crank = new_crank(app)
    crank.connect(get("/many") * (3 * PIPELINE_BURST))
    crank.connect(get("/one"))
    crank.turn()
    burst = ["/many"] * PIPELINE_BURST
    assert called == [*burst, "/one", *burst]
    assert crank.turn() == ("leading", 0), "requests are left"
    assert called == [*burst, "/one", *burst, *burst]


def test_bytes_that_arrive_behind_a_burst_wait_for_it(new_crank):
    called = []

    def app(environ, start_response):
        called.append(environ["PATH_INFO"])
        return HELLO(environ, start_response)

    crank = new_crank(app)
    client, connection = crank.connect(get("/early") * (2 * PIPELINE_BURST + 1))
    crank.turn()
    client.sendall(get("/late"))
    crank.turn()
    crank.turn()
    assert called == ["/early"] * (2 * PIPELINE_BURST + 1) + ["/late"]
    assert connection.is_idle


def test_error_in_the_loop_costs_one_connection(new_crank, log):
    crank = new_crank(answer(b"x" * 1_000_000))
    client, _ = crank.connect(get())
    other, _ = crank.connect(get(method="HEAD"))
    assert crank.turn()[0] == "leading"
    assert [(r.levelname, r.getMessage()) for r in log.records] == [
        ("CRITICAL", "127.0.0.1: serving it failed")
    ]
    assert other.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(crank.loop.connections) == 1
    assert len(b"".join(iter(lambda: client.recv(1 << 20), b""))) < 1_000_000


def test_event_of_a_connection_that_has_closed_is_no_failure(new_crank):
    """An event is a hint."""
    crank = new_crank()
    _, connection = crank.connect()
    crank.loop.connections.drop(connection)
    poll = crank.poller.poll
    crank.poller.poll = lambda timeout: [(connection.fd, 1), *poll(timeout)]
    assert crank.turn()[0] == "leading"


# -- how long it waits


def test_loop_without_work_waits_for_an_event(new_crank):
    crank = new_crank()
    crank.turn()
    assert crank.turn() == ("leading", None)


def test_loop_with_connections_looks_at_their_deadlines_each_second(new_crank, clock):
    crank = new_crank()
    crank.connect()
    crank.turn()
    assert crank.turn() == ("leading", SWEEP_SECONDS)
    clock.now += 0.4
    assert crank.turn()[1] == pytest.approx(SWEEP_SECONDS - 0.4)


def test_log_is_written_before_the_loop_waits(new_crank, monkeypatch):
    monkeypatch.setattr(access_log, "MAX_SECONDS", 60)
    crank = new_crank()
    crank.gateway.access_log = AccessLog(stream := io.StringIO())
    lines = []
    client, _ = crank.connect()
    for turn in ["serves", "serves", "waits", "serves", "waits"]:
        if turn == "serves":
            client.sendall(get())
        crank.turn()
        lines.append(stream.getvalue().count("HTTP/1.1"))
    assert lines == [0, 1, 2, 2, 3], "the first line of all is late at once"
    assert crank.poller.timeouts[-5:-3] == [0, pytest.approx(1, abs=0.9)]


def test_beat_is_called_while_the_loop_turns(new_crank, clock):
    beats = []
    crank = new_crank(beat=(lambda: beats.append(clock.now), 0.5))
    for _ in range(3):
        assert crank.turn() == ("leading", 0.5)
        clock.now += 0.5
        crank.turn()
    assert beats == [1000.0, 1000.5, 1001.0, 1001.5]


# -- deadlines


def test_connection_whose_deadline_has_passed_is_ended(new_crank, clock):
    crank = new_crank(head_timeout=10)
    client, _ = crank.connect(b"GET")
    for _ in range(12):
        clock.now += SWEEP_SECONDS
        crank.turn()
    assert client.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_time_in_which_nobody_could_look_does_not_count(new_crank, clock):
    """The process was stopped, or a call held the interpreter."""
    crank = new_crank(head_timeout=10)
    _, connection = crank.connect(b"GET")
    crank.turn()
    before = connection.deadline
    clock.now += SWEEP_SECONDS + 60
    crank.turn()
    assert connection.deadline == before + 60
    clock.now += SWEEP_SECONDS + PAUSE_SECONDS
    crank.turn()
    assert connection.deadline == before + 60, "a turn that is a little late is no pause"


def test_error_in_ending_a_connection_costs_no_other(new_crank, clock, log):
    crank = new_crank(head_timeout=10)
    _, connection = crank.connect()
    other, _ = crank.connect()
    clock.now += SWEEP_SECONDS
    crank.turn()
    connection.pace = "broken"
    connection.hasten(clock.now)
    for _ in range(12):
        clock.now += SWEEP_SECONDS
        crank.turn()
    assert [record.levelname for record in log.records] == ["CRITICAL"]
    assert other.recv(65536) == b""
    assert len(crank.loop.connections) == 0


# -- accepting


def test_clients_are_accepted_up_to_the_cap_and_when_one_leaves(new_crank):
    crank = new_crank(binds=["127.0.0.1:0"], max_connections=1)
    port = crank.listeners[0].port
    with (
        socket.create_connection(("127.0.0.1", port)) as first,
        socket.create_connection(("127.0.0.1", port)) as second,
    ):
        first.sendall(b"GET")
        second.sendall(get())
        crank.turn()
        crank.turn()
        assert crank.loop.snapshot()[1:3] == ("full", 1)
        first.close()
        crank.turn()  # It sees the first leave, and rings its bell.
        crank.turn()
        assert crank.loop.snapshot()[1:3] == ("open", 0)
        crank.turn()
        crank.turn()
        assert second.recv(65536).endswith(b"hello")


# -- the end


@pytest.mark.parametrize(("host", "state"), [("127.0.0.1", "closed"), ("0.0.0.0", "open")])
def test_loop_stops_phase_by_phase(new_crank, clock, host, state):
    """Over a network, a connection may be on its way while the server is deaf."""
    if sys.platform != "linux":
        state = "closed"
    crank = new_crank(binds=[f"{host}:0"])
    idle, _ = crank.connect(get())
    busy, _ = crank.connect(get())
    crank.turn()
    assert (idle.recv(65536)[-5:], busy.recv(65536)[-5:]) == (b"hello", b"hello")
    crank.loop.stop(shutdown.drain(10, 30, deafens=True))
    phases = []
    for seconds in (5, 5, FAREWELL_SECONDS):
        assert crank.turn()[0] == "leading"
        phases.append(crank.loop.snapshot()[:2])
        clock.now += seconds
    busy.sendall(get())
    assert crank.turn()[0] == "leading"
    phases.append(crank.loop.snapshot()[:2])
    assert phases == [("draining", "open"), ("parting", "open"), ("deaf", state), ("emptying", "closed")]
    assert idle.recv(65536) == b""
    assert b"\r\nConnection: close\r\n" in busy.recv(65536)
    busy.close()
    crank.turn()
    assert crank.loop.turn() == "over"


def test_idle_connections_have_a_moment_for_a_last_request(new_crank, clock):
    crank = new_crank()
    client, _ = crank.connect(get())
    crank.turn()
    client.recv(65536)
    crank.loop.stop(shutdown.drain(0, 30))
    crank.turn()
    role, timeout = crank.turn()
    assert (role, crank.loop.snapshot().phase) == ("leading", "deaf")
    assert timeout == pytest.approx(FAREWELL_SECONDS)
    client.sendall(get())
    crank.turn()
    assert client.recv(65536).endswith(b"hello")
    assert client.recv(65536) == b""


def test_loop_without_connections_is_over_at_once(new_crank):
    crank = new_crank(binds=["127.0.0.1:0"])
    crank.loop.stop(shutdown.hurry())
    assert crank.loop.turn() == "over"
    assert crank.loop.snapshot().accepting == "closed"


def test_closing_the_loop_closes_all(new_crank):
    crank = new_crank(binds=["127.0.0.1:0"])
    client, _ = crank.connect()
    crank.loop.close()
    assert client.recv(65536) == b""
    assert crank.listeners[0].sock.fileno() == -1
