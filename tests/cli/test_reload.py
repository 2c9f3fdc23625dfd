"""``wsgiserve reload``, with a server that is this very process: it gets SIGHUP, and writes its status."""

from __future__ import annotations

import os
import signal

import pytest

from wsgiserve.cli.reload import EXIT_NOT_RELOADED
from wsgiserve.processes.pid_file import StatusFiles

BEFORE = {"state": "serving", "generation": 1, "latest": 1, "outcome": "serving", "reason": ""}


@pytest.fixture
def server(tmp_path):
    """Return ``server(*statuses)``: write them, one for each SIGHUP that comes."""
    files = StatusFiles(str(tmp_path / "pid"))
    files.begin()
    files.write(BEFORE)
    coming = []
    before = signal.signal(signal.SIGHUP, lambda number, frame: files.write(BEFORE | coming.pop(0)))
    yield coming.append
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def reload(command_line, tmp_path):
    return lambda *arguments: command_line("reload", "--pid-file", str(tmp_path / "pid"), *arguments)


def test_it_ends_once_the_new_generation_serves(server, reload):
    server({"generation": 2, "latest": 2, "outcome": "serving"})
    assert reload() == (0, "Generation 2 serves\n", "")


def test_what_takes_a_restart_is_printed(server, reload):
    server({"generation": 2, "latest": 2, "outcome": "serving", "unchanged": ["bind stays"]})
    assert reload() == (0, "Generation 2 serves\n", "wsgiserve: bind stays\n")


def test_a_reload_that_fails_prints_the_reason(server, reload):
    server({"latest": 2, "outcome": "failed", "reason": "Traceback: their bug"})
    said = "Traceback: their bug\nwsgiserve: not reloaded; generation 1 goes on serving\n"
    assert reload() == (EXIT_NOT_RELOADED, "", said)


@pytest.mark.parametrize("status", [{}, {"latest": 2, "outcome": ""}], ids=["not begun", "not over"])
def test_it_does_not_wait_for_ever(server, reload, status):
    server(status)
    said = "there was no outcome in 0.1 s\nwsgiserve: not reloaded; generation 1 goes on serving\n"
    assert reload("--wait", "0.1") == (EXIT_NOT_RELOADED, "", said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no server to reload: {path}: No such file or directory"),
        ("abc", "no server to reload: {path} names no process"),
        ("0", "no server to reload: {path} names no process"),
        (str(2**22 + 1), "no server to reload: the process that {path} names has ended"),
    ],
    ids=["missing", "words", "zero", "stale"],
)
def test_a_wrong_pid_file_is_one_plain_line(reload, tmp_path, content, said):
    path = tmp_path / "pid"
    if content is not None:
        path.write_text(content)
    assert reload() == (2, "", f"wsgiserve: {said.format(path=path)}\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may signal every process")
def test_a_server_of_another_user_is_one_plain_line(reload, tmp_path):
    (tmp_path / "pid").write_text("1")
    assert reload() == (
        2,
        "",
        f"wsgiserve: no server to reload: {tmp_path / 'pid'}: Operation not permitted\n",
    )
