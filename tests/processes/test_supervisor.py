"""The supervisor and its workers as real processes: crashes, signals, how they stop."""

from __future__ import annotations

import contextlib
import itertools
import os
import pty
import signal
import socket
import sys
import time
from contextlib import closing

import pytest

from bench.servers import deploys
from tests.processes.programs import APP, all_workers, is_alive, last_answer, serving, who, workers
from tests.processes.terms import terms
from tests.program import FREE_PORT, ROOT, Program
from tests.server.client import Client, get, refuses, wait_until
from wsgiserve.config import make_config
from wsgiserve.processes import supervisor as supervisor_module
from wsgiserve.processes import templates
from wsgiserve.processes.signals import existing
from wsgiserve.processes.supervisor import Supervisor
from wsgiserve.server.console import EXIT_NO_APP


@pytest.fixture
def supervise(tmp_path):
    """Return ``supervise(**options)``: a supervisor in this process, whose signals are given back."""
    before = {number: signal.getsignal(number) for number in existing()}

    def supervise(**options):
        config = make_config(bind="127.0.0.1:0", pid_file=str(tmp_path / "pid"), **options)
        return Supervisor(
            terms(2)._replace(config=config),
            lambda listeners, ops: announced.append(listeners),
            lambda config, running: announced.append(running),
            lambda: pytest.fail("there is no reload"),
        )

    announced = []
    yield supervise
    assert announced == []
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("preload", [False, True], ids=["fork", "preload"])
def test_a_system_without_room_for_processes_is_the_end_of_the_start(
    supervise, monkeypatch, tmp_path, preload
):
    def refuse(ours, birth):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(supervisor_module, "fork", refuse)
    monkeypatch.setattr(templates, "fork", refuse)
    supervisor = supervise(preload=preload)
    supervisor.open()
    port = supervisor.listeners[0].port
    assert supervisor.run() == EXIT_NO_APP
    assert supervisor.fleet.reason.startswith("wsgiserve: the system refuses another process: [Errno 11]")
    assert refuses(port)
    assert list(tmp_path.iterdir()) == []


def test_without_its_pid_file_it_does_not_listen(supervise, tmp_path):
    (tmp_path / "pid").mkdir()
    supervisor = supervise()
    with pytest.raises(IsADirectoryError):
        supervisor.open()
    assert supervisor.listeners[0].sock.fileno() == -1
    supervisor.leave()


# -- crashes


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork", "preload"])
def test_a_killed_worker_costs_what_was_in_it(service, options):
    tally, seconds, killed = deploys.kills(service("--workers", "2", *options), 2, 8, 2)
    assert {failure.pid for failure in tally.failures} <= {0, *killed}
    assert max(seconds) < 2


@pytest.mark.slow
def test_what_crashes_is_replaced(folder):
    with serving(folder, "app") as (program, port):
        first = who(port)[0]
        with Client(port=port) as client, pytest.raises((EOFError, ConnectionResetError)):
            client.ask(get("/crash"))
        wait_until(lambda: who(port)[0] != first)
        code, _, err = program.stop()
    assert code == 0
    assert f"worker {first} ended with exit code 7; another starts" in err


@pytest.mark.slow
def test_a_crash_loop_does_not_spin(folder):
    with serving(folder, "app") as (program, port):
        os.kill(who(port)[0], signal.SIGKILL)
        killed = time.monotonic()
        crash(port)  # once there is another
        lines = iter(program.process.stderr.readline, "")
        said = list(itertools.takewhile(lambda line: "another starts in 1 s" not in line, lines))
        assert "another starts in 0.5 s" in said[0]
        assert time.monotonic() - killed > 0.5
        assert (folder / "notes").read_text().count("startup ") == 2
        assert program.stop()[0] == 0


def crash(port):
    """Ask for what ends a worker at once."""
    with Client(port=port) as client, contextlib.suppress(ConnectionError):
        client.send(get("/crash"))
        assert client.rest() == b""


@pytest.mark.slow
def test_workers_stop_in_good_order_when_the_supervisor_is_killed(folder):
    with serving(folder, "app", "--workers", "2") as (program, port):
        alive = all_workers(port, 2)
        with Client(port=port) as client:
            client.send(get("/slow"))
            wait_until(program.entered)
            program.process.kill()
            for _ in alive:  # Each says that it stops.
                assert any(
                    "the supervisor is gone" in line for line in iter(program.process.stderr.readline, "")
                )
            wait_until(lambda: refuses(port))
            program.let_go()
            assert client.response().status == 200
            assert client.rest() == b""  # It ends, whether the answer could say so yet or not.
        wait_until(lambda: not any(map(is_alive, alive)))


def test_a_worker_that_is_told_to_end_is_replaced_first(folder):
    with serving(folder, "app") as (program, port):
        with Client(port=port) as client:
            first = int(client.ask(get()).body.split()[0])
            os.kill(first, signal.SIGTERM)
            wait_until(lambda: who(port)[0] != first)
            assert last_answer(client).headers["connection"] == "close"
        assert program.stop()[0] == 0


SUBREAPER = """
import ctypes, runpy
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: as process 1, orphans come to us
runpy.run_module("wsgiserve", run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")
def test_orphans_are_reaped(folder):
    orphan = "import subprocess; subprocess.run(['sh', '-c', 'sleep 0.1 & echo $! >orphan'])\n"
    (folder / "app.py").write_text(APP + orphan)
    with serving(folder, "app", command=("-c", SUBREAPER)) as (program, port):
        pid = int((folder / "orphan").read_text())
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
        assert who(port)[1] == program.process.pid
        assert program.stop()[0] == 0


# -- how many


def test_workers_are_added_and_removed(folder):
    with serving(folder, "app") as (program, port):
        assert len(workers(port)) == 1
        program.process.send_signal(signal.SIGTTIN)
        wait_until(lambda: len(workers(port)) == 2)
        program.process.send_signal(signal.SIGTTOU)
        wait_until(lambda: len(workers(port)) == 1)
        assert program.stop()[0] == 0


def test_connections_are_spread(service):
    one_by_one, at_once = deploys.balance(service("--workers", "2"), 32)
    assert sum(one_by_one.values()) == sum(at_once.values()) == 32
    assert min(one_by_one.values()) >= 12
    assert len(at_once) == 2


# -- signals at bad moments


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork", "preload"])
@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_stop_while_the_app_is_imported(folder, number, expected, options):
    (folder / "app.py").write_text(
        "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(1000)\n"
    )
    with Program(folder, "app", *options, env=FREE_PORT) as program:
        wait_until(lambda: (folder / "pid").exists() and (folder / "pid").read_text())
        code, out, err = program.stop(number)
    assert (code, out, err) == (expected, "", "")
    wait_until(lambda: not is_alive(int((folder / "pid").read_text())))


def test_ctrl_c_reaches_all_and_a_running_request_is_finished(folder):
    with serving(folder, "app", "--workers", "2", start_new_session=True) as (program, port):
        with Client(port=port) as client:
            client.send(get("/slow"))
            wait_until(program.entered)
            os.killpg(program.process.pid, signal.SIGINT)
            wait_until(lambda: refuses(port))
            program.let_go()
            assert client.response().status == 200  # Perhaps the other worker heard of the stop first.
            assert client.rest() == b""
        code, _, err = program.end()
    assert code == 0
    assert "Traceback" not in err


def test_a_terminal_that_is_closed_stops_the_server(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "wsgiserve", "app", "--bind", f"127.0.0.1:{port}"]
        os.execve(sys.executable, command, environment)
    with closing(os.fdopen(terminal, "rb", buffering=0)) as screen:
        assert b"Serving on" in screen.read(1000)
        worker = who(port)[0]
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: who(port)[0] != worker)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert refuses(port)


def test_sigusr1_is_harmless(folder):
    with serving(folder, "app") as (program, port):
        before = who(port)
        program.process.send_signal(signal.SIGUSR1)
        os.kill(before[0], signal.SIGUSR1)
        program.process.send_signal(signal.SIGHUP)  # A signal behind it has come through.
        wait_until(lambda: who(port)[0] != before[0])
        assert program.stop()[0] == 0


COLLECTOR = """
import gc
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"%d %d" % (gc.isenabled(), gc.get_freeze_count() > 1000)]
"""


@pytest.mark.slow
def test_a_worker_s_collector_leaves_the_memory_of_the_supervisor_shared(tmp_path):
    (tmp_path / "collector.py").write_text(COLLECTOR)
    with Program(tmp_path, "collector", "--bind", "127.0.0.1:0", "--workers", "1") as program:
        with Client(port=program.port()) as client:
            assert client.ask(get()).body == b"1 1"
        program.stop()
