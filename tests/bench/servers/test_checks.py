"""Wrong answers are refused before a server is measured."""

from __future__ import annotations

import socket
import sys
import threading

import pytest

from bench.harness import child
from bench.servers import app
from bench.servers.checks import check
from bench.servers.scenarios import Request

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")


def test_check_accepts_the_right_answer(hello_port: int) -> None:
    check(hello_port, Request(), closes=True)
    with pytest.raises(child.UnfitError):
        check(hello_port, Request(answer=app.HELLO[:-1]), closes=True)


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        pytest.param(Request(answer=b"other"), "wrong body", id="wrong-body"),
        pytest.param(Request("/nowhere"), "answered 404", id="wrong-status"),
    ],
)
def test_check_refuses(hello_port: int, request_: Request, complaint: str) -> None:
    with pytest.raises(child.UnfitError, match=complaint):
        check(hello_port, request_, closes=False)


def test_check_refuses_a_server_that_does_not_close() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(app.HELLO) + app.HELLO
        thread = threading.Thread(target=lambda: _answer_one(listener, answer))
        thread.start()
        with pytest.raises(child.UnfitError, match="does not say that it closes"):
            check(listener.getsockname()[1], Request(), closes=True)
        thread.join()


def _answer_one(listener: socket.socket, answer: bytes) -> None:
    with listener.accept()[0] as sock:
        sock.recv(65536)
        sock.sendall(answer)


def test_check_refuses_a_closed_port() -> None:
    with pytest.raises(child.UnfitError, match="ConnectionRefusedError"):
        check(child.free_port(), Request(), closes=False)
