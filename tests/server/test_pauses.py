"""A process that could not look at its sockets for a while blames nobody for it."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.program import serving_program
from tests.server.client import Client, get

APP = """
def app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode() + body]
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def stopped(tmp_path):
    """Return (port, pause): ``pause`` stops the serving process, calls, and lets it go on seconds later."""
    (tmp_path / "app.py").write_text(APP)
    limits = ["--workers", "0", "--keep-alive", "1", "--head-timeout", "1", "--stall-timeout", "1"]
    with serving_program(tmp_path, "app:app", *limits) as (program, port):
        pid = program.process.pid

        def pause(call, seconds=3.0):
            os.kill(pid, signal.SIGSTOP)
            call()
            time.sleep(seconds)  # the pause itself
            os.kill(pid, signal.SIGCONT)

        yield port, pause


def test_requests_that_arrive_while_the_process_is_stopped_are_answered(stopped):
    port, pause = stopped
    idle = [Client(port=port) for _ in range(300)]
    for client in idle:
        assert client.ask(get("/first")).body == b"/first"
    head, body = Client(port=port), Client(port=port)
    head.send(b"GET /head HTTP/1.1\r\n")
    body.send(get("/body", "Content-Length: 6", method="POST") + b"abc")

    def send():
        for client in idle:
            client.send(get("/second"))
        head.send(b"Host: x\r\n\r\n")
        body.send(b"def")

    pause(send)
    for client in idle:
        assert client.response().body == b"/second"
    assert head.response().body == b"/head"
    assert body.response().body == b"/bodyabcdef"
    for client in (*idle, head, body):
        client.close()


def test_deadlines_hold_again_after_a_pause(stopped):
    port, pause = stopped
    with Client(port=port) as client:
        client.send(b"GET /")
        pause(lambda: None, 2.0)
        began = time.monotonic()
        assert client.response().status == 408
        assert time.monotonic() - began < 3.5
