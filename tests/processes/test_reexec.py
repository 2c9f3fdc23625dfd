"""SIGUSR2: what is passed on to the new program, and the new program in place of the old one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.servers.load import load
from tests.processes.programs import descriptors, serving, who
from tests.processes.terms import terms
from tests.program import ROOT
from tests.server.client import SECONDS, wait_until
from wsgiserve.config import make_config
from wsgiserve.processes import reexec
from wsgiserve.processes.facts import Worker
from wsgiserve.processes.handover import VARIABLE, environment
from wsgiserve.processes.pid_file import read_status
from wsgiserve.server.sockets.listener import open_listeners


@pytest.fixture
def config(tmp_path):
    return make_config(bind=["127.0.0.1:0", f"unix:{tmp_path}/s"])


@pytest.fixture
def left(config, ends, monkeypatch):
    """What the program after a re-exec finds in its environment; and the program before is gone."""
    listeners = open_listeners(config)
    worker = Worker(7, 3, terms(), "retiring", 1.0, 1007, served=True, cut=0)
    worker.wear("max-rss")
    executed = {}

    def execve(path, command, environ):
        sockets = [ends[0].sock, *(listener.sock for listener in listeners)]
        assert all(sock.get_inheritable() for sock in sockets)
        executed.update(environ)
        raise PermissionError("not here")  # As the system may refuse; so the test goes on.

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(reexec, "folder", lambda: None)
    reexec.execute(
        {
            "listeners": reexec.sockets(listeners),
            "ops": [],
            "workers": [reexec.heir(worker, ends[0], foreign=True)],
            "generation": 3,
            "latest": 5,
        }
    )
    assert not listeners[0].sock.get_inheritable()
    descriptors = [sock.detach() for sock in (ends[0].sock, *(listener.sock for listener in listeners))]
    monkeypatch.setenv(VARIABLE, executed[VARIABLE])
    yield reexec.inheritance()
    for descriptor in descriptors:
        try:
            os.close(descriptor)
        except OSError:
            pass  # The test has adopted and closed it.


def test_workers_are_passed_on(left, ends):
    assert (left["generation"], left["latest"]) == (3, 5)
    (heir,) = left["workers"]
    channel = heir.pop("channel")
    assert {*heir.pop("options")} == {*reexec.KEPT}
    assert heir == {
        "number": 7,
        "generation": 3,
        "pid": 1007,
        "serving": False,
        "cut": 0,
        "worn": "max-rss",
        "foreign": True,
        "row": 0,
        "began": 1.0,
        "stacks": -1,
        "pages": None,
    }
    assert not os.get_inheritable(channel)
    ends[1].send(event="worn")
    with socket.socket(fileno=channel) as sock:
        assert json.loads(sock.recv(100)) == {"event": "worn"}


def test_a_worker_keeps_its_terms(left):
    """It gives its requests the time that it was told at its start."""
    (heir,) = left["workers"]
    heir["options"] |= {"graceful_timeout": 100, "drain_delay": 5, "log_skip": ["/health"]}
    now = terms()._replace(config=make_config(graceful_timeout=1, threads=3, keep_alive=7))
    its = reexec.terms_of(heir, now)
    assert (its.grace, its.config.graceful_timeout, its.config.log_skip) == (105, 100, ("/health",))
    assert (its.config.threads, its.config.keep_alive) == (terms().config.threads, 7)


@pytest.mark.parametrize("options", [{"another": 1}, {"threads": -1}, {}])
def test_a_worker_that_another_version_has_described_gets_the_terms_of_now(options):
    now = terms()
    assert reexec.terms_of({"options": options}, now).config == now.config
    assert reexec.terms_of({}, now).config == now.config


def test_listeners_are_passed_on_with_their_names(left, config, tmp_path):
    opened = reexec.listeners(left)
    assert [bind for bind, _ in opened] == [bind.text for bind in config.bind]
    listeners = open_listeners(config, opened)
    assert [listener for _, listener in opened] == listeners
    with socket.create_connection(("127.0.0.1", listeners[0].port), timeout=SECONDS):
        pass
    for listener in listeners:
        listener.close()
    assert not (tmp_path / "s").exists(), "a Unix socket is removed by the process that made it"


def test_a_listener_that_is_configured_no_more_is_closed(left, config):
    opened = reexec.listeners(left)
    (kept,) = open_listeners(make_config(bind=config.bind[0].text), opened)
    assert kept is opened[0][1]
    assert opened[1][1].sock.fileno() == -1
    kept.close()


def test_a_refused_exec_is_logged(left, log):
    (record,) = log.get_records("setup")
    assert record.getMessage() == "re-exec failed, everything goes on as it was: not here"
    assert signal.SIGUSR2 not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_program_that_was_started_inherits_nothing(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert reexec.inheritance() == {}
    assert reexec.listeners({}) == []


def test_a_trial_knows_that_it_is_one(monkeypatch):
    monkeypatch.setattr("sys.orig_argv", ["python", "-S", "-c", f"import os; os.environ[{VARIABLE!r}]"])
    trial = reexec.Trial()
    assert trial.process.wait(SECONDS) == 0
    trial.end("over")
    assert not reexec.is_trial()
    monkeypatch.setenv(VARIABLE, environment("trial", 1)[VARIABLE])
    assert reexec.is_trial()
    assert VARIABLE not in os.environ


HANGS = "import signal, time; signal.pthread_sigmask(0, signal.valid_signals()); time.sleep(99)"


def test_a_trial_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr("sys.orig_argv", ["python", "-S", "-c", HANGS])
    trial = reexec.Trial()
    assert trial.ends_at <= time.monotonic() + reexec.TRIAL_SECONDS
    trial.give_up(time.monotonic())
    assert trial.process.wait(SECONDS) == -signal.SIGKILL
    assert trial.fault == "the new program did not start within 30 s"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a process when its channel ends")
def test_a_trial_that_hangs_dies_with_its_supervisor(monkeypatch):
    monkeypatch.setattr("sys.orig_argv", ["python", "-S", "-c", HANGS])
    trial = reexec.Trial()
    trial._ours.close()
    assert trial.process.wait(SECONDS) == -signal.SIGKILL


@pytest.mark.slow
def test_a_new_program_takes_over_without_losing_a_connection(service):
    its = service("--workers", "2")
    its.new_version()
    with its.running() as process, load(its.port, 8, 2) as tally:
        before = its.workers()
        for _ in range(2):
            version = its.new_version()
            process.send_signal(signal.SIGUSR2)
            wait_until(lambda version=version: tally.versions[version])
            wait_until(lambda: its.status()["state"] == "serving" and len(its.workers()) == 2)
        assert not set(before) & set(its.workers())
        assert its.status()["pid"] == process.pid
        os.kill(its.workers()[0], signal.SIGKILL)
        wait_until(lambda: "was killed by SIGKILL" in its.words())
    assert {failure.pid for failure in tally.failures} <= {0, *tally.answers}
    assert all(failure.kind in ("reset", "end") for failure in tally.failures)
    assert len(tally.failures) <= 10  # of the worker that was killed


@pytest.mark.slow
def test_workers_that_a_signal_has_added_stay(service):
    its = service("--workers", "1")
    its.new_version()
    with its.running() as process:
        process.send_signal(signal.SIGTTIN)
        wait_until(lambda: len(its.workers()) == 2)
        for generation in (2, 3):
            process.send_signal(signal.SIGUSR2)
            wait_until(lambda generation=generation: its.status()["generation"] == generation)
            assert len(its.workers()) == 2


@pytest.mark.slow
def test_the_file_may_have_another_number_of_workers(service):
    its = service()
    its.new_version()
    file = its.folder / "wsgiserve.toml"
    file.write_text("workers = 1\n")
    with its.running() as process:
        process.send_signal(signal.SIGTTIN)
        wait_until(lambda: len(its.workers()) == 2)
        file.write_text("workers = 3\n")
        process.send_signal(signal.SIGUSR2)
        wait_until(lambda: its.status()["generation"] == 2)
        assert len(its.workers()) == 3


def shared_memory(pid):
    """Count the descriptors of memory that a process has."""
    return sum("memfd:" in file for file in descriptors(pid).values())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_program_without_the_ops_endpoint_keeps_no_memory_of_it(service):
    its = service("--workers", "1")
    its.new_version()
    file = its.folder / "wsgiserve.toml"
    file.write_text("ops_bind = '127.0.0.1:0'\n")
    with its.running() as process:
        assert shared_memory(process.pid)
        file.write_text("")
        process.send_signal(signal.SIGUSR2)
        wait_until(lambda: its.status()["generation"] == 2 and its.status()["state"] == "serving")
        assert shared_memory(process.pid) == 0


def state_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def stopped_at_the_end_of_the_trial(process):
    """Stop a program before it learns that the trial of a re-exec has ended."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    before = {*children.read_text().split()}
    process.send_signal(signal.SIGUSR2)
    wait_until(lambda: {*children.read_text().split()} - before)
    process.send_signal(signal.SIGSTOP)
    (trial,) = {*children.read_text().split()} - before
    wait_until(lambda: state_of(trial) == "Z")
    yield
    process.send_signal(signal.SIGCONT)


def generations(folder):
    """Return the generation of each worker."""
    return [worker["generation"] for worker in read_status(str(folder / "pid"))["workers"]]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_comes_as_the_trial_ends_is_heeded(folder, number):
    with serving(folder, "app", "--pid-file", "pid", "--workers", "1") as (program, _):
        with stopped_at_the_end_of_the_trial(program.process):
            program.process.send_signal(number)
        if number == signal.SIGHUP:
            wait_until(lambda: generations(folder) == [3])
            program.process.send_signal(signal.SIGTERM)
        assert program.end()[0] == 0


def test_a_new_program_that_would_not_start_changes_nothing(folder):
    shutil.copytree(ROOT / "wsgiserve", folder / "wsgiserve", ignore=shutil.ignore_patterns("__pycache__"))
    with serving(folder, "app", env={"PYTHONPATH": str(folder)}) as (program, port):
        before = who(port)
        (folder / "wsgiserve" / "config" / "options.py").write_text("this is no program\n")
        program.process.send_signal(signal.SIGUSR2)
        for line in program.process.stderr:
            if "re-exec failed, everything goes on as it was" in line:
                break
        assert who(port) == before
        assert program.stop()[0] == 0
