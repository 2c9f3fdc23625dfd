"""The pid file and the status file beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.processes.programs import serving, who
from tests.server.client import wait_until
from wsgiserve.processes.pid_file import StatusFiles, read_pid, read_status

STATUS = {"state": "serving", "generation": 1}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "pid")


@pytest.fixture
def other():
    """Another process that runs."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    with process:
        yield process.pid
        process.kill()


def test_both_files_from_start_to_end(path, tmp_path):
    files = StatusFiles(path)
    files.begin()
    assert (tmp_path / "pid").read_text() == f"{os.getpid()}\n"
    files.write(STATUS)
    assert json.loads((tmp_path / "pid.status").read_text()) == {"pid": os.getpid(), **STATUS}
    assert (read_pid(path), read_status(path)) == (os.getpid(), {"pid": os.getpid(), **STATUS})
    files.end()
    assert list(tmp_path.iterdir()) == []


def test_a_status_is_written_when_it_changes(path, tmp_path):
    files = StatusFiles(path)
    files.write(STATUS)
    os.unlink(path + ".status")
    files.write(dict(STATUS))
    assert list(tmp_path.iterdir()) == []
    files.write({**STATUS, "generation": 2})
    assert read_status(path)["generation"] == 2


def test_a_path_is_meant_from_the_folder_of_the_start(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = StatusFiles("pid")
    monkeypatch.chdir("/")
    files.begin()
    assert read_pid(path) == os.getpid()


def test_a_pid_file_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        StatusFiles(str(tmp_path / "none" / "pid")).begin()


def test_a_status_that_cannot_be_written_is_logged_once_and_written_when_it_can_be(tmp_path, log):
    files = StatusFiles(str(tmp_path / "none" / "pid"))
    files.write(STATUS)
    files.write(STATUS)
    assert len(log.messages) == 1
    assert log.messages[0].startswith("cannot write the status, which is tried again: ")
    (tmp_path / "none").mkdir()
    files.write(STATUS)
    assert read_status(files.path)["state"] == STATUS["state"]


def test_a_failed_write_leaves_no_draft(tmp_path):
    (tmp_path / "pid").mkdir()
    with pytest.raises(IsADirectoryError):
        StatusFiles(str(tmp_path / "pid")).begin()
    assert [path.name for path in tmp_path.iterdir()] == ["pid"]


def test_a_check_says_what_begin_would_and_leaves_nothing(tmp_path):
    StatusFiles(str(tmp_path / "pid")).check()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "pid").mkdir()
    with pytest.raises(IsADirectoryError):
        StatusFiles(str(tmp_path / "pid")).check()
    with pytest.raises(FileNotFoundError):
        StatusFiles(str(tmp_path / "none" / "pid")).check()


def test_the_files_of_a_server_that_has_ended_are_taken_over_silently(path, log, tmp_path):
    (tmp_path / "pid").write_text(f"{2**22 + 1}\n")
    StatusFiles(path).begin()
    assert (read_pid(path), log.messages) == (os.getpid(), [])


def test_the_file_of_a_server_that_runs_is_taken_over_and_logged(path, other, log, tmp_path):
    (tmp_path / "pid").write_text(f"{other}\n")
    StatusFiles(path).begin()
    assert read_pid(path) == os.getpid()
    assert log.messages == [f"{path} named the process {other}, which still runs; now it names this one"]


def test_files_that_another_server_has_written_since_stay(path, other, tmp_path):
    files = StatusFiles(path)
    files.begin()
    files.write(STATUS)
    (tmp_path / "pid").write_text(f"{other}\n")
    (tmp_path / "pid.status").write_text(json.dumps({"pid": other}))
    files.end()
    assert (read_pid(path), read_status(path)) == (other, {"pid": other})


def test_files_that_are_gone_at_the_end_are_no_harm(path, tmp_path):
    files = StatusFiles(path)
    files.end()
    (tmp_path / "pid").write_text("words")
    files.end()
    assert (tmp_path / "pid").read_text() == "words"


@pytest.mark.parametrize("content", ["", "words", "0", "-5"])
def test_a_pid_file_without_a_process_id(path, tmp_path, content):
    (tmp_path / "pid").write_text(content)
    with pytest.raises(ValueError, match=r"invalid literal|is no process id"):
        read_pid(path)


@pytest.mark.parametrize("content", [None, "", "{", "[1]"])
def test_a_status_that_cannot_be_read_is_empty(path, tmp_path, content):
    if content is not None:
        (tmp_path / "pid.status").write_text(content)
    assert read_status(path) == {}


@pytest.mark.slow
def test_two_servers_with_one_pid_file(folder):
    """The second takes it over, and neither leaves a file behind."""
    pid_file = folder / "pid"
    with serving(folder, "app", "--pid-file", str(pid_file)) as (first, port):
        with serving(folder, "app", "--pid-file", str(pid_file)) as (second, _):
            assert int(pid_file.read_text()) == second.process.pid
            os.kill(first.process.pid, signal.SIGTTIN)  # It writes its status, now beside another's id.
            wait_until(lambda: json.loads((folder / "pid.status").read_text())["pid"] == first.process.pid)
            assert who(port)
            code, _, err = second.stop()
            assert code == 0
            assert f"named the process {first.process.pid}, which still runs; now it names this one" in err
        assert first.stop()[0] == 0
    assert not list(folder.glob("pid*"))
