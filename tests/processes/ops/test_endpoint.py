"""The HTTP of the ops endpoint: what it answers, and that no client can hold it up."""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from contextlib import suppress

import pytest

from tests.server.client import Client, get, wait_until
from tests.server.descriptors import few_descriptors
from wsgiserve.config import make_config
from wsgiserve.processes.children import Children
from wsgiserve.processes.ops import endpoint as module
from wsgiserve.processes.ops.endpoint import MOST, Answer, Endpoint
from wsgiserve.server.sockets.listener import open_listeners


class Case:
    """An endpoint and the thread that serves it, as the supervisor does."""

    def __init__(self, bind):
        self.children = Children()
        self.listeners = open_listeners(make_config(bind=bind))
        self.large = b"x" * (4 << 20)
        pages = {
            "/page": lambda head: Answer(b"page\n"),
            "/query": lambda head: Answer(head.query.encode(), fields=(("X-Own", "1"),)),
            "/large": lambda head: Answer(self.large),
            "/broken": lambda head: 1 / 0,
        }
        self.endpoint = Endpoint(self.children, self.listeners, pages)
        self.turns = 0
        self._over = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def port(self):
        return self.listeners[0].port

    def _serve(self):
        while not self._over:
            now = time.monotonic()
            self.children.wait(min(self.endpoint.next_at, now + 0.01))
            self.endpoint.look(time.monotonic())
            self.turns += 1

    def end(self):
        self._over = True
        self._thread.join()
        self.children.close()
        self.endpoint.leave()
        for listener in self.listeners:
            listener.close()

    def ask(self, request):
        with Client(port=self.port) as client:
            response = client.ask(request)
            assert client.rest() == b""
        return response

    def works(self):
        assert self.ask(get("/page")).body == b"page\n"


@pytest.fixture
def served():
    """Return ``served(bind)``: an endpoint that runs until the end of the test."""
    cases = []

    def serve(bind="127.0.0.1:0"):
        cases.append(Case(bind))
        return cases[-1]

    yield serve
    for case in cases:
        case.end()


def test_a_page_is_answered_and_the_connection_closed(served):
    response = served().ask(get("/query?a=b"))
    assert (response.status, response.body) == (200, b"a=b")
    assert response.headers["connection"] == "close"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-own"] == "1"


def test_a_request_may_come_byte_by_byte(served):
    with Client(port=served().port) as client:
        for byte in get("/page"):
            client.send(bytes([byte]))
        assert client.response().body == b"page\n"


def test_head_has_no_body(served):
    response = served().ask(get("/page", method="HEAD"))
    assert (response.status, response.headers["content-length"], response.body) == (200, "5", b"")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/none"), 404),
        (get("/page", method="POST", body=b"x" * 70000), 405),
        (get("/page", method="DELETE"), 405),
        (b"GET /page HTTP/1.1\r\n\r\n", 400),
        (b"GET /page HTTP/3.0\r\nHost: x\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n", 414),
        (get("/page", f"X: {'a' * 20000}"), 431),
        (get("/broken"), 500),
    ],
)
def test_other_requests_are_refused(served, request_, status, caplog):
    case = served()
    with Client(port=case.port) as client:
        client.send(request_)
        response = client.response()
        assert response.status == status
        assert response.headers["connection"] == "close"
        assert client.rest() == b""
    assert response.headers.get("allow") == ("GET, HEAD" if status == 405 else None)
    messages = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
    assert messages == (["the page /broken of the ops endpoint failed"] if status == 500 else [])
    case.works()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9000", 200),
        ("[::1]:9000", 200),
        ("[::1]", 200),
        ("localhost", 200),
        ("LOCALHOST.:9000", 200),
        ("shop.localhost", 200),
        ("shop", 200),
        ("evil.example", 403),
        ("evil.example.:9000", 403),
        ("127.0.0.1.evil.example", 403),
    ],
)
def test_on_loopback_a_name_that_a_stranger_may_own_is_refused(served, host, status):
    request = f"GET /page HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    assert served().ask(request).status == status


def test_the_name_of_an_absolute_target_counts(served):
    request = b"GET http://evil.example/page HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert served().ask(request).status in (400, 403)


def test_a_unix_socket_takes_any_name(served, tmp_path):
    served(f"unix:{tmp_path}/s")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(f"{tmp_path}/s")
        sock.sendall(b"GET /page HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_client_that_does_not_read_holds_nobody_up(served, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 60.0)  # The small buffer makes it slow on a busy machine.
    case = served()
    with Client(port=case.port, receive_buffer=4096) as slow:
        slow.send(get("/large"))
        case.works()
        response = slow.response()
    assert response.body == case.large


def test_a_client_that_says_nothing_is_closed_in_time(served, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.05)
    case = served()
    with Client(port=case.port) as client:
        assert client.rest() == b""
    with Client(port=case.port) as client:
        client.send(b"GET /page HT")
        assert client.rest() == b""
    case.works()


def test_a_client_that_never_stops_sending_is_closed(served):
    case = served()
    with Client(port=case.port) as client, suppress(ConnectionError):
        client.send(get("/page"))
        while True:
            client.send(b"x" * 65536)
    case.works()


def test_a_client_that_resets_its_connection_is_forgotten(served):
    case = served()
    client = Client(port=case.port)
    client.send(get("/large"))
    client.reset()
    wait_until(lambda: case.endpoint.next_at == math.inf)
    case.works()


@pytest.mark.slow
def test_a_thousand_connections_keep_nobody_out(served):
    case = served()
    clients = []
    for number in range(1000):
        clients.append(Client(port=case.port))
        with suppress(ConnectionError):
            clients[-1].send(b"GET /page HTTP/1.1\r\nX: ")
        if number % 100 == 99:
            case.works()
    left = len(case.endpoint._clients)
    assert left <= MOST
    for client in clients:
        client.close()
    case.works()


def test_requests_that_are_here_are_answered_before_an_exec():
    children, listeners = Children(), open_listeners(make_config(bind="127.0.0.1:0"))
    endpoint = Endpoint(children, listeners, {"/page": lambda head: Answer(b"page\n")})
    with Client(port=listeners[0].port) as client, Client(port=listeners[0].port) as silent:
        client.send(get("/page"))
        while len(endpoint._clients) < 2:
            children.wait(time.monotonic() + 20)
        endpoint.finish()
        endpoint.leave()  # As an exec does.
        assert client.response().body == b"page\n"
        assert silent.rest() == b""
    children.close()


def test_without_clients_nothing_is_due(served):
    case = served()
    assert case.endpoint.next_at == math.inf
    case.works()
    wait_until(lambda: case.endpoint.next_at == math.inf)


def test_it_pauses_where_the_system_refuses_a_connection(served, monkeypatch, caplog):
    monkeypatch.setattr(module, "PAUSE", 0.05)

    class Refusing:
        """A listening socket in a process that may open no more files, until it has said so once."""

        def __init__(self, sock):
            self._sock = sock
            self.refused = 0

        def fileno(self):
            return self._sock.fileno()

        def accept(self):
            if not self.refused:
                self.refused += 1
                raise OSError(24, "Too many open files")
            return self._sock.accept()

        def close(self):
            self._sock.close()

    children, listeners = Children(), open_listeners(make_config(bind="127.0.0.1:0"))
    listeners[0].sock = refusing = Refusing(listeners[0].sock)
    endpoint = Endpoint(children, listeners, {"/page": lambda head: Answer(b"page\n")})
    with Client(port=listeners[0].port) as client:
        client.send(get("/page"))
        answered = threading.Event()
        thread = threading.Thread(target=lambda: client.rest() and answered.set())
        thread.start()
        until = time.monotonic() + 20
        while not answered.is_set():
            assert time.monotonic() < until
            children.wait(min(endpoint.next_at, time.monotonic() + 0.02))
            endpoint.look(time.monotonic())
        thread.join()
    assert refusing.refused == 1
    assert "cannot accept a connection" in caplog.text
    children.close()
    endpoint.leave()


def test_without_descriptors_all_listeners_pause_and_go_on_later(tmp_path, caplog, monkeypatch):
    """Also if clients of several of them come at once."""
    monkeypatch.setattr(module, "PAUSE", 0.05)
    children = Children()
    listeners = open_listeners(make_config(bind=["127.0.0.1:0", f"unix:{tmp_path}/s"]))
    endpoint = Endpoint(children, listeners, {"/page": lambda head: Answer(b"page\n")})
    with Client(port=listeners[0].port) as one, socket.socket(socket.AF_UNIX) as two:
        two.connect(f"{tmp_path}/s")
        for sock in (one.sock, two):
            sock.sendall(get("/page"))
        with few_descriptors():
            children.wait(time.monotonic() + 20)
        while len(endpoint._clients) < 2:
            children.wait(endpoint.next_at)
            endpoint.look(time.monotonic())
        endpoint.finish()
        assert one.response().body == b"page\n"
        assert two.recv(1000).endswith(b"page\n")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    children.close()
    endpoint.leave()
    for listener in listeners:
        listener.close()


def test_a_page_that_takes_a_descriptor_is_not_shown_without(caplog):
    def page(head):
        with open(__file__, "rb") as file:
            return Answer(file.read())

    children, listeners = Children(), open_listeners(make_config(bind="127.0.0.1:0"))
    endpoint = Endpoint(children, listeners, {"/page": page})
    with Client(port=listeners[0].port) as client:
        client.send(get("/page"))
        with few_descriptors(1):  # for the connection
            while not endpoint._clients:
                children.wait(time.monotonic() + 20)
            endpoint.finish()
        response = client.response()
    assert response.status == 503
    assert response.body == b"503 Service Unavailable: the system lacks what it takes: Too many open files\n"
    assert "the page /page of the ops endpoint is not shown: Too many open files" in caplog.messages
    assert not any(record.exc_info for record in caplog.records)
    children.close()
    endpoint.leave()
