"""Answers without the app: the health path, and refusals, of which nothing is left behind."""

from __future__ import annotations

import io
import threading
from contextlib import ExitStack

import pytest

from tests.server.apps import TEXT, answer, checked
from tests.server.client import DATE_AND_SERVER, Client, get, wait_until, whole
from tests.server.descriptors import descriptors
from tests.server.http.lone import Lone
from wsgiserve.config import ConfigError, make_config
from wsgiserve.server import shutdown
from wsgiserve.server.access_log import AccessLog
from wsgiserve.server.http.pace import Pace
from wsgiserve.server.own_answers import own_paths

HEALTH = "/healthz"


READY = "/healthz/ready"


LIMITS = {"max_line": 200, "max_head": 1024, "max_fields": 10, "max_body": 1_000_000}


CHUNKED = "Transfer-Encoding: chunked"


HELLO = checked(answer(b"hello"))


# -- the health path


def test_paths_of_the_server_itself():
    assert own_paths("/healthz") == {"/healthz", "/healthz/ready"}
    assert own_paths("") == set()


def test_health_is_answered_without_the_app():
    def app(environ, start_response):
        called.append(environ["PATH_INFO"])
        start_response("200 OK", [TEXT])
        return [b"app"]

    called = []
    lines = ["Content-Type: text/plain", "Cache-Control: no-store"]
    with Lone(app, health_path=HEALTH) as client:
        live = whole("HTTP/1.1 200 OK", *lines, "Content-Length: 5", DATE_AND_SERVER, body=b"live\n")
        ready = whole("HTTP/1.1 200 OK", *lines, "Content-Length: 6", DATE_AND_SERVER, body=b"ready\n")
        for _ in range(3):
            assert client.ask(get(HEALTH)).raw == live
            assert client.ask(get(READY)).raw == ready
            assert client.ask(get(READY)).raw == ready
            assert client.ask(get(HEALTH + "?a=b", method="HEAD")).raw == live.removesuffix(b"live\n")
            assert (
                client.ask(get(READY, "Connection: keep-alive", minor=0)).headers["connection"]
                == "keep-alive"
            )
            assert client.ask(get(HEALTH + "z")).body == b"app"
        refused = client.ask(get(HEALTH, method="POST", body=b"x"))
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
        assert refused.headers["connection"] == "close"
        assert client.rest() == b""
    assert called == ["/healthzz"] * 3


@pytest.mark.parametrize(
    ("plan", "status", "body"),
    [(shutdown.drain(0, 30), 503, b"stopping\n"), (shutdown.retire(30), 200, b"ready\n")],
    ids=["drain", "retire"],
)
def test_server_that_stops_is_live_but_ready_only_if_other_workers_serve(plan, status, body):
    with Lone(HELLO, health_path=HEALTH) as client:
        assert client.ask(get(READY)).body == b"ready\n"
        client.shutdown.ask(plan)
        response = client.ask(get(READY))
        assert (response.status, response.body) == (status, body)
        assert client.ask(get(HEALTH)).body == b"live\n"


def test_worker_that_is_replaced_says_that_the_service_is_ready(serving):
    with serving(checked(answer(b"app")), health_path=HEALTH) as server, Client(server) as client:
        assert client.ask(get(READY)).body == b"ready\n"
        server.retire()
        wait_until(lambda: server.snapshot().accepting == "closed")
        response = client.ask(get(READY))
        assert (response.status, response.headers["connection"]) == (200, "close")


def test_without_the_option_the_path_is_the_app_s():
    with Lone(answer(b"app")) as client:
        assert client.ask(get(HEALTH)).body == b"app"


def test_health_is_answered_while_all_threads_are_busy(serving, gate):
    with serving(checked(gate), threads=2, max_queue=0, health_path=HEALTH) as server, ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(4)]
        for number, client in enumerate(clients[:2]):
            client.send(get(f"/slow/{number}"))
        wait_until(lambda: gate.inside == 2)
        for _ in range(3):
            assert clients[2].ask(get(HEALTH)).body == b"live\n"
            assert clients[2].ask(get(READY)).body == b"ready\n"
        wait_until(lambda: clients[3].ask(get("/slow/3")).status == 503)
        gate.opened.set()
        assert [client.response().status for client in clients[:2]] == [200, 200]


def test_health_is_in_the_access_log_too():
    with Lone(HELLO, health_path=HEALTH) as client:
        client.gateway.access_log = AccessLog(stream := io.StringIO())
        assert client.ask(get(HEALTH)).status == 200
        assert client.ask(get()).status == 200
        client.gateway.access_log.flush()
    first, second = stream.getvalue().splitlines()
    assert f'"GET {HEALTH} HTTP/1.1" 200 5' in first
    assert '"GET / HTTP/1.1" 200 5' in second


def test_health_that_is_pipelined_is_the_last_answer(serving):
    """However many there are, none is answered from within the answer to another."""
    with serving(checked(answer(b"app")), health_path=HEALTH) as server, Client(server) as client:
        client.send(get() + get(HEALTH) * 300 + get())
        assert client.response().body == b"app"
        response = client.response()
        assert (response.body, response.headers["connection"]) == (b"live\n", "close")
        assert client.rest() == b""
        with Client(server) as other:
            assert other.ask(get()).body == b"app"


def test_health_path_is_a_path():
    with pytest.raises(ConfigError, match="'healthz' is not a path"):
        make_config(health_path="healthz")


# -- refusals


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


@pytest.mark.parametrize("large", [False, True], ids=["by-the-loop", "by-the-app"])
def test_chunk_size_that_is_wrong_is_answered_before_its_line_ends(serving, large):
    @checked
    def app(environ, start_response):
        environ["wsgi.input"].read(-1)
        raise AssertionError("the body is incomplete")

    chunk = b"x" * (1_500_000 if large else 5)
    with serving(app) as server, Client(server) as client:
        client.send(get("/", "Transfer-Encoding: chunked", method="POST"))
        client.send(b"%x\r\n%b\r\n5z" % (len(chunk), chunk))
        assert_refused(client, 400)


@pytest.mark.parametrize("beginning", [b"GET  ", get()[:-2] + b"X "], ids=["line", "field"])
def test_head_that_is_wrong_is_answered_before_its_line_ends(serving, beginning):
    with serving(HELLO) as server, Client(server) as client:
        client.send(beginning)
        assert_refused(client, 400)


def test_nothing_is_answered_behind_a_refusal():
    with Lone(HELLO) as client:
        client.send(get() + b"GET / HTTP/1.1\r\n\r\n" + get())
        assert client.response().status == 200
        assert_refused(client, 400)


def test_tls_handshake_is_recognized(log):
    """A browser that was given https:// by mistake: the log names the cause."""
    with Lone(answer()) as client:
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert client.response().status == 400
        assert client.rest() == b""
    assert "plain HTTP" in log.text


@pytest.mark.parametrize(
    ("status", "head"),
    [
        (400, b"POST / HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n"),
        (413, get("/", "Content-Length: 5000000", method="POST")),
        (413, get("/", CHUNKED, method="POST") + b"4C4B40\r\n"),
        (417, get("/", "Content-Length: 5000000", "Expect: x", method="POST")),
        (501, get("/", "Transfer-Encoding: gzip", method="POST")),
    ],
    ids=["400", "413", "413 chunked", "417", "501"],
)
def test_answer_arrives_although_a_large_body_is_being_sent(serving, log, status, head):
    """Closing at once would reset the connection and destroy the answer on its way."""
    with serving(HELLO, **LIMITS) as server:
        with Client(server) as client:
            client.send(head + b"x" * 5_000_000)
            assert_refused(client, status)
        assert_logged_once(log, status)
        wait_until(lambda: not server.snapshot().connections)


def test_nothing_is_left_behind(serving):
    with serving(HELLO, **LIMITS) as server:
        with Client(server) as client:
            assert client.ask(get()).body == b"hello"
        wait_until(lambda: not server.snapshot().connections)
        before, threads = descriptors(), threading.active_count()
        for _ in range(5):
            clients = [Client(server) for _ in REFUSED]
            for client, (_, request_bytes) in zip(clients, REFUSED.values(), strict=True):
                client.send(request_bytes)
            for client, (status, _) in zip(clients, REFUSED.values(), strict=True):
                assert_refused(client, status)
                client.close()
        wait_until(lambda: not server.snapshot().connections)
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
        wait_until(lambda: not server.snapshot().connections)
        wait_until(lambda: descriptors() == before)
        with Client(server) as client:
            assert client.ask(get()).body == b"hello"
