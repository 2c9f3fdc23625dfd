"""More requests than threads: which requests wait in the queue, and which are answered 503."""

from __future__ import annotations

import io
import logging
import sys
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest

from tests.program import LOG_LINE
from tests.server.apps import TEXT, Gate, checked, connections
from tests.server.client import DATE_AND_SERVER, SECONDS, Client, get, refuses, wait_until, whole
from tests.server.deposing import depose
from wsgiserve.config import ConfigError, make_config
from wsgiserve.protocol import receiver
from wsgiserve.protocol.response import RETRY_SECONDS
from wsgiserve.server.threads.leadership import Leadership

pytestmark = pytest.mark.usefixtures("swift_sweeps")

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
        with Client(server) as other:  # Once it is refused, another thread leads.
            other.send(b"nonsense\r\n\r\n")
            assert other.response().status == 400
        yield server, slow
        gate.opened.set()


def waiting(server):
    return server.snapshot().queued


def let_time_pass(server):
    """Make all requests overdue that wait for a thread now."""
    server._loop.leadership.put_off(-3600)


def has_free_thread(server):
    """Whether the slot of a call was given back, which happens behind its response."""
    return not server.snapshot().busy


def assert_shed(response, body=BUSY):
    """See a 503 that leaves the connection to be used."""
    assert (response.status, response.body) == (503, body)
    assert response.headers["retry-after"] == str(RETRY_SECONDS)
    assert "connection" not in response.headers


# -- the queue is full


def test_request_that_finds_the_queue_full_is_503_and_may_come_again(serving, gate):
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


def test_without_a_queue_no_request_waits(serving, gate):
    with occupied(serving, gate, gate, max_queue=0) as (server, slow), Client(server) as client:
        response = client.ask(get())
        assert response.raw == whole(
            "HTTP/1.1 503 Service Unavailable",
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(BUSY)}",
            f"Retry-After: {RETRY_SECONDS}",
            DATE_AND_SERVER,
            body=BUSY,
        )
        gate.opened.set()
        assert slow.response().body == b"/slow"
        wait_until(lambda: has_free_thread(server))
        assert client.ask(get("/again")).body == b"/again"


def test_without_a_queue_requests_are_served_while_threads_are_free(serving, gate):
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


def test_part_of_a_body_that_had_arrived_is_not_the_next_body_s(serving, gate, monkeypatch):
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


def test_shed_requests_are_in_the_access_log(serving, gate, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with (
        occupied(serving, gate, gate, max_queue=0, access_log="-") as (server, slow),
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
        ("nonsense", "400", "66"),  # of ``occupied``
    ]


def test_log_names_the_remedy_but_not_each_time(serving, gate, log):
    with occupied(serving, gate, gate, max_queue=0) as (server, _), Client(server) as client:
        for _ in range(100):
            assert_shed(client.ask(get()))
    assert [r.getMessage() for r in log.records if r.levelno == logging.WARNING] == [
        "no thread is free and the queue for one is full (--max-queue 0); answered 503 so far: 1; "
        "raise --threads or --max-queue, or make the app faster"
    ]


# -- requests that wait for too long


def test_request_that_waited_for_too_long_is_503_and_never_called(serving, gate):
    with occupied(serving, gate, gate) as (server, slow), ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(5)]
        for client in clients:
            client.send(get("/early") + get("/behind"))
        wait_until(lambda: waiting(server) == 5)
        let_time_pass(server)
        for client in clients:
            assert_shed(client.response(), LATE)
        wait_until(lambda: waiting(server) == 5)  # The requests behind wait in their turn.
        gate.opened.set()
        assert slow.response().body == b"/slow"
        assert [client.response().body for client in clients] == [b"/behind"] * 5
        assert [client.ask(get("/again")).body for client in clients] == [b"/again"] * 5
    assert gate.called == ["/slow", *["/behind"] * 5, *["/again"] * 5]


def test_request_waits_for_the_queue_timeout(serving, gate):
    with occupied(serving, gate, gate, queue_timeout=0.2) as (server, _), Client(server) as client:
        began = time.monotonic()
        client.send(get("/early"))
        assert_shed(client.response(), LATE)
        assert 0.2 <= time.monotonic() - began < 3
    assert gate.called == ["/slow"]


def test_request_behind_one_that_waited_for_too_long_may_find_the_queue_full(serving, gate):
    with occupied(serving, gate, gate) as (server, _), Client(server) as client:
        client.send(get("/early") + get("/behind"))
        wait_until(lambda: waiting(server) == 1)
        server._loop.leadership.queue._size = 0  # Others fill the queue, at this very moment.
        let_time_pass(server)
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
    with occupied(serving, gate, gate, access_log="-") as (server, slow):
        with Client(server) as there:
            gone = Client(server)
            gone.send(get("/gone"))
            there.send(get("/there"))
            wait_until(lambda: waiting(server) == 2)
            leave(gone)
            let_time_pass(server)
            assert_shed(there.response(), LATE)
        wait_until(lambda: server.snapshot().connections == 1)
        gate.opened.set()
        assert slow.response().body == b"/slow"
    assert gate.called == ["/slow"]
    log = stream.getvalue()
    assert log.count('"GET /there HTTP/1.1" 503') == log.count("/there") == 1
    assert log.count('"GET /gone HTTP/1.1" 499 0') == log.count("/gone") == 1


def test_expected_body_that_waited_for_too_long_is_never_asked_for(serving, gate):
    with occupied(serving, gate, gate) as (server, _), Client(server) as client:
        client.send(get("/upload", "Content-Length: 5", "Expect: 100-continue", method="POST"))
        wait_until(lambda: waiting(server) == 1)
        let_time_pass(server)
        response = client.response()
        assert (response.status, response.headers["connection"]) == (503, "close")
        client.half_close()
        assert client.rest() == b""
    assert gate.called == ["/slow"]


def test_request_that_waits_for_too_long_while_the_server_stops_is_503(serving, gate):
    with occupied(serving, gate, gate) as (server, slow), Client(server) as client:
        client.send(get("/late"))
        wait_until(lambda: waiting(server) == 1)
        port = server.port
        server.stop()
        wait_until(lambda: refuses(port))
        let_time_pass(server)
        response = client.response()
        assert (response.status, response.headers["connection"]) == (503, "close")
        assert client.rest() == b""
        gate.opened.set()
        assert slow.response().body == b"/slow"
    assert gate.called == ["/slow"]


@pytest.mark.parametrize(
    ("visitors", "max_queue", "queue_timeout", "seconds"),
    [(60, 20, 5, 0.001), pytest.param(1000, 300, 1, 0.01, marks=pytest.mark.slow)],
    ids=["60", "1000"],
)
def test_many_clients_at_two_threads(serving, visitors, max_queue, queue_timeout, seconds):
    """Each request is answered in its place: by the app, which was called once, or by 503 without a call."""
    called, all_sent = [], threading.Event()

    def app(environ, start_response):
        assert all_sent.wait(SECONDS)
        time.sleep(seconds)
        called.append(environ["PATH_INFO"])
        start_response("200 OK", [TEXT])
        return [environ["PATH_INFO"].encode()]

    served, shed = [], 0
    limits = {"max_queue": max_queue, "queue_timeout": queue_timeout}
    with serving(checked(app), threads=2, **limits) as server, ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(visitors)]
        for number, client in enumerate(clients):
            client.send(b"".join(get(f"/slow/call/{number}/{turn}") for turn in range(3)))
        wait_until(lambda: waiting(server) == max_queue)
        all_sent.set()
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
    assert len(served) + shed == 3 * visitors
    assert served
    assert shed


@pytest.mark.parametrize(
    ("option", "least"), [("max_queue", 0), ("queue_timeout", 1), ("max_connections", 1)]
)
def test_least_values(option, least):
    assert getattr(make_config(**{option: least}), option) == least
    with pytest.raises(ConfigError, match=option):
        make_config(**{option: least - 1})
