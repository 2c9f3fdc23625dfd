"""Each call has one outcome, which the client and the access log agree about."""

from __future__ import annotations

import io
import random
import re
import sys
import threading
import time

import pytest

from tests.program import LOG_LINE
from tests.server.apps import TEXT, checked
from tests.server.client import Client, get, wait_until
from wsgiserve.server.http import exchange


@pytest.mark.slow
def test_calls_that_end_as_they_are_given_up_have_one_outcome(serving, monkeypatch):
    """The app's answer, 504, or an end of the connection that is visibly no answer."""
    monkeypatch.setattr(sys, "stdout", stream := io.StringIO())
    chance = random.Random(12)

    def app(environ, start_response):
        time.sleep(float(environ["QUERY_STRING"]))
        start_response("200 OK", [TEXT])
        return [b"answer"]

    outcomes = []
    with serving(checked(app), request_timeout=0.05, access_log="-") as server:
        for number in range(150):
            with Client(server) as client:
                seconds = {0: 0.0, 1: 0.2}.get(number % 10, chance.uniform(0.045, 0.056))
                client.send(get(f"/{number}?{seconds}"))
                try:
                    outcomes.append(client.response().status)
                except ConnectionResetError:
                    outcomes.append("cut")
        wait_until(lambda: not server.snapshot().lost)
    assert len(outcomes) == 150
    assert {200, 504} <= set(outcomes) <= {200, 504, "cut"}
    logged = [LOG_LINE.fullmatch(line) for line in stream.getvalue().splitlines(keepends=True)]
    assert len(logged) == 150
    statuses = {int(re.split("[/?]", line["request"])[1]): int(line["status"]) for line in logged}
    assert [statuses[n] for n, outcome in enumerate(outcomes) if outcome != "cut"] == [
        outcome for outcome in outcomes if outcome != "cut"
    ]


def test_stream_of_empty_blocks_ends_when_its_client_leaves(serving, monkeypatch):
    monkeypatch.setattr(exchange, "LOOK_SECONDS", 0.05)
    closed = threading.Event()

    class Waiting:
        def __iter__(self):
            return self

        def __next__(self):
            time.sleep(0.01)
            return b""

        def close(self):
            closed.set()

    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        return Waiting()

    with serving(checked(app)) as server:
        with Client(server) as client:
            client.send(get())
            wait_until(lambda: server.running() == 1)
            assert not closed.is_set()
        assert closed.wait(5)
        wait_until(lambda: not server.snapshot().connections)


@pytest.mark.parametrize("path", ["/", "/stream", "/missing"])
def test_without_keep_alive_each_answer_announces_the_end(serving, path):
    def app(environ, start_response):
        start_response("404 Not Found" if path == "/missing" else "200 OK", [TEXT])
        return iter([b"app"]) if path == "/stream" else [b"app"]

    with serving(checked(app), keep_alive=0) as server, Client(server) as client:
        client.send(get(path) * 2)
        response = client.response()
        assert (response.headers["connection"], response.body) == ("close", b"app")
        assert client.rest() == b""


def test_environ_of_chunks_that_still_arrive_invents_no_length(serving):
    environs = []

    def app(environ, start_response):
        environs.append(environ.copy())
        start_response("200 OK", [TEXT])
        return [environ["wsgi.input"].read(-1)]

    with serving(checked(app)) as server, Client(server) as client:
        client.send(get("/", "Transfer-Encoding: chunked", "Expect: 100-continue", method="POST"))
        assert client.response().status == 100
        client.send(b"1\r\nx\r\n0\r\n\r\n")
        assert client.response().body == b"x"
    [environ] = environs
    assert "CONTENT_LENGTH" not in environ
    assert environ["HTTP_TRANSFER_ENCODING"] == "chunked"
