"""The access log: its lines, and what becomes of them when they cannot be written."""

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
from wsgiserve.server.access_log import MAX_WRITE, AccessLog

LINE = re.compile(
    r'(\S+) - (\S+) \[\d\d/[A-Z][a-z]{2}/\d{4}:[^]]+\] "([^"]*)" (\d+) (\d+) "[^"]*" "[^"]*" \d+\n'
)


def test_user_whom_the_app_has_authenticated_is_in_the_log(serving, monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream := io.StringIO())

    def app(environ, start_response):
        environ["REMOTE_USER"] = 'ann "b"'
        start_response("200 OK", [TEXT])
        return [b"."]

    with serving(checked(app), access_log=True) as server, Client(server) as client:
        client.ask(get())
    assert ' - ann\\x20\\"b\\" [' in stream.getvalue()


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


def test_access_log_of_the_library_goes_to_standard_output(serving, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with serving(checked(answer(b"hello")), access_log=True) as server, Client(server) as client:
        for number in range(5):
            client.ask(get(f"/{number}"))
    matches = [LOG_LINE.fullmatch(line) for line in stream.getvalue().splitlines(keepends=True)]
    assert [match["request"] for match in matches] == [f"GET /{number} HTTP/1.1" for number in range(5)]
