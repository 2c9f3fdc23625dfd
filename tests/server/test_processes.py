"""The supervisor and its workers as real processes: deploys, crashes, limits, signals at bad moments."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing

import pytest

import wsgiserve
from bench.servers import deploys
from bench.servers.load import load
from tests.server.client import SECONDS, Client, get, refuses, wait_until
from tests.server.test_lifecycle import FREE_PORT, ROOT, Program, serving_program
from wsgiserve.config import ConfigError
from wsgiserve.processes.command import processors

APP = """
import os, sys, time

class App:
    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/slow":
            open("entered", "w").close()
            while not os.path.exists("go"):
                time.sleep(0.005)
        if path == "/fails":
            raise RuntimeError("no database")
        if path == "/crash":
            os._exit(7)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{os.getpid()} {os.getppid()} {VERSION}".encode()]

    def startup(self):
        note("startup")

    def shutdown(self):
        note("shutdown")

def note(what):
    with open("notes", "a") as file:
        file.write(f"{what} {os.getpid()}\\n")

VERSION = "v1"
application = App()
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


@pytest.fixture
def service(tmp_path, monkeypatch):
    """Return ``service(*options)``: what ``bench.servers.deploys`` deploys to, with quick slow requests."""
    monkeypatch.setattr(deploys, "SLOW_SECONDS", 0.3)
    return lambda *options: deploys.Service(tmp_path, *options)


def serving(folder, *arguments, **options):
    """Serve without the access log, which nobody reads in here."""
    return serving_program(folder, *arguments, "--no-access-log", **options)


def new_version(folder, version):
    # Another size, or Python may take the compiled file of a moment ago for that of this source.
    (folder / "app.py").write_text(APP.replace('"v1"', f'"{version}"') + "# " + "x" * int(version[1:]) + "\n")


def who(port):
    """Return (worker, supervisor, version) of whoever answers."""
    with Client(port=port) as client:
        worker, supervisor, version = client.ask(get()).body.decode().split()
        return int(worker), int(supervisor), version


def workers(port, count=20):
    return {who(port)[0] for _ in range(count)}


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # The second one where it ends while it is read.
        return False


@pytest.mark.parametrize(("count", "multiprocess"), [("1", b"False"), ("2", b"True")])
def test_app_is_told_whether_others_serve_it_too(folder, count, multiprocess):
    (folder / "app.py").write_text(
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str(environ['wsgi.multiprocess']).encode()]\n"
    )
    with serving(folder, "app", "--workers", count) as (_, port), Client(port=port) as client:
        assert client.ask(get()).body == multiprocess


# -- deploys under load


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork", "preload"])
def test_no_client_notices_a_reload_nor_one_that_fails(service, options):
    tally, _, wrong = deploys.reloads(service("--workers", "2", *options), 3, 8, 2)
    assert (tally.failures, wrong) == ([], [])
    assert set(tally.versions) == {"v1", "v2", "v3", "v4"}
    assert tally.slow > 4


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork", "preload"])
def test_a_killed_worker_costs_what_was_in_it(service, options):
    tally, seconds, killed = deploys.kills(service("--workers", "2", *options), 2, 8, 2)
    assert {failure.pid for failure in tally.failures} <= {0, *killed}
    assert max(seconds) < 2


@pytest.mark.parametrize("kind", deploys.BROKEN)
def test_a_bad_deploy(service, kind):
    said = {
        "syntax error": "SyntaxError: ",
        "import error": "ModuleNotFoundError: No module named 'there_is_no_such_module'",
        "app missing": "wsgiserve: the module 'service' has no 'application'",
        "start-up hook raises": "RuntimeError: no database",
    }[kind]
    its = service()
    its.write(deploys.BROKEN[kind])
    first = its.start_once()
    assert (first.returncode, first.stdout) == (3, "")
    assert first.stderr.splitlines()[-1].startswith(said)
    assert str(ROOT / "wsgiserve") not in first.stderr
    version = its.new_version()
    with its.running():
        its.write(deploys.BROKEN[kind])
        result = its.reload()
        assert result.returncode == 1
        assert said in result.stderr
        assert result.stderr.endswith("wsgiserve: not reloaded; generation 1 goes on serving\n")
        status = its.status()
        assert (status["state"], status["outcome"], status["generation"]) == ("serving", "failed", 1)
        assert said in status["reason"]
        with Client(port=its.port) as client:
            assert client.ask(get()).body.decode().split()[2] == version
    assert said in its.words()


def test_a_reload_by_signal_takes_the_new_code(folder):
    with serving(folder, "app", "--workers", "2") as (program, port):
        before = workers(port)
        new_version(folder, "v2")
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: who(port)[2] == "v2")
        wait_until(lambda: not any(map(is_alive, before)))
        assert program.stop()[0] == 0
    notes = (folder / "notes").read_text().split("\n")[:-1]
    assert sorted(note.split()[0] for note in notes) == ["shutdown"] * 4 + ["startup"] * 4


def test_a_reload_behind_a_link_takes_what_it_leads_to_by_then(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").write_text(APP.replace("v1", name))
    current = tmp_path / "current"
    current.symlink_to("one")
    with serving(current, "app", env={"PWD": str(current)}) as (program, port):
        assert who(port)[2] == "one"
        (tmp_path / "next").symlink_to("two")
        os.replace(tmp_path / "next", current)
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: who(port)[2] == "two")
        assert program.stop()[0] == 0


def test_an_idle_connection_gets_its_answer_behind_a_reload(folder):
    with serving(folder, "app") as (program, port), Client(port=port) as idle:
        old = int(idle.ask(get()).body.split()[0])
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: who(port)[0] != old)
        response = idle.ask(get())
        assert int(response.body.split()[0]) == old
        assert response.headers["connection"] == "close"
        assert idle.rest() == b""
        wait_until(lambda: not is_alive(old))
        assert program.stop()[0] == 0


def test_a_stop_does_not_wait_for_who_is_idle_in_an_old_generation(folder):
    with serving(folder, "app") as (program, port), Client(port=port) as idle:
        old = int(idle.ask(get()).body.split()[0])
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: who(port)[0] != old)
        assert is_alive(old)
        started = time.monotonic()
        assert program.stop()[0] == 0
        assert time.monotonic() - started < 4


def test_a_second_reload_takes_the_place_of_one_that_hangs(folder):
    with serving(folder, "app") as (program, port):
        (folder / "app.py").write_text("import time; open('hangs', 'w').close(); time.sleep(1000)\n")
        program.process.send_signal(signal.SIGHUP)
        wait_until((folder / "hangs").exists)
        new_version(folder, "v2")
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: who(port)[2] == "v2")
        code, _, err = program.stop()
    assert code == 0
    assert "reload superseded, generation 1 goes on serving" in err


def test_reload_without_a_server(tmp_path):
    command = [sys.executable, "-m", "wsgiserve", "reload", "--pid-file", str(tmp_path / "none")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    said = f"wsgiserve: no server to reload: {tmp_path / 'none'}: No such file or directory\n"
    assert result.stderr == said


@pytest.mark.parametrize(
    ("content", "said"), [("abc", "names no process"), (str(2**22 + 1), "has ended")], ids=["words", "stale"]
)
def test_reload_by_a_wrong_pid_file(tmp_path, content, said):
    (tmp_path / "pid").write_text(content)
    command = [sys.executable, "-m", "wsgiserve", "reload", "--pid-file", str(tmp_path / "pid")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.endswith(f"{said}\n")


# -- a warm-up request


def test_a_probe_that_fails(folder):
    with Program(folder, "app", "--probe", "/fails", env=FREE_PORT) as program:
        code, out, err = program.end()
    assert (code, out) == (3, "")
    assert "RuntimeError: no database" in err
    assert err.endswith("wsgiserve: --probe /fails was answered 500\n")


def test_a_probe_is_answered_before_anybody_else(folder):
    (folder / "app.py").write_text(
        APP.replace("path = environ", "note('called ' + environ['PATH_INFO']); path = environ")
    )
    with serving(folder, "app", "--probe", "/health?deep=1") as (program, port):
        who(port)
        assert program.stop()[:2][0] == 0
    called = re.findall("called (.*) ", (folder / "notes").read_text())
    assert called == ["/health", "/"]


# -- limits


@pytest.mark.parametrize(
    "option", [("--max-requests", "20"), ("--max-rss", "1000"), ("--max-lifetime", "0.3")], ids=lambda o: o[0]
)
@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["fork", "preload"])
def test_a_worn_worker_is_replaced_and_no_client_notices(service, option, preload):
    its = service("--workers", "1", *option, *preload)
    its.new_version()
    with its.running(), load(its.port, 2, 1) as tally:
        wait_until(lambda: len(tally.answers) >= 3)
    assert tally.failures == []
    assert f"is replaced: {option[0][2:]}" in its.words()


def test_a_worn_worker_goes_on_while_no_other_can_start(service):
    its = service("--max-requests", "5")
    version = its.new_version()
    with its.running(), Client(port=its.port) as client:
        its.write("import there_is_no_such_module\n")
        for _ in range(20):
            assert client.ask(get()).body.decode().split()[2] == version
        wait_until(lambda: "a worker cannot start; next try in" in its.words())
        assert client.ask(get()).headers.get("connection") is None


# -- crashes


def test_what_crashes_is_replaced(folder):
    with serving(folder, "app") as (program, port):
        first = who(port)[0]
        with Client(port=port) as client, pytest.raises((EOFError, ConnectionResetError)):
            client.ask(get("/crash"))
        wait_until(lambda: who(port)[0] != first)
        code, _, err = program.stop()
    assert code == 0
    assert f"worker {first} ended with exit code 7; another starts" in err


def test_a_crash_loop_does_not_spin(folder):
    looping = "import os, threading; note('start'); threading.Timer(0.05, os._exit, (9,)).start()\n"
    with serving(folder, "app") as (program, port):
        first = who(port)[0]
        (folder / "app.py").write_text(APP + looping)
        os.kill(first, signal.SIGKILL)
        time.sleep(2)
        code, _, err = program.stop()
    assert code == 0
    assert 1 < (folder / "notes").read_text().count("start ") <= 4
    assert "another starts in 0.5 s" in err
    assert "another starts in 1 s" in err


def test_a_worker_that_ends_before_it_is_ready(folder):
    (folder / "ends.py").write_text("import os; os._exit(5)\n")
    with Program(folder, "ends:app", env=FREE_PORT) as program:
        code, out, err = program.end()
    assert (code, out) == (3, "")
    assert re.fullmatch(r"wsgiserve: worker \d+ ended with exit code 5 before it served\n", err)


def test_workers_stop_in_good_order_when_the_supervisor_is_killed(folder):
    with serving(folder, "app", "--workers", "2") as (program, port), Client(port=port) as client:
        alive = workers(port)
        assert len(alive) == 2
        client.send(get("/slow"))
        wait_until(program.entered)
        program.process.kill()
        wait_until(lambda: refuses(port))
        program.let_go()
        assert client.response().headers["connection"] == "close"
        wait_until(lambda: not any(map(is_alive, alive)))


def test_a_worker_that_is_told_to_end_is_replaced_first(folder):
    with serving(folder, "app") as (program, port), Client(port=port) as client:
        first = int(client.ask(get()).body.split()[0])
        os.kill(first, signal.SIGTERM)
        wait_until(lambda: who(port)[0] != first)
        assert client.ask(get()).headers["connection"] == "close"
        assert program.stop()[0] == 0


SUBREAPER = """
import ctypes, runpy
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: as process 1, orphans come to us
runpy.run_module("wsgiserve", run_name="__main__")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")
def test_orphans_are_reaped(folder):
    orphan = "import subprocess; subprocess.run(['sh', '-c', 'sleep 0.1 & echo $! >orphan'])\n"
    (folder / "app.py").write_text(APP + orphan)
    with serving(folder, "app", command=("-c", SUBREAPER)) as (program, port):
        pid = int((folder / "orphan").read_text())
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
        assert who(port)[1] == program.process.pid
        assert program.stop()[0] == 0


# -- where fork is missing

WITHOUT_FORK = "import os, runpy; del os.fork; runpy.run_module('wsgiserve', run_name='__main__')"


def test_workers_are_started_anew_where_there_is_no_fork(folder):
    arguments = ("app", "--workers", "2")
    with serving(folder, *arguments, command=("-c", WITHOUT_FORK)) as (program, port):
        before = workers(port)
        assert len(before) == 2
        os.kill(min(before), signal.SIGKILL)
        wait_until(lambda: len(workers(port) - {min(before)}) == 2)
        new_version(folder, "v2")
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: who(port)[2] == "v2")
        code, _, err = program.stop()
        assert code == 0
        assert "is no option" not in err


def test_one_worker_is_this_process_where_there_is_no_fork(folder):
    with serving(folder, "app", command=("-c", WITHOUT_FORK)) as (program, port):
        assert who(port)[0] == program.process.pid
        assert program.stop()[0] == 0


# -- upgrade


def test_upgrade_in_place(service):
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


def test_an_upgrade_that_would_not_start_changes_nothing(folder):
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


# -- how many


def test_workers_are_added_and_removed(folder):
    with serving(folder, "app") as (program, port):
        assert len(workers(port)) == 1
        program.process.send_signal(signal.SIGTTIN)
        wait_until(lambda: len(workers(port)) == 2)
        program.process.send_signal(signal.SIGTTOU)
        wait_until(lambda: len(workers(port)) == 1)
        assert program.stop()[0] == 0


@pytest.mark.parametrize(
    ("arguments", "env", "count"),
    [
        ([], {"WEB_CONCURRENCY": "3"}, 3),
        ([], {"WEB_CONCURRENCY": "3", "WSGISERVE_WORKERS": "2"}, 2),
        (["--workers", "auto"], {"WEB_CONCURRENCY": "5"}, processors()),
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


def test_a_pid_file_of_another_server_is_told_and_left_behind_by_none(folder):
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


def test_connections_are_spread(service):
    one_by_one, at_once = deploys.balance(service("--workers", "2"), 32)
    assert sum(one_by_one.values()) == sum(at_once.values()) == 32
    assert min(one_by_one.values()) >= 12
    assert len(at_once) == 2


def test_no_workers_is_this_process(folder):
    with serving(folder, "app", "--workers", "0") as (program, port):
        assert who(port)[0] == program.process.pid
        assert program.stop()[0] == 0
    pid = program.process.pid
    assert (folder / "notes").read_text() == f"startup {pid}\nshutdown {pid}\n"


def test_a_server_in_a_program_has_no_workers():
    with pytest.raises(ConfigError, match=r"workers: is for the command wsgiserve MODULE:NAME alone"):
        wsgiserve.Server(lambda environ, start_response: [], workers=2)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--workers", "few"], "--workers: 'few' is not a whole number of at least 0, nor 'auto'."),
        (["--workers", "-1"], "--workers: -1 is not a whole number of at least 0, nor 'auto'."),
        (["--probe", "health"], "--probe: 'health' is not a path, such as /health."),
        (
            ["--pid-file", "no/such/folder/pid"],
            "--pid-file: cannot write no/such/folder/pid: No such file or directory",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_options(folder, arguments, line):
    with Program(folder, "app", *arguments, env=FREE_PORT) as program:
        code, out, err = program.end()
    assert (code, out) == (2, "")
    assert err.startswith(f"wsgiserve: {line}")
    assert err.count("\n") == 1


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


@pytest.mark.parametrize("count", ["0", "1"])
def test_stop_in_good_order_though_nobody_reads_what_is_said(folder, count):
    options = ("--workers", count, "--drain-delay", "0.1")
    with serving(folder, "app", *options) as (program, port), Client(port=port) as client:
        client.send(get("/slow"))
        wait_until(program.entered)
        program.process.stderr.close()
        program.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses(port))
        program.let_go()
        assert client.response().headers["connection"] == "close"
        assert program.process.wait(SECONDS) == 0


def test_ctrl_c_reaches_all_and_a_running_request_is_finished(folder):
    with (
        serving(folder, "app", "--workers", "2", start_new_session=True) as (program, port),
        Client(port=port) as client,
    ):
        client.send(get("/slow"))
        wait_until(program.entered)
        os.killpg(program.process.pid, signal.SIGINT)
        wait_until(lambda: refuses(port))
        program.let_go()
        assert client.response().headers["connection"] == "close"
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
