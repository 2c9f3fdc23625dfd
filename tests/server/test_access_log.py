"""The access log: lines that no client can forge, and lines that cannot be written."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import threading
import time
from contextlib import ExitStack

import pytest

from tests.program import LOG_LINE
from tests.server.apps import TEXT, answer, checked
from tests.server.client import Client, get
from tests.server.http.lone import Lone
from wsgiserve.server.access_log import MAX_LINES, MAX_SECONDS, MAX_WRITE, AccessLog


def lines(app, *requests):
    """Return the lines that a client's requests leave in the log."""
    with Lone(app) as client:
        client.gateway.access_log = log = AccessLog(stream := io.StringIO())
        log.tick(time.time())
        for request in requests:
            client.ask(request)
        log.flush()
    return stream.getvalue().splitlines(keepends=True)


HELLO = answer(b"hello")


# -- lines


def test_line_is_in_the_combined_format():
    [line] = lines(HELLO, get("/a?b=%20", "Referer: http://r/", "User-Agent: me"))
    match = LOG_LINE.fullmatch(line)
    assert match.groupdict() == {
        "request": "GET /a?b=%20 HTTP/1.1",
        "status": "200",
        "size": "5",
        "referer": "http://r/",
        "agent": "me",
    }


@pytest.mark.parametrize(
    ("request_bytes", "request_line", "size"),
    [
        (get(method="HEAD"), "HEAD / HTTP/1.1", "0"),
        (get(minor=0), "GET / HTTP/1.0", "5"),
        (get("http://test/x"), "GET http://test/x HTTP/1.1", "5"),
    ],
    ids=["HEAD", "1.0", "absolute"],
)
def test_line_has_the_request_as_sent_and_the_bytes_of_the_body(request_bytes, request_line, size):
    [line] = lines(HELLO, request_bytes)
    match = LOG_LINE.fullmatch(line)
    assert match.group("request", "size", "referer", "agent") == (request_line, size, "-", "-")


def test_client_cannot_forge_a_field_or_a_line():
    fields = ['User-Agent: a" 200 5 "b\\', "Referer: \xe9\x80\xff"]
    [line] = lines(HELLO, get('/"\\', *fields))
    assert r'"GET /\"\\ HTTP/1.1" 200 5 "\xe9\x80\xff" "a\" 200 5 \"b\\" ' in line


def test_equal_requests_have_equal_lines_and_others_have_not():
    def app(environ, start_response):
        start_response("200 OK" if environ["PATH_INFO"] != "/no" else "404 No", [TEXT])
        return [b"x" * int(environ["QUERY_STRING"] or 0)]

    paths = ["/a?1", "/a?1", "/a?2", "/no?1", "/a?1"]
    seen = [LOG_LINE.fullmatch(line) for line in lines(app, *map(get, paths))]
    assert [match.group("request", "status", "size") for match in seen] == [
        (f"GET {path} HTTP/1.1", "404" if "no" in path else "200", path[-1]) for path in paths
    ]


def test_time_of_the_request_in_microseconds(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 1000.5)
    log = AccessLog(stream := io.StringIO())
    log.tick(1000)
    log.add("1.2.3.4", "-", '"GET / HTTP/1.1" 200 5 "-" "-" ', 1000.25)
    log.flush()
    local = time.strftime("%d/Jan/1970:%H:%M:%S %z", time.localtime(1000))
    assert stream.getvalue() == f'1.2.3.4 - - [{local}] "GET / HTTP/1.1" 200 5 "-" "-" 250000\n'


def test_user_whom_the_app_has_authenticated_is_in_the_line():
    def app(environ, start_response):
        environ["REMOTE_USER"] = 'ann "b"'
        start_response("200 OK", [TEXT])
        return [b"."]

    [line] = lines(app, get())
    assert ' - ann\\x20\\"b\\" [' in line


def test_line_is_never_longer_than_a_write():
    fields = ["User-Agent: " + "\xff" * 9000, "Referer: " + '"' * 9000]
    [line] = lines(HELLO, get("/" + "p" * 8000, *fields))
    assert len(line) <= MAX_WRITE
    assert LOG_LINE.fullmatch(line.replace('\\"', "q")), line


# -- writing


def test_lines_are_written_when_they_are_many_or_have_waited(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    log = AccessLog(io.StringIO())
    log.add("one", "-", "x ", 0)
    log.flush()
    assert not log.pending
    log.add("one", "-", "x ", 0)
    assert (log.pending, log.is_due()) == (True, False)
    clock[0] += MAX_SECONDS
    assert log.is_due()
    clock[0] -= MAX_SECONDS
    for _ in range(MAX_LINES):
        log.add("one", "-", "x ", 0)
    assert log.is_due()


def test_lines_of_several_writers_never_mix():
    """Each write is whole lines, and as many bytes at the most as a pipe takes at once."""
    reading, writing = os.pipe()
    got = bytearray()
    reader = threading.Thread(
        target=lambda: [got.extend(data) for data in iter(lambda: os.read(reading, 1 << 20), b"")]
    )
    reader.start()
    with ExitStack() as stack:
        logs = [AccessLog(stack.enter_context(os.fdopen(os.dup(writing), "w"))) for _ in range(4)]
        os.close(writing)

        def write(name, log):
            log.tick(time.monotonic())
            for _ in range(50):
                for number in range(300):
                    log.add(name, "-", f"{'x' * (number % 90)} ", time.monotonic())
                log.flush()

        writers = [threading.Thread(target=write, args=(f"w{i}", log)) for i, log in enumerate(logs)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
    reader.join()
    os.close(reading)
    lines = got.decode().splitlines()
    assert len(lines) == 4 * 50 * 300
    assert all(re.fullmatch(r"w\d - - \[[^]]+\] x* \d+", line) for line in lines)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full disk")
def test_log_goes_on_when_there_is_room_again_and_tells_what_was_lost(tmp_path, caplog):
    with open("/dev/full", "w") as full, open(tmp_path / "log", "w") as good:
        descriptor = os.dup(full.fileno())
        log = AccessLog(os.fdopen(descriptor, "w"))
        log.tick(0)
        for _ in range(3):
            log.add("one", "-", "x ", time.monotonic())
            log.flush()
        assert not caplog.records
        os.dup2(good.fileno(), descriptor)
        log.add("two", "-", "x ", time.monotonic())
        with caplog.at_level(logging.WARNING, "wsgiserve"):
            log.flush()
        log._stream.close()
    assert (tmp_path / "log").read_text().splitlines()[-1].startswith("two - - [")
    assert re.fullmatch(r"\d lines of the access log could not be written", caplog.messages[0])


@pytest.mark.parametrize("stream", ["none", "closed", "broken pipe"])
def test_log_that_nobody_reads_is_no_failure(monkeypatch, stream):
    monkeypatch.setattr(sys, "stdout", None)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        given = {"none": None, "closed": io.StringIO(), "broken pipe": pipe}[stream]
        log = AccessLog(given)
        if stream == "closed":
            given.close()
        for _ in range(2):
            log.add("one", "-", "x ", 0)
            log.flush()
            assert not log.pending


def test_app_that_redirects_standard_output_for_itself_gets_no_lines(monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream := io.StringIO())
    caught = io.StringIO()

    def app(environ, start_response):
        sys.stdout = caught  # as contextlib.redirect_stdout does
        start_response("200 OK", [TEXT])
        return [b"."]

    with Lone(app, access_log=True) as client:
        for _ in range(3):
            client.ask(get())
            client.gateway.access_log.flush()
    assert caught.getvalue() == ""
    assert len(stream.getvalue().splitlines()) == 3


def test_access_log_of_the_library_goes_to_standard_output(serving, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with serving(checked(answer(b"hello")), access_log=True) as server, Client(server) as client:
        for number in range(5):
            client.ask(get(f"/{number}"))
    matches = [LOG_LINE.fullmatch(line) for line in stream.getvalue().splitlines(keepends=True)]
    assert [match["request"] for match in matches] == [f"GET /{number} HTTP/1.1" for number in range(5)]
