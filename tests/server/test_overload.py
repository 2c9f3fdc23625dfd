"""More requests than threads, more clients than connections: who waits, who is told 503, who makes room."""

from __future__ import annotations

import io
import logging
import select
import sys
import time
from contextlib import ExitStack, contextmanager

import pytest

from tests.program import LOG_LINE
from tests.server.apps import TEXT, Gate, checked, connections
from tests.server.client import SECONDS, STANDING, Client, get, refuses, wait_until, whole
from tests.server.test_concurrency import depose
from wsgiserve import Server
from wsgiserve.config import ConfigError, make_config
from wsgiserve.protocol import receiver
from wsgiserve.protocol.response import RETRY_SECONDS
from wsgiserve.server import acceptor, loop
from wsgiserve.server.sockets.poller import EpollPoller
from wsgiserve.server.threads.leadership import Leadership

BUSY = b"503 Service Unavailable: too many requests wait for the application\n"
LATE = b"503 Service Unavailable: the request waited for the application for too long\n"


class Recording(Gate):
    """A gate that notes the paths it was called for."""

    def __init__(self):
        super().__init__()
        self.called = []

    def __call__(self, environ, start_response):
        self.called.append(environ["PATH_INFO"])
        return super().__call__(environ, start_response)


@pytest.fixture
def gate():
    gate = Recording()
    yield gate
    gate.opened.set()


@contextmanager
def occupied(serving, app, gate, **options):
    """Serve with one thread, in which a call stays; yield the server and that call's client."""
    with serving(checked(app), **{"threads": 1, **options}) as server, Client(server) as slow:
        slow.send(get("/slow"))
        wait_until(lambda: gate.inside)
        with Client(server) as other:  # Once it is refused, somebody else leads.
            other.send(b"nonsense\r\n\r\n")
            assert other.response().status == 400
        yield server, slow
        gate.opened.set()


def waiting(server):
    return server.snapshot().queued


def has_free_thread(server):
    """Whether the slot of a call was given back, which happens behind its response."""
    return not server.snapshot().busy


def assert_shed(response, body=BUSY):
    """See a 503 that leaves the connection to be used."""
    assert (response.status, response.body) == (503, body)
    assert response.headers["retry-after"] == str(RETRY_SECONDS)
    assert "connection" not in response.headers


# -- the line is full


def test_request_that_finds_the_line_full_is_503_and_may_come_again(serving, gate):
    with (
        occupied(serving, gate, gate, max_queue=1) as (server, slow),
        Client(server) as first,
        Client(server) as second,
    ):
        first.send(get("/first"))
        wait_until(lambda: waiting(server) == 1)
        for number in range(40):
            assert_shed(second.ask(get(f"/{number}")))
        assert waiting(server) == 1
        gate.opened.set()
        assert (slow.response().body, first.response().body) == (b"/slow", b"/first")
        assert second.ask(get("/again")).body == b"/again"
    assert gate.called == ["/slow", "/first", "/again"]


def test_with_no_line_nobody_waits(serving, gate):
    with occupied(serving, gate, gate, max_queue=0) as (server, slow), Client(server) as client:
        response = client.ask(get())
        assert response.raw == whole(
            "HTTP/1.1 503 Service Unavailable",
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(BUSY)}",
            f"Retry-After: {RETRY_SECONDS}",
            STANDING,
            body=BUSY,
        )
        gate.opened.set()
        assert slow.response().body == b"/slow"
        wait_until(lambda: has_free_thread(server))
        assert client.ask(get("/again")).body == b"/again"


def test_with_no_line_requests_are_served_while_threads_are_free(serving, gate):
    with serving(checked(gate), threads=3, max_queue=0) as server, ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(3)]
        for number, client in enumerate(clients[:2]):
            depose(server, gate, client, f"/slow/{number}")
        clients[2].send(get("/slow/2"))
        wait_until(lambda: gate.inside == 3)
        with Client(server) as client:
            assert_shed(client.ask(get()))
        gate.opened.set()
        assert [client.response().body for client in clients] == [b"/slow/%d" % n for n in range(3)]


def test_head_is_shed_without_a_body(serving, gate):
    with occupied(serving, gate, gate, max_queue=0) as (server, _), Client(server) as client:
        response = client.ask(get(method="HEAD"))
        assert (response.status, response.headers["content-length"]) == (503, str(len(BUSY)))
        assert_shed(client.ask(get()))


@pytest.mark.parametrize("request_line", [{"minor": 0}, {"minor": 1}], ids=["1.0", "1.1"])
def test_shed_client_that_asked_to_close_is_let_go(serving, gate, request_line):
    with occupied(serving, gate, gate, max_queue=0) as (server, _), Client(server) as client:
        client.send(get("/", *(["Connection: close"] if request_line["minor"] else []), **request_line))
        response = client.response()
        assert (response.status, response.headers["connection"]) == (503, "close")
        assert client.rest() == b""


def test_pipelined_requests_are_shed_one_by_one(serving, gate):
    with occupied(serving, gate, gate, max_queue=0) as (server, _), Client(server) as client:
        client.send(get("/a", method="POST", body=b"body") + get("/b", method="HEAD") + get("/c") * 40)
        assert_shed(client.response("POST"))
        assert client.response("HEAD").status == 503
        for _ in range(40):
            assert_shed(client.response())
    assert gate.called == ["/slow"]


@pytest.mark.parametrize(
    "fields",
    [["Content-Length: 5000000"], ["Transfer-Encoding: chunked", "Expect: 100-continue"]],
    ids=["large", "expect"],
)
def test_body_that_is_still_arriving_is_not_waited_for(serving, gate, fields):
    with occupied(serving, gate, gate, max_queue=0) as (server, _), Client(server) as client:
        client.send(get("/upload", *fields, method="POST"))
        response = client.response()  # not 100
        assert (response.status, response.headers["connection"]) == (503, "close")
        client.send(b"x" * 100_000)
        client.half_close()
        assert client.rest() == b""
    assert gate.called == ["/slow"]


def test_what_had_come_of_a_body_is_not_the_next_one_s(serving, gate, monkeypatch):
    monkeypatch.setattr(receiver, "BODY_IN_MEMORY", 1000)

    def app(environ, start_response):
        body = environ["wsgi.input"].read(-1)
        return [*gate(environ, start_response), body]

    with occupied(serving, app, gate, max_queue=0) as (server, slow), Client(server) as client:
        client.send(get("/away", "Content-Length: 5000", method="POST") + b"a" * 4000)
        assert_shed(client.response())
        client.send(b"a" * 1000)
        assert_shed(client.ask(get("/small", method="POST", body=b"b" * 500)))
        assert not any(each.receiver.body for each in connections(server).values())  # nor kept
        gate.opened.set()
        assert slow.response().body == b"/slow"
        wait_until(lambda: has_free_thread(server))
        assert client.ask(get("/none")).body == b"/none"
        assert client.ask(get("/next", method="POST", body=b"body")).body == b"/nextbody"


def test_those_turned_away_are_in_the_access_log(serving, gate, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with (
        occupied(serving, gate, gate, max_queue=0, access_log=True) as (server, slow),
        Client(server) as client,
    ):
        client.ask(get("/away"))
        client.ask(get("/away", method="HEAD"))
        gate.opened.set()
        slow.response()
    matches = [LOG_LINE.fullmatch(line) for line in stream.getvalue().splitlines(keepends=True)]
    assert sorted(match.group("request", "status", "size") for match in matches) == [
        ("GET /away HTTP/1.1", "503", str(len(BUSY))),
        ("GET /slow HTTP/1.1", "200", "5"),
        ("HEAD /away HTTP/1.1", "503", "0"),
    ]


def test_the_log_says_what_to_do_but_not_each_time(serving, gate, log):
    with occupied(serving, gate, gate, max_queue=0) as (server, _), Client(server) as client:
        for _ in range(100):
            assert_shed(client.ask(get()))
    assert [r.getMessage() for r in log.records if r.levelno == logging.WARNING] == [
        "no thread is free and the queue for one is full (--max-queue 0); answered 503 so far: 1; "
        "raise --threads or --max-queue, or make the app faster"
    ]


# -- who waits for too long


def test_request_that_waited_for_too_long_is_503_and_never_called(serving, gate):
    with occupied(serving, gate, gate, queue_timeout=1) as (server, slow), ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(5)]
        began = time.monotonic()
        for client in clients:
            client.send(get("/early") + get("/behind"))
        wait_until(lambda: waiting(server) == 5)
        for client in clients:
            assert_shed(client.response(), LATE)
        assert 1 <= time.monotonic() - began < 3
        wait_until(lambda: waiting(server) == 5)  # What is pipelined behind waits in its turn.
        gate.opened.set()
        assert slow.response().body == b"/slow"
        assert [client.response().body for client in clients] == [b"/behind"] * 5
        assert [client.ask(get("/again")).body for client in clients] == [b"/again"] * 5
    assert gate.called == ["/slow", *["/behind"] * 5, *["/again"] * 5]


def test_request_behind_one_that_waited_for_too_long_may_find_the_line_full(serving, gate):
    with occupied(serving, gate, gate, queue_timeout=1) as (server, _), Client(server) as client:
        client.send(get("/early") + get("/behind"))
        wait_until(lambda: waiting(server) == 1)
        server._loop.leadership.queue._size = 0  # Others fill the queue, at this very moment.
        assert_shed(client.response(), LATE)
        assert_shed(client.response())
        gate.opened.set()
        wait_until(lambda: has_free_thread(server))
        assert client.ask(get("/again")).body == b"/again"
    assert gate.called == ["/slow", "/again"]


def test_request_behind_one_that_no_thread_could_be_had_for_leaves_the_connection_watched(
    serving, monkeypatch
):
    def refuse(task):
        raise RuntimeError("can't start new thread")

    def app(environ, start_response):
        if environ["QUERY_STRING"]:
            time.sleep(float(environ["QUERY_STRING"]))
        start_response("200 OK", [TEXT])
        return [environ["PATH_INFO"].encode()]

    monkeypatch.setattr(Leadership, "idle_seconds", 0.01)
    with serving(checked(app)) as server, Client(server) as client:
        leadership = server._loop.leadership
        assert client.ask(get("/a?0.1")).body == b"/a"
        wait_until(lambda: leadership.forecast.credits and not leadership.idle and has_free_thread(server))
        leadership._start_thread = refuse
        client.send(get("/a") + get("/b"))
        assert [client.response().body, client.response().body] == [b"/a", b"/b"]
        assert client.ask(get("/c")).body == b"/c"
        del leadership._start_thread


@pytest.mark.parametrize("leave", [Client.reset, Client.close])
def test_client_that_left_while_it_waited_is_neither_called_nor_answered(serving, gate, monkeypatch, leave):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with occupied(serving, gate, gate, queue_timeout=1, access_log=True) as (server, slow):
        with Client(server) as there:
            gone = Client(server)
            gone.send(get("/gone"))
            there.send(get("/there"))
            wait_until(lambda: waiting(server) == 2)
            leave(gone)
            assert_shed(there.response(), LATE)
        wait_until(lambda: len(connections(server)) == 1)
        gate.opened.set()
        assert slow.response().body == b"/slow"
    assert gate.called == ["/slow"]
    assert "/there" in stream.getvalue()
    assert "/gone" not in stream.getvalue()


def test_expected_body_that_waited_for_too_long_is_never_asked_for(serving, gate):
    with occupied(serving, gate, gate, queue_timeout=1) as (server, _), Client(server) as client:
        client.send(get("/upload", "Content-Length: 5", "Expect: 100-continue", method="POST"))
        response = client.response()
        assert (response.status, response.headers["connection"]) == (503, "close")
        client.half_close()
        assert client.rest() == b""
    assert gate.called == ["/slow"]


def test_who_waits_for_too_long_while_the_server_stops_is_told(serving, gate):
    with occupied(serving, gate, gate, queue_timeout=1) as (server, slow), Client(server) as client:
        client.send(get("/late"))
        wait_until(lambda: waiting(server) == 1)
        port = server.port
        server.stop()
        wait_until(lambda: refuses(port))
        response = client.response()
        assert (response.status, response.headers["connection"]) == (503, "close")
        assert client.rest() == b""
        gate.opened.set()
        assert slow.response().body == b"/slow"
    assert gate.called == ["/slow"]


def test_a_thousand_clients_at_two_threads(serving):
    """Each request is answered in its place: by the app, which was called once, or by 503 without a call."""
    called = []

    def app(environ, start_response):
        time.sleep(0.01)
        called.append(environ["PATH_INFO"])
        start_response("200 OK", [TEXT])
        return [environ["PATH_INFO"].encode()]

    served, shed = [], 0
    with serving(checked(app), threads=2, max_queue=300, queue_timeout=1) as server, ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(1000)]
        for number, client in enumerate(clients):
            client.send(b"".join(get(f"/slow/call/{number}/{turn}") for turn in range(3)))
        for number, client in enumerate(clients):
            for turn in range(3):
                response = client.response()
                if response.status == 200:
                    assert response.body == b"/slow/call/%d/%d" % (number, turn)
                    served.append(response.body.decode())
                else:
                    assert_shed(response, LATE if response.body == LATE else BUSY)
                    shed += 1
        assert clients[0].ask(get("/again")).body == b"/again"
    assert sorted([*served, "/again"]) == sorted(called)
    assert len(served) + shed == 3000
    assert served
    assert shed


# -- the cap of connections


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
    """Have so many clients connect who are not idle; return them."""
    clients = [stack.enter_context(Client(server)) for _ in range(count)]
    for number, client in enumerate(clients):
        client.send(get(f"/{number}")[:-2])
    wait_until(lambda: len(connections(server)) == count)
    wait_until(lambda: all(each.receiver.buffer for each in connections(server).values()))
    return clients


def none_is_answered(clients, seconds):
    """Watch the clients for a while."""
    return select.select([client.sock for client in clients], [], [], seconds)[0] == []


@pytest.mark.usefixtures("no_sweep")
def test_clients_above_the_cap_wait_until_others_close(serving, gate):
    with serving(checked(gate), max_connections=8) as server, ExitStack() as stack:
        clients = fill(server, stack, 8)
        late = [stack.enter_context(Client(server)) for _ in range(5)]
        for number, client in enumerate(late):
            client.send(get(f"/late/{number}", "Connection: close"))
        assert none_is_answered(late, 0.2)
        assert len(connections(server)) == 8
        clients.pop().close()
        assert [client.response().body for client in late] == [b"/late/%d" % number for number in range(5)]
        for number, client in enumerate(clients):
            client.send(b"\r\n")
            assert client.response().body == b"/%d" % number


def test_no_more_than_the_cap_are_accepted_at_once(gate):
    server = Server(checked(gate), port=0, graceful_timeout=5, max_connections=8)
    server.open()
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(13)]
        for client in clients:
            client.send(b"GET")
        with server:
            wait_until(lambda: server.snapshot().accepting == "full")
            assert len(connections(server)) == 8


@pytest.mark.usefixtures("no_sweep")
def test_connection_that_another_thread_closes_makes_room(serving, gate):
    with serving(checked(gate), max_connections=2) as server, Client(server) as slow:
        slow.send(get("/slow", "Connection: close"))
        wait_until(lambda: gate.inside)
        with Client(server) as busy, Client(server) as late:
            busy.send(b"GET")
            late.send(get("/late"))
            assert none_is_answered([late], 0.2)
            assert server.snapshot().accepting == "full"
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
        wait_until(lambda: connections(server))
        with Client(server) as late:
            late.send(get("/late"))
            assert none_is_answered([late], 0.2)
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


def test_connection_that_becomes_idle_makes_room(serving, gate):
    with serving(checked(gate), max_connections=2) as server, ExitStack() as stack:
        first, second = fill(server, stack, 2)
        with Client(server) as late:
            late.send(get("/late"))
            assert none_is_answered([late], 0.2)
            first.send(b"\r\n")
            assert first.response().body == b"/0"
            assert late.response().body == b"/late"
            assert first.rest() == b""
            second.send(b"\r\n")
            assert second.response().body == b"/1"


def test_deadlines_are_kept_while_connections_come_and_go_at_the_cap(serving, gate):
    """A pause of the listeners does not put off what happens each second."""
    with serving(checked(gate), max_connections=2, head_timeout=1) as server, ExitStack() as stack:
        slowloris = fill(server, stack, 1)[0]
        until = time.monotonic() + SECONDS
        while none_is_answered([slowloris], 0):
            assert time.monotonic() < until
            with Client(server) as one, Client(server) as other:
                one.send(get("/", "Connection: close"))
                other.send(get("/", "Connection: close"))
                assert (one.response().body, other.response().body) == (b"/", b"/")
        assert slowloris.response().status == 408


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


def test_stop_answers_those_who_wait_for_a_connection(serving, gate):
    with serving(checked(gate), max_connections=2) as server, ExitStack() as stack:
        fill(server, stack, 2)
        late = [stack.enter_context(Client(server)) for _ in range(3)]
        for client in late:
            client.send(get("/late"))
        assert none_is_answered(late, 0.2)
        server.stop()
        for client in late:
            response = client.response()
            assert (response.body, response.headers["connection"]) == (b"/late", "close")


@pytest.mark.parametrize(
    ("option", "least"), [("max_queue", 0), ("queue_timeout", 1), ("max_connections", 1)]
)
def test_least_values(option, least):
    assert getattr(make_config(**{option: least}), option) == least
    with pytest.raises(ConfigError, match=option):
        make_config(**{option: least - 1})
