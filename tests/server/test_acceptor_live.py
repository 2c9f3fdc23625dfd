"""More clients than connections, on a live server: which clients wait, and which connections make room."""

from __future__ import annotations

import select
import time
from contextlib import ExitStack

import pytest

from tests.server.apps import TEXT, checked, connections
from tests.server.client import SECONDS, Client, get, wait_until
from wsgiserve import Server
from wsgiserve.server import acceptor, loop
from wsgiserve.server.sockets.poller import EpollPoller


class CountingPoller(EpollPoller):
    """Counts the turns of its loop."""

    def __init__(self):
        super().__init__()
        self.turns = 0

    def poll(self, timeout):
        self.turns += 1
        return super().poll(timeout)


class CountingServer(Server):
    make_poller = staticmethod(CountingPoller)


@pytest.fixture
def no_sweep(monkeypatch):
    """Have nothing happen just because a second has passed."""
    monkeypatch.setattr(loop, "SWEEP_SECONDS", 600.0)
    monkeypatch.setattr(acceptor, "PAUSE_SECONDS", 600.0)


def fill(server, stack, count):
    """Connect ``count`` clients that have begun a request; return them."""
    clients = [stack.enter_context(Client(server)) for _ in range(count)]
    for number, client in enumerate(clients):
        client.send(get(f"/{number}")[:-2])
    wait_until(lambda: server.snapshot().connections == count)
    wait_until(lambda: all(each.receiver.buffer for each in connections(server).values()))
    return clients


def none_is_answered(clients, seconds):
    """Whether no client has an answer after so many seconds."""
    return select.select([client.sock for client in clients], [], [], seconds)[0] == []


def assert_waiting(server, clients):
    """Assert that the server is full, and that these clients wait."""
    wait_until(lambda: server.snapshot().accepting == "full")
    assert none_is_answered(clients, 0)


@pytest.mark.usefixtures("no_sweep")
def test_clients_above_the_cap_wait_until_others_close(serving, gate):
    with serving(checked(gate), max_connections=8) as server, ExitStack() as stack:
        clients = fill(server, stack, 8)
        late = [stack.enter_context(Client(server)) for _ in range(5)]
        for number, client in enumerate(late):
            client.send(get(f"/late/{number}", "Connection: close"))
        assert_waiting(server, late)
        assert server.snapshot().connections == 8
        clients.pop().close()
        assert [client.response().body for client in late] == [b"/late/%d" % number for number in range(5)]
        for number, client in enumerate(clients):
            client.send(b"\r\n")
            assert client.response().body == b"/%d" % number


def test_no_more_than_the_cap_are_accepted_at_once(gate):
    server = Server(checked(gate), port=0, graceful_timeout=5, max_connections=8)
    server.open()
    clients = [Client(server) for _ in range(13)]
    for client in clients:
        client.send(b"GET")
    with server:
        wait_until(lambda: server.snapshot().accepting == "full")
        assert server.snapshot().connections == 8
        for client in clients:
            client.close()


@pytest.mark.usefixtures("no_sweep")
def test_connection_that_another_thread_closes_makes_room(serving, gate):
    with serving(checked(gate), max_connections=2) as server, Client(server) as slow:
        slow.send(get("/slow", "Connection: close"))
        wait_until(lambda: gate.inside)
        with Client(server) as busy, Client(server) as late:
            busy.send(b"GET")
            late.send(get("/late"))
            assert_waiting(server, [late])
            gate.opened.set()
            assert slow.response().body == b"/slow"
            assert late.response().body == b"/late"


@pytest.mark.usefixtures("no_sweep")
def test_connection_that_is_handed_over_makes_room(serving):
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/upgrade":
            environ["wsgiserve.upgrade"]("hello", lambda sock, data: sock.close())
            return []
        start_response("200 OK", [TEXT])
        return [b"hello"]

    with serving(app, max_connections=1) as server, Client(server) as first:
        first.send(b"GET /upgrade HTTP/1.1\r\n")
        wait_until(lambda: server.snapshot().connections)
        with Client(server) as late:
            late.send(get("/late"))
            assert_waiting(server, [late])
            first.send(b"Host: test\r\nConnection: upgrade\r\nUpgrade: hello\r\n\r\n")
            assert first.response().status == 101
            assert late.response().body == b"hello"


def test_longest_idle_connection_makes_room(serving, gate):
    with serving(checked(gate), max_connections=4) as server, ExitStack() as stack:
        first, second, third, fourth = (stack.enter_context(Client(server)) for _ in range(4))
        for client in (first, second, third, fourth):
            client.ask(get())
        fifth = stack.enter_context(Client(server))
        assert fifth.ask(get()).body == b"/"
        assert first.rest() == b""
        second.ask(get())
        sixth = stack.enter_context(Client(server))
        assert sixth.ask(get()).body == b"/"
        assert third.rest() == b""
        assert [client.ask(get()).body for client in (second, fourth, fifth, sixth)] == [b"/"] * 4


def test_as_many_as_the_cap_stay_though_they_are_idle(serving, gate):
    with serving(checked(gate), max_connections=4) as server, ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(4)]
        for _ in range(3):
            assert [client.ask(get()).body for client in clients] == [b"/"] * 4


def test_connection_that_becomes_idle_makes_room(serving, gate, monkeypatch):
    monkeypatch.setattr(acceptor, "PAUSE_SECONDS", 0.05)
    with serving(checked(gate), max_connections=2) as server, ExitStack() as stack:
        first, second = fill(server, stack, 2)
        with Client(server) as late:
            late.send(get("/late"))
            assert_waiting(server, [late])
            first.send(b"\r\n")
            assert first.response().body == b"/0"
            assert late.response().body == b"/late"
            assert first.rest() == b""
            second.send(b"\r\n")
            assert second.response().body == b"/1"


@pytest.mark.usefixtures("swift_sweeps")
def test_deadlines_are_kept_while_connections_come_and_go_at_the_cap(serving, gate):
    """A pause of the listeners does not delay the look at deadlines."""
    with serving(checked(gate), max_connections=2, head_timeout=0.2) as server, ExitStack() as stack:
        slowloris = fill(server, stack, 1)[0]
        until = time.monotonic() + SECONDS
        while none_is_answered([slowloris], 0):
            assert time.monotonic() < until
            with Client(server) as one, Client(server) as other:
                one.send(get("/", "Connection: close"))
                other.send(get("/", "Connection: close"))
                assert (one.response().body, other.response().body) == (b"/", b"/")
        assert slowloris.response().status == 408


@pytest.mark.slow
def test_full_server_at_two_addresses_sleeps(gate, log):
    binds = ["127.0.0.1:0", "127.0.0.1:0"]
    with CountingServer(checked(gate), bind=binds, max_connections=3) as server, ExitStack() as stack:
        clients = fill(server, stack, 3)
        ports = [listener.port for listener in server.listeners]
        late = [stack.enter_context(Client(port=port)) for port in ports for _ in range(3)]
        for client in late:
            client.send(get("/late", "Connection: close"))
        wait_until(lambda: server.snapshot().accepting == "full")
        turns, processor = server._loop.poller.turns, time.process_time()
        assert none_is_answered(late, 1.2)
        assert server._loop.poller.turns - turns < 12
        assert time.process_time() - processor < 0.3
        assert [r.getMessage() for r in log.records] == [
            "all 3 connections are in use and new clients wait; times so far: 1; raise --max-connections"
        ]
        clients[0].close()
        assert [client.response().body for client in late] == [b"/late"] * 6


def test_stop_answers_clients_that_wait_for_a_connection(serving, gate):
    with serving(checked(gate), max_connections=2) as server, ExitStack() as stack:
        fill(server, stack, 2)
        late = [stack.enter_context(Client(server)) for _ in range(3)]
        for client in late:
            client.send(get("/late"))
        assert_waiting(server, late)
        server.stop()
        for client in late:
            response = client.response()
            assert (response.body, response.headers["connection"]) == (b"/late", "close")
