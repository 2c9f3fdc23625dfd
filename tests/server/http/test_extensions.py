"""The callables that the environ has beyond PEP 3333."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.validate import validator

import pytest

from tests.server.http.lone import Lone, ask
from wsgiserve import Server
from wsgiserve.config import make_config
from wsgiserve.protocol.errors import LocalProtocolError
from wsgiserve.protocol.limits import Limits
from wsgiserve.server.http.extensions import limits

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def replying(act: Callable[[WSGIEnvironment], object]) -> WSGIApplication:
    """Make an app that does something with its environ, then answers in chunks."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        act(environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([b"done"])

    return app


def test_early_hints_leave_before_the_response() -> None:
    hint = ("Link", "</style.css>; rel=preload")
    answer = ask(REQUEST, replying(lambda environ: environ["wsgi.early_hints"]([hint])))
    assert answer.startswith(
        b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n"
    )


def test_a_client_of_http_1_0_gets_no_early_hints() -> None:
    app = replying(lambda environ: environ["wsgi.early_hints"]([("Link", "</a>")]))
    assert ask(b"GET / HTTP/1.0\r\n\r\n", app).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "call",
    [
        lambda environ: environ["wsgi.early_hints"]([("Link", "a\r\nSet-Cookie: b")]),
        lambda environ: environ["wsgi.early_hints"]([("Connection", "close")]),
        lambda environ: environ["wsgi.early_hints"]("Link: a"),
        lambda environ: environ["wsgiserve.send_trailers"]([("Content-Length", "5")]),
        lambda environ: environ["wsgiserve.upgrade"]("echo", print),
    ],
    ids=["splitting", "hop-by-hop", "no-list", "framing-in-trailers", "not-asked"],
)
def test_a_wrong_use_is_a_500(call: Callable[[WSGIEnvironment], object]) -> None:
    assert ask(REQUEST, replying(call)).startswith(b"HTTP/1.1 500 Internal Server Error\r\n")


def test_early_hints_behind_the_head_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"first"
        environ["wsgi.early_hints"]([("Link", "</a>")])

    answer = ask(REQUEST, app)
    assert not answer.endswith(b"0\r\n\r\n")
    assert "too late" in caplog.text


TRAILERS = [("X-Checksum", "abc"), ("X-Count", "1")]


@pytest.mark.parametrize(
    ("te", "end"),
    [
        (b"TE: trailers\r\n", b"4\r\ndone\r\n0\r\nX-Checksum: abc\r\nX-Count: 1\r\n\r\n"),
        (b"", b"4\r\ndone\r\n0\r\n\r\n"),
    ],
    ids=["wanted", "unwanted"],
)
def test_trailers_are_sent_to_a_client_that_takes_them(te: bytes, end: bytes) -> None:
    app = replying(lambda environ: environ["wsgiserve.send_trailers"](TRAILERS))
    assert ask(REQUEST[:-2] + te + b"\r\n", app).endswith(end)


@pytest.mark.parametrize("size", [3, 2 << 20], ids=["in-memory", "streamed"])
def test_request_trailers_can_be_read_behind_the_body(size: int) -> None:
    seen = []

    def act(environ: WSGIEnvironment) -> None:
        while environ["wsgi.input"].read(65536):
            pass
        seen.append(environ["wsgiserve.request_trailers"]())
        assert "HTTP_X_CHECKSUM" not in environ

    body = b"%x\r\n%b\r\n0\r\nX-Checksum: abc\r\nX-Count: 1\r\n\r\n" % (size, b"x" * size)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b"done" in ask(head + body, replying(act))
    assert seen == [TRAILERS]


def test_a_request_without_trailers_has_none_of_the_one_before() -> None:
    seen = []
    app = replying(lambda environ: seen.append(environ["wsgiserve.request_trailers"]()))
    first = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: 1\r\n\r\n"
    ask(first + REQUEST, app)
    assert seen == [[("X-A", "1")], []]


def test_client_gone_tells_when_the_client_has_left() -> None:
    entered, left, seen = threading.Event(), threading.Event(), []

    def act(environ: WSGIEnvironment) -> None:
        seen.append(environ["wsgiserve.client_gone"]())
        entered.set()
        while not environ["wsgiserve.client_gone"]():
            left.wait(0.001)
        seen.append(True)
        left.set()

    with Server(validator(replying(act)), port=0) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
            sock.sendall(REQUEST)
            assert entered.wait(10)
        assert left.wait(10)
    assert seen == [False, True]


@pytest.mark.parametrize("slow", [False, True], ids=["inline", "deposed"])
def test_an_upgrade_hands_the_socket_over_and_holds_no_slot(slow: bool) -> None:
    ended = threading.Event()

    def handler(sock: socket.socket, data: bytes) -> None:
        with sock:
            while data:
                sock.sendall(data.upper())
                data = sock.recv(100)
        ended.set()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/up":
            if slow:
                threading.Event().wait(0.05)
            environ["wsgiserve.upgrade"]("shout", handler, [("X-Mode", "loud")])
            return []
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ordinary"]

    switch = b"GET /up HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: shout\r\n\r\n"
    with Server(app, port=0, threads=1) as server:  # The validator wants start_response to be called.
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
            sock.sendall(switch + b"hello")
            expected = (
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                b"Upgrade: shout\r\nX-Mode: loud\r\n\r\n"
            )
            received = b""
            while len(received) < len(expected) + 5:
                received += sock.recv(1000)
            assert received == expected + b"HELLO"
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as other:
                other.sendall(REQUEST)
                assert b"".join(iter(lambda: other.recv(1000), b"")).endswith(b"ordinary")
            sock.sendall(b"more")
            assert sock.recv(100) == b"MORE"
        assert ended.wait(10)


def test_an_upgrade_that_fails_behind_is_a_500() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgiserve.upgrade"]("shout", print)
        raise RuntimeError("changed my mind")

    switch = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: shout\r\n\r\n"
    assert ask(switch, app).startswith(b"HTTP/1.1 500 ")


def test_the_limits_of_a_configuration() -> None:
    assert limits(make_config()) == Limits()
    config = make_config(max_line=100, max_head=2000, max_fields=3, max_body=4)
    assert limits(config) == Limits(100, 2000, 3, 4)


def test_an_extension_that_is_called_after_the_end_is_refused() -> None:
    kept: list[Callable[[], object]] = []
    app = replying(lambda environ: kept.append(lambda: environ["wsgi.early_hints"]([("Link", "</a>")])))
    with Lone(app) as client:
        assert client.ask(REQUEST).status == 200
        with pytest.raises(LocalProtocolError, match="too late"):
            kept[0]()
