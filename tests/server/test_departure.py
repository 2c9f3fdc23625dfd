"""The end of programs whose app keeps them: hooks, threads and exit handlers that do not end."""

from __future__ import annotations

import re
import signal
import sys

import pytest

from tests.program import FREE_PORT, Program, serving_program
from tests.server.client import Client, get
from wsgiserve.processes.pid_file import read_status
from wsgiserve.server import departure  # noqa: F401 - imported by the programs

APP = """
import atexit, os, signal, sys, threading, time

KEPT_BY = os.environ["KEPT_BY"]

def wait():
    print("kept", flush=True)
    time.sleep(600)

class App:
    def __call__(self, environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    def startup(self):
        if "failure" in KEPT_BY:
            raise RuntimeError("no database")

    def shutdown(self):
        if KEPT_BY == "hook":
            wait()

if "thread" in KEPT_BY:
    threading.Thread(target=lambda: (threading.main_thread().join(), wait()), name="left-over").start()
if KEPT_BY == "exit handler":
    atexit.register(wait)
if KEPT_BY == "SIGSEGV":
    atexit.register(lambda: os.kill(os.getpid(), signal.SIGSEGV))
if KEPT_BY == "os._exit":
    atexit.register(lambda: os._exit(7))
if KEPT_BY == "full output":
    atexit.register(lambda: sys.stdout.write("lost"))
    atexit.register(lambda: os.dup2(os.open("/dev/full", os.O_WRONLY), 1))

if KEPT_BY == "much to free":
    def busy():
        while True:
            time.sleep(0.001)

    for _ in range(4):
        threading.Thread(target=busy, daemon=True).start()
    MUCH = [{number: [number]} for number in range(200000)]

application = App()

if __name__ == "__main__":
    from wsgiserve.server.program import run
    run(application, bind="127.0.0.1:0", access_log=False)
"""
OBSTACLES = {
    "hook": r"its shutdown hooks run, at \S+left.py:\d+",
    "thread": "its threads run that are no daemons: left-over",
    "exit handler": r"its exit handlers \(atexit\) run, at \S+left.py:\d+",
}
WORKERS = [pytest.param(["--workers", "0"], id="alone"), pytest.param(["--workers", "2"], id="workers")]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "left.py").write_text(APP)
    return tmp_path


def serving(folder, kept_by, *arguments):
    options = ("--no-access-log", "--graceful-timeout", "0.1", *arguments)
    return serving_program(
        folder, "left", *options, env={"KEPT_BY": kept_by, "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": ""}
    )


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
@pytest.mark.parametrize(
    "kept_by", ["thread", *(pytest.param(name, marks=pytest.mark.slow) for name in ("hook", "exit handler"))]
)
def test_a_second_signal_ends_the_program_wherever_it_is(folder, kept_by, number):
    with serving(folder, kept_by, "--workers", "0") as (program, port):
        with Client(port=port) as client:
            assert client.ask(get()).body == b"hello"
        program.process.send_signal(number)
        assert program.process.stdout.readline() == "kept\n"
        code, _, err = program.stop(number)
    assert code == 0
    assert re.fullmatch(rf"wsgiserve: process \d+ was ended although {OBSTACLES[kept_by]}\n", err), err


@pytest.mark.slow
@pytest.mark.parametrize("arguments", WORKERS)
@pytest.mark.parametrize("kept_by", ["thread", "hook", "exit handler"])
def test_a_program_that_is_kept_says_by_what_and_ends_by_itself(folder, kept_by, arguments):
    with serving(folder, kept_by, *arguments) as (program, _):
        code, _, err = program.stop()
    assert code == 0
    said = (
        rf"wsgiserve: process \d+ should have ended, but {OBSTACLES[kept_by]}; it ends in 3 s\n",
        rf"wsgiserve: process \d+ was ended although {OBSTACLES[kept_by]}\n",
    )
    assert [len(re.findall(line, err)) for line in said] == [int(arguments[1]) or 1] * 2
    assert len(err.splitlines()) == 2 * (int(arguments[1]) or 1), err


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--workers=2", "--preload"])
@pytest.mark.parametrize("kept_by", ["thread", "hook", "exit handler"])
def test_a_second_signal_ends_workers_wherever_they_are(folder, kept_by, option):
    with serving(folder, kept_by, option) as (program, _):
        program.process.send_signal(signal.SIGTERM)
        if (kept_by, option) != ("thread", "--preload"):
            assert program.process.stdout.readline() == "kept\n"
        code, _, err = program.stop()
    assert code == 0
    assert "does not end and is killed" not in err
    assert "cut" not in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("SIGSEGV", r"worker \d+ had finished its requests, then it was killed by SIGSEGV"),
        ("os._exit", r"worker \d+ had finished its requests, then it ended with exit code 7"),
    ],
)
def test_a_worker_that_crashes_behind_its_requests_has_cut_none(folder, end, said):
    with serving(folder, end) as (program, port):
        with Client(port=port) as client:
            assert client.ask(get()).body == b"hello"
        code, _, err = program.stop()
    assert code == 0
    assert re.search(said, err), err
    assert "cut" not in err


@pytest.mark.slow
@pytest.mark.parametrize("count", ["0", "1"])
def test_output_that_cannot_be_written_changes_no_exit_code(folder, count):
    with serving(folder, "full output", "--workers", count) as (program, _):
        code, _, err = program.stop()
    assert code == 0
    assert err.count("wsgiserve: the last output of the app could not be written: ") == 1
    assert "Exception ignored" not in err


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--workers=0", "--workers=1", "--preload"])
def test_a_failed_start_ends_although_a_thread_was_started(folder, option):
    env = {**FREE_PORT, "KEPT_BY": "thread, failure", "PYTHONWARNINGS": "ignore"}
    with Program(folder, "left", option, env=env) as program:
        code, _, err = program.end()
    assert code == 3
    assert "RuntimeError: no database\n" in err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_hooks_of_run(folder, number):
    with Program(folder, "left.py", command=(), env={"KEPT_BY": "hook"}) as program:
        program.port()
        program.process.send_signal(number)
        assert program.process.stdout.readline() == "kept\n"
        code, _, err = program.stop(number)
    assert code == 0
    assert re.fullmatch(rf"wsgiserve: process \d+ was ended although {OBSTACLES['hook']}\n", err), err


@pytest.mark.slow
def test_behind_run_the_program_is_its_own(folder):
    """Its exit code is not ours to decide."""
    (folder / "goes_on.py").write_text(
        "import time\nfrom left import application\nfrom wsgiserve.server.program import run\n"
        "run(application, bind='127.0.0.1:0', graceful_timeout=0.1)\n"
        "print('after', flush=True)\ntime.sleep(6)\nraise SystemExit(5)\n"
    )
    with Program(folder, "goes_on.py", command=(), env={"KEPT_BY": "nothing"}) as program:
        program.port()
        assert program.stop() == (5, "after\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process")
@pytest.mark.parametrize("workers", [0, 1])
def test_threads_end_without_descriptors(folder, workers):
    import resource

    arguments = ["--workers", str(workers), "--pid-file", "pid"] if workers else ["--workers", "0"]
    with serving(folder, "much to free", *arguments) as (program, _):
        pid = read_status(str(folder / "pid"))["workers"][0]["pid"] if workers else program.process.pid
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3))
        code, _, err = program.stop()
    assert code == 0
    assert "Fatal" not in err
    assert "SIGABRT" not in err
