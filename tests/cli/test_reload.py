"""``wsgiserve reload``, with a server that is this very process: it gets SIGHUP, and writes its status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

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


def test_the_pid_file_is_that_of_the_file_in_this_folder(server, command_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    (tmp_path / "wsgiserve.toml").write_text('pid_file = "pid"\n')
    server({"generation": 2, "latest": 2, "outcome": "serving"})
    assert command_line("reload") == (0, "Generation 2 serves\n", "")
    (tmp_path / "wsgiserve.toml").write_text('pid-file = "pid"\n')
    code, _, err = command_line("reload")
    assert code == 2
    assert err.startswith("wsgiserve: wsgiserve.toml: pid-file is no option; did you mean pid_file?")


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


def test_a_server_of_another_user_is_one_plain_line(command_line, another_user):
    with tempfile.TemporaryDirectory() as folder:  # Others may not look into ``tmp_path``.
        os.chmod(folder, 0o755)
        path = Path(folder, "pid")
        path.write_text(str(another_user))
        done = command_line("reload", "--pid-file", str(path))
    assert done == (2, "", f"wsgiserve: no server to reload: {path}: Operation not permitted\n")


@pytest.fixture
def another_user():
    """Be a user who may not signal a process; return its id."""
    if os.geteuid():
        yield 1
        return
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        os.setresuid(65534, 65534, 0)
        yield process.pid
        os.setresuid(0, 0, 0)
        process.communicate(b"\n")
    assert process.returncode == 0
