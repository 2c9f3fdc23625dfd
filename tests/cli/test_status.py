"""``wsgiserve status``, of a real server and of what a server said."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys

import pytest

from tests.processes.ops.glass import glass
from tests.program import ROOT, without_coverage
from tests.server.client import SECONDS, wait_until
from wsgiserve.cli.status import CLEAR, age, fit, lines

REQUEST = {
    "pid": 12,
    "thread": "7f01",
    "age": 90.2,
    "phase": "app",
    "client": "192.0.2.1",
    "method": "GET",
    "path": "/\x9bslow",
    "id": "x1",
}
WORKER = {
    "pid": 12,
    "generation": 3,
    "state": "serving",
    "age": 200000.0,
    "memory": 64 << 20,
    "connections": 7,
    "busy": 1,
    "threads": 64,
    "waiting": 0,
}
STATUS = {
    "version": "0.1.0",
    "pid": 11,
    "state": "serving",
    "generation": 3,
    "reason": "",
    "workers": [WORKER],
    "requests": [REQUEST],
    "hidden": 0,
}


def test_a_status_is_two_tables():
    assert lines(STATUS) == [
        "serving, generation 3; 1 request is in flight",
        "",
        "WORKER  STATE    GEN  AGE      MEMORY  CONNS  BUSY     WAITING",
        "12      serving  3    2 d 7 h  64 MiB  7      1 of 64  0",
        "",
        "AGE         PHASE  WORKER  CLIENT     REQUEST",
        "1 min 30 s  app    12      192.0.2.1  GET /\\x9bslow [x1]",
    ]


def test_a_busy_worker_fits_into_80_columns():
    busy = {"pid": 4194303, "state": "retiring", "generation": 100, "age": 86340, "memory": 1000 << 20}
    numbers = {"connections": 20000, "busy": 128, "threads": 128, "waiting": 65536}
    assert max(map(len, lines(STATUS | {"workers": [WORKER | busy | numbers]}))) <= 80


def test_what_has_no_room_in_a_terminal_is_seen_to_be_cut():
    shown = ["a" * 20, "b" * 21, "c", "d"]
    assert fit(shown, 20, 4) == ["a" * 20, "b" * 17 + "...", "c", "d"]
    assert fit(shown, 80, 3) == [
        *shown[:2],
        "... and 2 more lines; a larger terminal shows them",
    ]
    assert fit(shown, 2, 0) == ["..."]


def test_what_else_there_is_to_say():
    request = REQUEST | {"method": "", "path": "", "id": "", "phase": "head"}
    status = STATUS | {"reason": "Traceback:\nNameError: x", "hidden": 2, "requests": [request]}
    said = lines(status | {"workers": [WORKER | {"memory": None}]})
    assert said[:2] == [
        "serving, generation 3; 3 requests are in flight",
        "the last reload failed: NameError: x",
    ]
    assert said[-2:] == ["1 min 30 s  head   12      192.0.2.1  (the head has not arrived)", "and 2 more"]
    assert lines(STATUS | {"requests": []})[0] == "serving, generation 3; 0 requests are in flight"
    assert len(lines(STATUS | {"requests": []})) == 4


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1 min 1 s"), (3700, "1 h 1 min"), (172800, "2 d 0 h")],
)
def test_ages(seconds, text):
    assert age(seconds) == text


@pytest.mark.slow
def test_a_server_is_shown_once_where_there_is_no_terminal(tmp_path, command_line):
    with glass(tmp_path, "--pid-file", "pid") as seen:
        seen.begin("/slow?secret")
        wait_until(lambda: seen.seen(path="/slow"))
        pid_file = str(tmp_path / "pid")
        code, out, err = command_line("status", "--pid-file", pid_file)
        assert (code, err) == (0, "")
        assert out.startswith("serving, generation 1; 1 request is in flight\n")
        assert out.endswith("  127.0.0.1  GET /slow\n")
        code, out, err = command_line("status", "--ops-bind", f"127.0.0.1:{seen.ops}", "--json")
        assert (code, err) == (0, "")
        assert [request["path"] for request in json.loads(out)["requests"]] == ["/slow"]
        code, out, err = command_line("stacks", "--pid-file", pid_file)
        assert (code, err) == (0, "")
        assert "GET /slow from 127.0.0.1" in out


@pytest.mark.slow
def test_in_a_terminal_it_is_shown_until_ctrl_c_also_while_nobody_answers(tmp_path):
    with (
        glass(tmp_path) as seen,
        terminal("status", "--ops-bind", f"127.0.0.1:{seen.ops}") as (process, read),
    ):
        read(until="0 requests are in flight")
        seen.begin("/slow")
        read(until="GET /slow")
        seen.let_go()
        read(until="0 requests are in flight")
        seen.program.stop()
        assert CLEAR in read(until="does not answer: Connection refused")
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0


class terminal:  # noqa: N801 - read as a function
    """Run a command in a terminal; yield it and ``read(until=text)``."""

    def __init__(self, *arguments):
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wsgiserve", *arguments],
            cwd=ROOT,
            env=without_coverage() | {"COLUMNS": "100", "LINES": "30"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)

    def __enter__(self):
        return self.process, self.read

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)

    def read(self, until):
        shown = b""
        while until.encode() not in shown:
            assert select.select([self.ours], [], [], SECONDS)[0], shown
            shown += os.read(self.ours, 65536)
        return shown.decode()
