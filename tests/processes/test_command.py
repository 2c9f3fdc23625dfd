"""The command ``wsgiserve MODULE:NAME``: which processes it is made of."""

from __future__ import annotations

import json
import os
import re
import signal

import pytest

from tests.processes.programs import WITHOUT_FORK, all_workers, new_version, serving, who, workers
from tests.program import FREE_PORT, Program
from tests.server.client import wait_until
from wsgiserve.config import make_config
from wsgiserve.processes import command
from wsgiserve.processes.command import processors, run_command
from wsgiserve.processes.handover import VARIABLE, environment


def test_processors_are_those_that_this_process_may_use():
    assert 1 <= processors() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("150000 100000", 2), ("50000 100000", 1), ("9900000 100000", 4), ("max 100000", 4)],
)
def test_a_control_group_may_allow_fewer_processors(monkeypatch, tmp_path, limit, expected):
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    monkeypatch.setattr(command, "open", lambda path: (tmp_path / "cpu.max").open(), raising=False)
    assert processors() == expected


def no_app(config):
    pytest.fail("a supervisor imports no app")


def no_reload():
    pytest.fail("there is no reload")


def test_a_trial_ends_where_it_would_listen(monkeypatch):
    monkeypatch.setenv(VARIABLE, environment("trial", 1)[VARIABLE])
    with pytest.raises(SystemExit) as ended:
        run_command(no_app, make_config(bind="256.0.0.1:0"), no_reload)
    assert ended.value.code == 0


def test_a_pid_file_that_cannot_be_written_ends_it(monkeypatch, tmp_path, capsys):
    config = make_config(bind="127.0.0.1:0", pid_file=str(tmp_path / "none" / "pid"))
    with pytest.raises(SystemExit) as ended:
        run_command(no_app, config, no_reload)
    assert ended.value.code == 2
    said = f"wsgiserve: --pid-file: cannot write {config.pid_file}: No such file or directory\n"
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize(
    ("arguments", "env", "count"),
    [
        pytest.param([], {"WEB_CONCURRENCY": "3"}, 3, marks=pytest.mark.slow),
        ([], {"WEB_CONCURRENCY": "3", "WSGISERVE_WORKERS": "2"}, 2),
        pytest.param(["--workers", "auto"], {"WEB_CONCURRENCY": "5"}, processors(), marks=pytest.mark.slow),
    ],
    ids=["WEB_CONCURRENCY", "WSGISERVE_WORKERS", "auto"],
)
def test_how_many_workers(folder, arguments, env, count):
    pid_file = str(folder / "pid")
    with serving(folder, "app", "--pid-file", pid_file, *arguments, env=env) as (program, _):
        assert len(json.loads((folder / "pid.status").read_text())["workers"]) == count
        assert int((folder / "pid").read_text()) == program.process.pid
        assert program.stop()[0] == 0
    assert not list(folder.glob("pid*"))


def test_no_workers_is_this_process(folder):
    with serving(folder, "app", "--workers", "0") as (program, port):
        assert who(port)[0] == program.process.pid
        assert program.stop()[0] == 0
    pid = program.process.pid
    assert (folder / "notes").read_text() == f"startup {pid}\nshutdown {pid}\n"


def test_one_worker_is_this_process_where_there_is_no_fork(folder):
    with serving(folder, "app", command=("-c", WITHOUT_FORK)) as (program, port):
        assert who(port)[0] == program.process.pid
        assert program.stop()[0] == 0


@pytest.mark.slow
def test_workers_are_started_anew_where_there_is_no_fork(folder):
    arguments = ("app", "--workers", "2")
    with serving(folder, *arguments, command=("-c", WITHOUT_FORK)) as (program, port):
        before = all_workers(port, 2)
        os.kill(min(before), signal.SIGKILL)
        wait_until(lambda: len(workers(port) - {min(before)}) == 2)
        new_version(folder, "v2")
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: who(port)[2] == "v2")
        code, _, err = program.stop()
        assert code == 0
        assert "is no option" not in err


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("ends", 3, r"wsgiserve: worker \d+ ended with exit code 5 before it served\n"),
        ("raises", 3, r"Traceback .*ValueError: their bug\n"),
    ],
)
def test_a_worker_that_cannot_start_is_the_end_of_the_first_generation(folder, name, code, said):
    (folder / "ends.py").write_text("import os; os._exit(5)\n")
    (folder / "raises.py").write_text("raise ValueError('their bug')\n")
    with Program(folder, f"{name}:app", env=FREE_PORT) as program:
        exit_code, out, err = program.end()
    assert (exit_code, out) == (code, "")
    assert re.fullmatch(said, err, re.DOTALL)
