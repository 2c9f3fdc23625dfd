"""Each request has one outcome, about which the client, the access log and the counters agree."""

from __future__ import annotations

import io
import json
import random
import re
import sys
import threading
import time
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.program import LOG_LINE
from tests.server.agreement import of_log, of_tally
from tests.server.apps import TEXT, answer, checked, fail
from tests.server.client import Client, get, wait_until
from tests.server.http.lone import Lone
from wsgiserve.server.access_log import AccessLog
from wsgiserve.server.http import exchange
from wsgiserve.server.scoreboard import make_board


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


# -- requests that end without the app

LIMITS = {"max_line": 200, "max_head": 1024, "max_fields": 10, "max_body": 1000}
CHUNKED = "Transfer-Encoding: chunked"


def records(log):
    """Return the records of a log in JSON; each line is one."""
    return [json.loads(line) for line in log.getvalue().splitlines()]


def told(record):
    """Return what a record says of the request: its method and path, or its line; its status; its end."""
    asked = record.get("wsgiserve.request_line", "")
    if "http.request.method" in record:
        asked = f"{record['http.request.method']} {record['url.path']}"
    return asked, record.get("http.response.status_code", 0), record["wsgiserve.end"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"nonsense\r\n\r\n", ("nonsense", 400, "refused"), id="400-line"),
        pytest.param(b"\x16\x03\x01", ("\x16\x03\x01", 400, "refused"), id="400-tls"),
        pytest.param(b"\r\n" * 9, ("", 400, "refused"), id="400-empty"),
        pytest.param(b"GET /a HTTP/1.1\r\n\r\n", ("GET /a", 400, "refused"), id="400-host"),
        pytest.param(b"GET /a HTTP/1.1\r\nA b\r\n\r\n", ("GET /a", 400, "refused"), id="400-field"),
        pytest.param(
            get("/a", CHUNKED, method="POST") + b"x\r\n", ("POST /a", 400, "refused"), id="400-chunk"
        ),
        pytest.param(
            get("/a", "Content-Length: 1001", method="POST"), ("POST /a", 413, "refused"), id="413"
        ),
        pytest.param(
            get("/a", CHUNKED, method="POST") + b"fff\r\n", ("POST /a", 413, "refused"), id="413-chunk"
        ),
        pytest.param(get("/" + "a" * 300), (f"GET /{'a' * 195}", 414, "refused"), id="414"),
        pytest.param(get("/a", "Expect: tea"), ("GET /a", 417, "refused"), id="417"),
        pytest.param(get("/a", *["A: b"] * 20), ("GET /a", 431, "refused"), id="431"),
        pytest.param(
            get("a:443", method="CONNECT"), ("CONNECT a:443 HTTP/1.1", 501, "refused"), id="501"
        ),
        pytest.param(b"GET /a HTTP/2.0\r\n\r\n", ("GET /a HTTP/2.0", 505, "refused"), id="505"),
        pytest.param(b"GET /a HTT", ("GET /a HTT", 400, "client left"), id="left-line"),
        pytest.param(b"GET /a HTTP/1.1\r\nHost:", ("GET /a", 400, "client left"), id="left-fields"),
        pytest.param(
            get("/a", "Content-Length: 9", method="POST") + b"1234", ("POST /a", 400, "client left"),
            id="left-body",
        ),
        pytest.param(get("/health"), ("GET /health", 200, "done"), id="health"),
        pytest.param(get("/health", method="PUT"), ("PUT /health", 405, "done"), id="health-405"),
    ],
)  # fmt: skip
def test_request_that_ends_before_the_app_has_a_line(data, expected):
    """Behind one that was served; and nothing more is said of either as the connection ends."""
    options = {"log_format": "json", "access_log": "-", "health_path": "/health", **LIMITS}
    with Lone(answer(b"app"), board=(board := make_board()), **options) as client:
        client.gateway.access_log = AccessLog(log := io.StringIO())
        assert client.ask(get("/first", "User-Agent: one")).body == b"app"
        client.send(data)
        client.half_close()
        answered = client.serve()
        client.connections.close()
        client.gateway.access_log.flush()
    first, record = records(log)
    assert told(first) == ("GET /first", 200, "done")
    assert answered.startswith(b"HTTP/1.1 %d " % expected[1])
    assert told(record) == expected
    assert "user_agent.original" not in record
    body = answered.partition(b"\r\n\r\n")[2]
    assert record["http.response.body.size"] == len(body)
    assert of_tally(board.tally) == of_log([first, record])


PIECES = [
    get("/a"),
    get("/b", "A: b", method="POST", body=b"xyz"),
    b"GET /a HTTP/1.1\r\n",
    b"\r\n",
    b"\n",
    b'"',
]
PIECES += [b"GET /\xff HTTP/1.1\r\n\r\n", b"Host: a\r\n", b"\0", b"x" * 9000, b"HTTP/1.1 200 OK\r\n"]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES) | st.binary(max_size=30), max_size=8),
    st.sampled_from(["json", "combined"]),
)
def test_whatever_a_client_sends_each_answer_has_one_line(pieces, format):
    with Lone(
        answer(b"app"), board=(board := make_board()), log_format=format, access_log="-", **LIMITS
    ) as client:
        client.gateway.access_log = AccessLog(log := io.StringIO())
        client.send(b"".join(pieces))
        client.half_close()
        answered = client.serve()
        client.connections.close()
        client.gateway.access_log.flush()
    lines = log.getvalue().splitlines()
    assert len(lines) == len(re.findall(rb"HTTP/1\.1 \d{3} ", answered))
    for line in lines:
        assert line.isascii()
        assert line.isprintable()
    if format == "json":
        assert of_tally(board.tally) == of_log(map(json.loads, lines))


def test_line_of_a_refusal_has_the_fields_if_they_were_read():
    with Lone(answer(b"app"), log_format="json", access_log="-", **LIMITS) as client:
        client.gateway.access_log = AccessLog(log := io.StringIO())
        client.send(get("/a", "User-Agent: me", "Content-Length: 9999", method="POST"))
        client.rest()
        client.gateway.access_log.flush()
    [record] = records(log)
    assert record["user_agent.original"] == "me"
    assert "http.request.body.size" not in record  # None of it has arrived.


def counting(server):
    """Have a server count; return its tally."""
    server.show_on(board := make_board())
    return board.tally


@pytest.mark.usefixtures("swift_sweeps")
@pytest.mark.parametrize(
    ("data", "asked"),
    [(b"GET /a HTTP/1.1\r\nHost: a", "GET /a"), (get("/a", "Content-Length: 9", method="POST"), "POST /a")],
    ids=["head", "body"],
)
def test_request_that_does_not_arrive_has_a_line(serving, monkeypatch, data, asked):
    monkeypatch.setattr(sys, "stdout", log := io.StringIO())
    options = {"access_log": "-", "log_format": "json", "head_timeout": 0.05, "stall_timeout": 0.05}
    server = serving(answer(b"app"), **options)
    tally = counting(server)
    with server, Client(server) as client:
        client.send(data)
        assert client.response().status == 408
    [record] = records(log)
    assert told(record) == (asked, 408, "timeout")
    assert of_tally(tally) == of_log([record])


@pytest.mark.slow
def test_a_call_that_hangs_behind_its_whole_response_is_done(serving, gate, monkeypatch):
    """Its thread is given up all the same."""
    monkeypatch.setattr(sys, "stdout", log := io.StringIO())

    class Hanging(list):
        def close(self):
            gate.opened.wait()

    def app(environ, start_response):
        start_response("200 OK", [TEXT, ("Content-Length", "6")])
        return Hanging([b"answer"])

    server = serving(app, access_log="-", log_format="json", request_timeout=0.1)
    tally = counting(server)
    with server, Client(server) as client:
        assert client.ask(get("/a")).body == b"answer"
        wait_until(lambda: server.snapshot().lost == 1)
        gate.opened.set()
        wait_until(lambda: records(log))
    assert [told(record) for record in records(log)] == [("GET /a", 200, "done")]
    assert of_tally(tally) == of_log(records(log))


def test_requests_that_a_stop_cuts_have_a_line(serving, gate, monkeypatch):
    """One in the app, one that waits for a thread, one whose body and one whose head is arriving."""
    monkeypatch.setattr(sys, "stdout", log := io.StringIO())
    options = {"access_log": "-", "log_format": "json", "threads": 1}
    server = serving(checked(gate), **options)
    tally = counting(server)
    with ExitStack() as stack, server:
        clients = [stack.enter_context(Client(server)) for _ in range(4)]
        clients[0].send(get("/slow"))
        wait_until(lambda: gate.inside)
        clients[1].send(get("/waits"))
        clients[2].send(get("/body", "Content-Length: 9", method="POST"))
        clients[3].send(b"GET /head HTTP/1.1\r\n")
        connections = server._loop.connections
        wait_until(lambda: server.snapshot().queued == 1)
        wait_until(lambda: sum(one.receiver.begun for one in connections.by_fd.values()) == 2)
        server.stop(hurry=True)
        wait_until(lambda: len(records(log)) == 4)
        gate.opened.set()
    assert sorted(map(told, records(log))) == [
        ("GET /head", 0, "cut"),
        ("GET /slow", 0, "cut"),
        ("GET /waits", 503, "shed"),
        ("POST /body", 0, "cut"),
    ]
    assert of_tally(tally) == of_log(records(log))


def leaves_in_the_app(server, client, gate):
    client.send(get("/slow"))
    wait_until(lambda: gate.inside)
    client.reset()
    gate.opened.set()


def leaves_as_it_waits(server, client, gate):
    with Client(server) as other:
        other.send(get("/slow"))
        wait_until(lambda: gate.inside)
        client.send(get("/waits"))
        wait_until(lambda: server.snapshot().queued)
        client.reset()
        gate.opened.set()
        assert other.response().status == 200


def leaves_as_it_reads(server, client, gate):
    client.send(get("/large"))
    client.sock.recv(10)
    client.reset()


def takes_nothing(server, client, gate):
    client.send(get("/large"))


def reads_no_stream(server, client, gate):
    client.send(get("/stream"))


def gets_too_little(server, client, gate):
    client.send(get("/short"))
    assert client.rest().endswith(b"abc")


def sees_an_error_in_the_middle(server, client, gate):
    client.send(get("/breaks"))
    client.rest()


def sends_too_much(server, client, gate):
    client.send(get("/reads", "Transfer-Encoding: chunked", "Expect: 100-continue", method="POST"))
    assert client.response().status == 100
    client.send(b"7d1\r\n" + b"x" * 2001 + b"\r\n0\r\n\r\n")
    assert client.response().status == 413


def stops_in_its_body(server, client, gate):
    client.send(get("/reads", "Expect: 100-continue", "Content-Length: 9", method="POST"))
    assert client.response().status == 100
    assert client.response().status == 408


def leaves_in_its_body(server, client, gate):
    client.send(get("/reads", "Expect: 100-continue", "Content-Length: 9", method="POST"))
    assert client.response().status == 100
    client.reset()


HUGE = 1 << 24  # bytes, which no socket keeps for a client that does not read
WAYS = {
    leaves_in_the_app: "client left",
    leaves_as_it_waits: "client left",
    leaves_as_it_reads: "client left",
    takes_nothing: "timeout",
    reads_no_stream: "timeout",
    gets_too_little: "cut",
    sees_an_error_in_the_middle: "cut",
    sends_too_much: "refused",
    stops_in_its_body: "timeout",
    leaves_in_its_body: "client left",
}


@pytest.mark.slow
@pytest.mark.usefixtures("swift_sweeps")
@pytest.mark.parametrize("format", ["json", "combined", ""])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_ends_in_any_way_is_counted_as_its_line_says(serving, gate, monkeypatch, way, format):
    """Without an access log the counts are the same."""

    def app(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/reads":
            environ["wsgi.input"].read()
        if path in ("/slow", "/waits"):
            return gate(environ, start_response)
        start_response("200 OK", [TEXT, ("Content-Length", str(HUGE))])
        if path == "/stream":
            return iter([bytes(HUGE // 2)] * 2)
        return breaking() if path == "/breaks" else [b"abc" if path == "/short" else bytes(HUGE)]

    def breaking():
        yield b"abc"
        fail()

    monkeypatch.setattr(sys, "stdout", log := io.StringIO())
    options = {"access_log": "-" if format else False, "log_format": format or "json", "threads": 1}
    server = serving(app, **options, stall_timeout=0.1, max_body=2000)
    tally = counting(server)
    with server, Client(server, receive_buffer=4096) as client:
        way(server, client, gate)
        wait_until(lambda: of_tally(tally)[1] == {WAYS[way]: 1})
        wait_until(lambda: not server.snapshot().running)
    requests, ends = of_tally(tally)
    assert ends == {WAYS[way]: 1}
    if format == "json":
        assert (requests, ends) == of_log(records(log))
    elif format:
        assert len(log.getvalue().splitlines()) == requests.total()


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
