"""What the log of requests says: times of the parts, and why each request ended."""

from __future__ import annotations

import io
import json
import time

import pytest

from tests.server.apps import LARGE, TEXT, answer, checked, fail, generator
from tests.server.client import Client, get, wait_until
from tests.server.conftest import UncheckedConfig
from tests.server.http.lone import Lone
from wsgiserve.server import access_log
from wsgiserve.server.access_log import AccessLog
from wsgiserve.server.http.exchange import Exchange
from wsgiserve.server.http.gateway import Gateway
from wsgiserve.server.http.recorded import RecordedExchange, exchange_type


@pytest.fixture
def log(monkeypatch):
    """Return ``lines()``: the lines of a server's access log as objects, once there are so many."""
    stream = io.StringIO()
    monkeypatch.setattr(access_log, "_kept", stream)

    def lines(count=1):
        wait_until(lambda: len(stream.getvalue().splitlines()) >= count)
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    lines.stream = stream

    return lines


JSON = {"access_log": "-", "log_format": "json"}


def ends(lines):
    return [(line["http.response.status_code"], line["wsgiserve.end"]) for line in lines]


def test_only_a_log_that_needs_it_has_records(monkeypatch):
    monkeypatch.setattr("sys.stdout", io.StringIO())
    for options, kind in [
        ({}, Exchange),
        ({"access_log": ""}, Exchange),
        ({"log_format": "json"}, RecordedExchange),
        ({"log_skip": ("/x",)}, RecordedExchange),
        ({"log_sample": 2}, RecordedExchange),
        ({"access_log": "", "log_format": "json"}, Exchange),
    ]:
        gateway = Gateway(answer(b"."), UncheckedConfig(**{"access_log": "-", **options}))
        assert exchange_type(gateway) is kind


def test_times_of_the_parts_add_up(log):
    def app(environ, start_response):
        time.sleep(0.02)
        start_response("200 OK", [TEXT])
        yield b"a"
        time.sleep(0.02)

    with Lone(app, **JSON) as client:
        assert client.ask(get()).body == b"a"
        client.gateway.access_log.flush()
    [line] = log()
    first, whole = line["wsgiserve.first_byte.duration"], line["http.server.request.duration"]
    assert 0.02 <= first <= whole - 0.02
    assert 0.04 <= line["wsgiserve.app.duration"] <= whole
    assert line["wsgiserve.wait.duration"] + line["wsgiserve.app.duration"] == pytest.approx(whole, abs=2e-6)


@pytest.mark.parametrize(
    ("body", "fields"),
    [(b"x" * 7, ["Content-Length: 7"]), (b"4\r\nabcd\r\n0\r\n\r\n", ["Transfer-Encoding: chunked"])],
    ids=["length", "chunked"],
)
def test_bytes_of_the_body_are_counted(log, body, fields):
    def app(environ, start_response):
        environ["wsgi.input"].read(100)
        environ["REMOTE_USER"] = "ann"
        start_response("200 OK", [TEXT])
        return [b"hello"]

    with Lone(app, **JSON) as client:
        client.ask(get("/", *fields, method="POST") + body)
        client.gateway.access_log.flush()
    [line] = log()
    assert line["http.request.body.size"] == (7 if len(body) == 7 else len(body))
    assert (line["http.response.body.size"], line["user.name"]) == (5, "ann")


def test_an_answer_to_an_error_of_the_app_is_a_whole_one(log):
    with Lone(lambda environ, start_response: fail(), **JSON) as client:
        assert client.ask(get()).status == 500
        client.gateway.access_log.flush()
    [line] = log()
    assert ends([line]) == [(500, "done")]
    assert line["wsgiserve.first_byte.duration"] > 0


@pytest.mark.parametrize(
    "app",
    [
        answer(b"a", fail, kind=generator),
        answer(b"a", headers=(TEXT, ("Content-Length", "5")), kind=generator),
    ],
    ids=["raises", "too short"],
)
def test_a_response_that_is_incomplete_is_cut(log, app):
    with Lone(app, **JSON) as client:
        client.send(get())
        client.serve()
        client.gateway.access_log.flush()
    assert ends(log()) == [(200, "cut")]


def test_a_body_that_is_wrong_is_refused(log):
    def app(environ, start_response):
        environ["wsgi.input"].read()
        return []

    with Lone(app, bare=True, **JSON) as client:
        head = get("/", "Transfer-Encoding: chunked", method="POST")
        client.send(head + b"%x\r\n%b\r\nnonsense\r\n" % (LARGE, bytes(LARGE)))
        client.serve()
        client.gateway.access_log.flush()
    assert ends(log()) == [(400, "refused")]


def test_a_client_that_leaves_is_told_from_one_that_is_slow(serving, log, swift_sweeps):
    app = answer(b"x" * (20 * LARGE))
    with serving(checked(app), stall_timeout=0.2, min_rate=0, **JSON) as server:
        with Client(server) as client:
            client.send(get("/left"))
            client.sock.recv(1)
            client.reset()
        log(1)
        with Client(server) as client:
            client.send(get("/slow"))
            log(2)
    lines = log(2)
    assert [(line["url.path"], line["wsgiserve.end"]) for line in lines] == [
        ("/left", "client left"),
        ("/slow", "timeout"),
    ]
    assert all(line["http.response.body.size"] < 20 * LARGE for line in lines)


def test_a_call_that_is_given_up_is_a_timeout(serving, gate, log):
    with serving(checked(gate), request_timeout=0.05, **JSON) as server, Client(server) as client:
        assert client.ask(get("/slow")).status == 504
        [line] = log()
        gate.opened.set()
    assert ends([line]) == [(504, "timeout")]
    assert line["wsgiserve.app.duration"] >= 0.05


def test_a_request_that_no_thread_could_take_is_shed(serving, gate, log):
    with serving(checked(gate), threads=1, max_queue=0, **JSON) as server:
        with Client(server) as slow, Client(server) as client:
            slow.send(get("/slow"))
            wait_until(lambda: server.running() == 1)
            assert client.ask(get("/shed")).status == 503
            [line] = log()
            gate.opened.set()
            assert slow.response().status == 200
        lines = log(2)
    assert ends(lines) == [(503, "shed"), (200, "done")]
    assert line["wsgiserve.app.duration"] == 0


def test_skipped_paths_have_no_line_and_repeated_requests_are_remembered(log):
    app = answer(b".")
    with Lone(app, access_log="-", log_skip=("/health",)) as client:
        for path in ("/health", "/health", "/a", "/a"):
            client.ask(get(path))
        gateway = client.gateway
        gateway.access_log.flush()
        assert isinstance(gateway.access_log, AccessLog)
    assert [line.split()[6] for line in log.stream.getvalue().splitlines()] == ["/a", "/a"]
