"""Requests that are refused: the status, that the answer arrives, and that nothing is left behind."""

from __future__ import annotations

import itertools
import logging
import os
import select
import threading

import pytest

from tests.server.apps import answer, checked, connections
from tests.server.client import SECONDS, Client, get, wait_until
from tests.server.clock import Clock
from tests.server.http.lone import Lone
from wsgiserve.protocol.errors import RemoteProtocolError
from wsgiserve.server import refusals
from wsgiserve.server.http.pace import Pace
from wsgiserve.server.refusals import LINES_A_SECOND, SHORTAGE_SECONDS, RefusalLog, ShortageLog

LIMITS = {"max_line": 200, "max_head": 1024, "max_fields": 10, "max_body": 1_000_000}
CHUNKED = "Transfer-Encoding: chunked"


def descriptors():
    return len(os.listdir("/proc/self/fd"))


HELLO = checked(answer(b"hello"))

REFUSED = {
    "400 no request line": (400, b"hello\r\n\r\n"),
    "400 bare LF": (400, b"GET / HTTP/1.1\nHost: x\n\n"),
    "400 NUL": (400, get("/", "X: a\0b")),
    "400 no Host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "400 two Hosts": (400, get("/", "Host: b")),
    "400 folding": (400, get("/", "X: a", " b")),
    "400 space before colon": (400, get("/", "X : a")),
    "400 two lengths": (400, get("/", "Content-Length: 1", "Content-Length: 1") + b"x"),
    "400 length and chunked": (400, get("/", "Content-Length: 1", CHUNKED) + b"0\r\n\r\n"),
    "400 chunked on 1.0": (400, get("/", CHUNKED, minor=0) + b"0\r\n\r\n"),
    "400 chunk size": (400, get("/", CHUNKED) + b"0x5\r\nhello\r\n0\r\n\r\n"),
    "400 chunk end": (400, get("/", CHUNKED) + b"5\r\nhelloX\r\n0\r\n\r\n"),
    "400 TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "413 length": (413, get("/", "Content-Length: 1000001")),
    "413 chunked": (413, get("/", CHUNKED) + b"F4241\r\n"),
    "414": (414, get("/" + "x" * 200)),
    "414 no end": (414, b"GET /" + b"x" * 300),
    "417": (417, get("/", "Expect: 200-ok", "Content-Length: 5")),
    "431 bytes": (431, get("/", "X: " + "y" * 1024)),
    "431 no end": (431, get()[:-2] + b"X: " + b"y" * 2000),
    "431 count": (431, get("/", *[f"X{n}: y" for n in range(10)])),
    "431 trailers": (431, get("/", CHUNKED) + b"0\r\n" + b"X: y\r\n" * 4000),
    "501 coding": (501, get("/", "Transfer-Encoding: gzip")),
    "501 CONNECT": (501, b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n"),
    "505": (505, b"GET / HTTP/2.0\r\nHost: x\r\n\r\n"),
}


def assert_refused(client, status):
    response = client.response()
    assert response.status == status
    assert response.headers["connection"] == "close"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.body.startswith(b"%d " % status)
    assert client.rest() == b""


def assert_logged_once(log, status):
    assert len(log.records) == 1
    assert log.records[0].levelname == "INFO"
    assert f"127.0.0.1: {status}, " in log.records[0].getMessage()
    assert log.records[0].exc_info is None


@pytest.mark.parametrize(("status", "request_bytes"), REFUSED.values(), ids=REFUSED)
def test_request_is_refused(log, status, request_bytes):
    with Lone(HELLO, **LIMITS) as client:
        assert client.ask(get()).body == b"hello"
        client.send(request_bytes)
        client.half_close()
        assert_refused(client, status)
        assert_logged_once(log, status)
        assert not client.is_open


def test_refusal_of_head_has_no_body():
    with Lone(HELLO) as client:
        client.send(b"HEAD / HTTP/1.1\r\n\r\n")
        response = client.response("HEAD")
        assert (response.status, client.rest()) == (400, b"")


@pytest.mark.parametrize(
    ("status", "unread"),
    [(414, b"GET /" + b"a" * 300), (400, b"\r\n" * 5), (408, b"GET / HT")],
    ids=["line without end", "empty lines", "late"],
)
def test_refusal_of_an_unread_line_behind_head_has_a_body(status, unread):
    with Lone(HELLO, **LIMITS) as client:
        client.send(get(method="HEAD"))
        assert client.response("HEAD").status == 200
        client.send(unread)
        client.unread = client.serve()
        if status == 408:
            client.connections.expire(client.connection)
        assert_refused(client, status)


@pytest.mark.parametrize(
    "beginning",
    [b"GET / HTTP", get()[:-2], get("/", "Content-Length: 5", method="POST") + b"hel"],
    ids=["line", "fields", "body"],
)
def test_request_whose_deadline_has_passed_is_408(log, beginning):
    with Lone(HELLO) as client:
        client.send(beginning)
        assert client.serve() == b""
        if client.connection.pace is not None:
            client.connection.pace = Pace(0, 0, client.connection.progress())
        client.connections.expire(client.connection)
        assert_refused(client, 408)
    assert_logged_once(log, 408)


def test_nothing_is_answered_behind_a_refusal():
    with Lone(HELLO) as client:
        client.send(get() + b"GET / HTTP/1.1\r\n\r\n" + get())
        assert client.response().status == 200
        assert_refused(client, 400)


@pytest.mark.slow
def test_request_that_does_not_arrive_is_408(serving, log):
    beginnings = [b"GET / HTTP", get()[:-2], get("/", "Content-Length: 5", method="POST") + b"hel"]
    with serving(HELLO, head_timeout=1, stall_timeout=1) as server:
        clients = [Client(server) for _ in beginnings]
        for client, beginning in zip(clients, beginnings, strict=True):
            client.send(beginning)
        for client in clients:
            assert_refused(client, 408)
            client.close()
        wait_until(lambda: not connections(server))
    assert {record.getMessage() for record in log.records} == {
        "127.0.0.1: 408, the request did not arrive in time"
    }
    assert len(log.records) == 3


@pytest.mark.slow
def test_head_deadline_is_absolute(serving):
    """A byte now and then does not buy time."""
    with serving(HELLO, head_timeout=1) as server, Client(server) as client:
        client.send(get()[:-2])
        client.sock.settimeout(0.1)
        for _ in range(100):
            try:
                received = client.sock.recv(65536)
                break
            except TimeoutError:
                client.send(b"X: y\r\n")
        assert received.startswith(b"HTTP/1.1 408 ")


@pytest.mark.slow
def test_silent_connection_is_closed_without_a_word(serving, log):
    with serving(HELLO, head_timeout=1) as server, Client(server) as client:
        assert client.rest() == b""
    assert not log.records


@pytest.mark.slow
def test_idle_connection_is_closed_without_a_word(serving, log):
    with serving(HELLO, keep_alive=0.2) as server, Client(server) as client:
        assert client.ask(get()).body == b"hello"
        assert client.rest() == b""
    assert not log.records


@pytest.mark.slow
def test_streamed_body_that_stops_arriving_is_408(serving, log):
    @checked
    def app(environ, start_response):
        environ["wsgi.input"].read(-1)
        raise AssertionError("the body is incomplete")

    with serving(app, stall_timeout=1) as server, Client(server) as client:
        client.send(get("/", "Content-Length: 2000000", method="POST") + b"x" * 1_500_000)
        assert_refused(client, 408)
    assert_logged_once(log, 408)


@pytest.mark.parametrize(
    ("status", "head"),
    [
        (400, b"POST / HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n"),
        (413, get("/", "Content-Length: 5000000", method="POST")),
        (413, get("/", CHUNKED, method="POST") + b"4C4B40\r\n"),
        (417, get("/", "Content-Length: 5000000", "Expect: x", method="POST")),
        (501, get("/", "Transfer-Encoding: gzip", method="POST")),
    ],
)
def test_answer_arrives_although_a_large_body_is_being_sent(serving, log, status, head):
    """Closing at once would reset the connection and destroy the answer on its way."""
    with serving(HELLO, **LIMITS) as server:
        with Client(server) as client:
            client.send(head + b"x" * 5_000_000)
            assert_refused(client, status)
        assert_logged_once(log, status)
        wait_until(lambda: not connections(server))


@pytest.mark.slow
def test_client_that_never_stops_sending_is_cut_off(serving):
    with serving(HELLO, **LIMITS) as server, Client(server) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            send_on(client)
        wait_until(lambda: not connections(server))


def send_on(client):
    for data in itertools.repeat(b"x" * 65536):
        client.send(data)


def test_nothing_is_left_behind(serving):
    with serving(HELLO, **LIMITS) as server:
        with Client(server) as client:
            assert client.ask(get()).body == b"hello"
        wait_until(lambda: not connections(server))
        before, threads = descriptors(), threading.active_count()
        for _ in range(5):
            clients = [Client(server) for _ in REFUSED]
            for client, (_, request_bytes) in zip(clients, REFUSED.values(), strict=True):
                client.send(request_bytes)
            for client, (status, _) in zip(clients, REFUSED.values(), strict=True):
                assert_refused(client, status)
                client.close()
        wait_until(lambda: not connections(server))
        wait_until(lambda: descriptors() == before)
        assert threading.active_count() <= threads + 2
        with Client(server) as client:
            assert client.ask(get()).body == b"hello"


def test_client_that_leaves_at_any_byte_leaves_nothing_behind(serving):
    request_bytes = get("/", method="POST", body=b"hello")
    with serving(HELLO) as server:
        before = descriptors()
        for end in range(len(request_bytes)):
            client = Client(server)
            client.send(request_bytes[:end])
            client.close() if end % 2 else client.reset()
        wait_until(lambda: not connections(server), SECONDS)
        wait_until(lambda: descriptors() == before)
        with Client(server) as client:
            assert client.ask(get()).body == b"hello"


def test_tls_handshake_is_told_apart(log):
    """A browser that was given https:// by mistake: the log names the cause."""
    with Lone(answer()) as client:
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert client.response().status == 400
        assert client.rest() == b""
    assert "plain HTTP" in log.text


@pytest.mark.slow
@pytest.mark.parametrize("length", [1000, 2_000_000], ids=["in-memory", "streamed"])
def test_body_that_drips_is_given_up(serving, log, length):
    """Each byte comes in time, but a call of the app would wait for them for hours."""

    @checked
    def app(environ, start_response):
        environ["wsgi.input"].read(-1)
        raise AssertionError("the body is incomplete")

    with serving(app, stall_timeout=1, min_rate=1_000_000) as server, Client(server) as client:
        client.send(get("/", f"Content-Length: {length}", method="POST"))
        wait_until(lambda: drips(client))
        assert_refused(client, 408)
    assert_logged_once(log, 408)


def drips(client):
    """Send a byte; whether an answer has come instead of a wish for more."""
    client.send(b"x")
    return select.select([client.sock], [], [], 0.1)[0]


# -- the log lines


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(refusals, "monotonic", clock)
    return clock


def lines(log):
    texts = [record.getMessage() for record in log.records]
    log.clear()
    return texts


def test_refusals_above_the_rate_are_counted(log, clock):
    refusal_log = RefusalLog()
    error = RemoteProtocolError(400, "no request line")
    for _ in range(LINES_A_SECOND + 7):
        refusal_log.add("127.0.0.1", error)
    assert lines(log) == ["127.0.0.1: 400, no request line"] * LINES_A_SECOND
    clock.now += 1
    refusal_log.add("127.0.0.2", error)
    assert lines(log) == ["7 more requests were refused", "127.0.0.2: 400, no request line"]
    clock.now += 1
    refusal_log.add("127.0.0.3", error)
    assert lines(log) == ["127.0.0.3: 400, no request line"]


def test_shortage_is_logged_seldom_and_with_a_count(log, clock):
    shortage = ShortageLog("all %d are in use; times so far: %d")
    for _ in range(5):
        shortage.add(3)
    assert lines(log) == ["all 3 are in use; times so far: 1"]
    clock.now += SHORTAGE_SECONDS
    shortage.add(3)
    assert lines(log) == ["all 3 are in use; times so far: 6"]


def test_report_has_the_exception_and_survives_a_handler_that_raises(log):
    class Raising(logging.Handler):
        def emit(self, record):
            raise RuntimeError("the log handler has a bug")

    handler = Raising()
    for handlers in ([], [handler]):
        for each in handlers:
            refusals.logger.addHandler(each)
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            refusals.report("a bug of ours")
        finally:
            refusals.logger.removeHandler(handler)
    first = log.records[0]
    assert (first.levelname, first.getMessage()) == ("CRITICAL", "a bug of ours")
    assert first.exc_info[0] is ZeroDivisionError


@pytest.mark.slow
def test_a_flood_of_bad_requests_is_counted_not_listed(serving, log):
    refused = 0
    with serving(HELLO) as server:
        while "more requests were refused" not in log.text:
            with Client(server) as client:
                client.send(b"nonsense\r\n\r\n")
                assert client.response().status == 400
            refused += 1
    texts = lines(log)
    listed = sum("400, the request line is not" in text for text in texts)
    counted = sum(int(text.split()[0]) for text in texts if "more requests" in text)
    assert listed + counted == refused
    assert LINES_A_SECOND <= listed < refused
