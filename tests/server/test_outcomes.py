"""Each call has one outcome, which the client and the access log agree about."""

from __future__ import annotations

import io
import logging
import os
import random
import re
import sys
import threading
import time
from contextlib import ExitStack

import pytest

from tests.server.apps import TEXT, checked, connections
from tests.server.client import Client, get, wait_until
from wsgiserve.server.access_log import MAX_WRITE, AccessLog

LINE = re.compile(
    r'(\S+) - (\S+) \[\d\d/[A-Z][a-z]{2}/\d{4}:[^]]+\] "([^"]*)" (\d+) (\d+) "[^"]*" "[^"]*" \d+\n'
)


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
    with serving(checked(app), request_timeout=0.05, access_log=True) as server:
        for number in range(150):
            with Client(server) as client:
                client.send(get(f"/{number}?{chance.uniform(0.045, 0.056)}"))
                try:
                    outcomes.append(client.response().status)
                except ConnectionResetError:
                    outcomes.append("cut")
        wait_until(lambda: not server.snapshot().lost)
    assert len(outcomes) == 150
    assert {200, 504} <= set(outcomes) <= {200, 504, "cut"}
    logged = [LINE.fullmatch(line) for line in stream.getvalue().splitlines(keepends=True)]
    assert len(logged) == 150
    statuses = {int(line[3].split()[1][1:].partition("?")[0]): int(line[4]) for line in logged}
    assert [statuses[n] for n, outcome in enumerate(outcomes) if outcome != "cut"] == [
        outcome for outcome in outcomes if outcome != "cut"
    ]


def test_stream_of_empty_blocks_ends_when_its_client_leaves(serving):
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
        wait_until(lambda: not connections(server))


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


def test_user_whom_the_app_has_authenticated_is_in_the_log(serving, monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream := io.StringIO())

    def app(environ, start_response):
        environ["REMOTE_USER"] = 'ann "b"'
        start_response("200 OK", [TEXT])
        return [b"."]

    with serving(checked(app), access_log=True) as server, Client(server) as client:
        client.ask(get())
    assert ' - ann\\x20\\"b\\" [' in stream.getvalue()


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


# -- the access log and its sink


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
            log.tick(time.time())
            for _ in range(50):
                for number in range(300):
                    log.add(name, "-", f"{'x' * (number % 90)} ", time.time())
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


def test_line_is_never_longer_than_a_write(serving, monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream := io.StringIO())

    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        return [b"."]

    with serving(checked(app), access_log=True) as server, Client(server) as client:
        client.ask(get("/" + "p" * 8000, "User-Agent: " + "\xff" * 9000, "Referer: " + '"' * 9000))
    [line] = stream.getvalue().splitlines(keepends=True)
    assert len(line) <= MAX_WRITE
    assert LINE.fullmatch(line.replace('\\"', "q")), line


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full disk")
def test_log_goes_on_when_there_is_room_again_and_tells_what_was_lost(tmp_path, caplog):
    with open("/dev/full", "w") as full, open(tmp_path / "log", "w") as good:
        descriptor = os.dup(full.fileno())
        log = AccessLog(os.fdopen(descriptor, "w"))
        log.tick(0)
        for _ in range(3):
            log.add("one", "-", "x ", time.time())
            log.flush()
        assert not caplog.records
        os.dup2(good.fileno(), descriptor)
        log.add("two", "-", "x ", time.time())
        with caplog.at_level(logging.WARNING, "wsgiserve"):
            log.flush()
        log._stream.close()
    assert (tmp_path / "log").read_text().splitlines()[-1].startswith("two - - [")
    assert re.fullmatch(r"\d lines of the access log could not be written", caplog.messages[0])


def test_app_that_redirects_standard_output_for_itself_gets_no_lines(serving, monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream := io.StringIO())
    caught = io.StringIO()

    def app(environ, start_response):
        sys.stdout = caught  # as contextlib.redirect_stdout does
        start_response("200 OK", [TEXT])
        return [b"."]

    with serving(checked(app), access_log=True) as server, Client(server) as client:
        for _ in range(3):
            client.ask(get())
    assert caught.getvalue() == ""
    assert len(stream.getvalue().splitlines()) == 3
