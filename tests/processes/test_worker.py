"""A worker process, whose supervisor is the test: orders and messages over its channel."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from tests.processes.programs import last_answer, serving
from tests.program import ROOT
from tests.server.client import SECONDS, Client, get, refuses, wait_until
from wsgiserve.processes.channel import Channel

WORKER = """
import json, os, signal, socket, sys
from wsgiserve.config import make_config
from wsgiserve.processes.spawn import Birth, imported
from wsgiserve.processes.worker import work
from wsgiserve.server.errors import StartError
from wsgiserve.server.scoreboard import Scoreboard
from wsgiserve.server.sockets.listener import Listener

channel, listener = map(int, sys.argv[1:3])

class App:
    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            print("entered", flush=True)
            sys.stdin.readline()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    def startup(self):
        if "no database" in sys.argv:
            raise RuntimeError("no database")
        print("startup", flush=True)

    def shutdown(self):
        print("shutdown", flush=True)

def terminated(event, arguments):
    # The server opens its log, while its handler of the signal is in force.
    if event == "open" and arguments[0] == options["access_log"]:
        os.kill(os.getpid(), signal.SIGTERM)

def load():
    if "no app" in sys.argv:
        raise StartError("no app here")
    if "terminated" in sys.argv:
        sys.addaudithook(terminated)
    return App()

birth = Birth(
    socket.socket(fileno=channel), [Listener(socket.socket(fileno=listener), "127.0.0.1")], Scoreboard(), 1
)
options = {"access_log": False, **json.loads(sys.argv[3])}
sys.exit(work(birth, load, make_config(**options), lambda: None))
"""


class Worker:
    """A worker process and the supervisor's end of its channel."""

    def __init__(self, *arguments, keeps=False, **options):
        ours, theirs = socket.socketpair()
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        ours.settimeout(SECONDS)
        self.channel = Channel(ours)
        descriptors = [theirs.fileno(), listener.fileno()]
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, *map(str, descriptors), json.dumps(options), *arguments],
            pass_fds=descriptors,
            env={**os.environ, "PYTHONPATH": str(ROOT), "WATCHDOG_USEC": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        theirs.close()
        self.listener = listener
        listener.settimeout(SECONDS)
        if not keeps:
            listener.close()

    def next(self):
        return self.channel.wait()

    def order(self, order):
        self.channel.send(order=order)

    def ready(self):
        assert self.next() == {"event": "ready", "pid": self.process.pid}

    def serve(self):
        self.ready()
        self.order("serve")
        assert self.next() == {"event": "serving"}

    def end(self):
        """Wait for the end; return (exit code, stdout, stderr)."""
        self.process.wait(SECONDS)  # Before its standard input is closed, which ends ``/slow``.
        out, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out, err

    def close(self):
        self.process.kill()
        self.process.communicate()
        self.channel.close()
        self.listener.close()


@pytest.fixture
def worker():
    started = []

    def worker(*arguments, **options):
        started.append(Worker(*arguments, **options))
        return started[-1]

    yield worker
    for each in started:
        each.close()


def test_a_worker_serves_when_it_is_told_to_and_stops_when_it_is_told_to(worker):
    its = worker()
    its.serve()
    with Client(port=its.port) as client:
        assert client.ask(get()).body == b"hello"
    its.order("stop")
    assert its.next()["event"] == "stopping"  # The call of before may still be counted.
    assert its.end() == (0, "startup\nshutdown\n", "")
    assert its.next() == {"event": "ended", "cut": 0}
    assert its.next() is None


def test_a_worker_that_retires_accepts_no_more_and_ends(worker):
    its = worker()
    its.serve()
    with Client(port=its.port) as idle:
        assert idle.ask(get()).body == b"hello"
        its.order("retire")
        assert its.next() == {"event": "retiring"}
        assert last_answer(idle).headers["connection"] == "close"
    assert its.end()[0] == 0


@pytest.mark.slow
def test_a_worker_tells_how_many_requests_run_and_cuts_them_in_a_hurry(worker):
    its = worker()
    its.serve()
    with Client(port=its.port) as client, Client(port=its.port) as other:
        client.send(get("/slow"))
        assert [its.process.stdout.readline() for _ in range(2)] == ["startup\n", "entered\n"]
        assert other.ask(get()).body == b"hello"
        its.order("stop")
        assert its.next() == {"event": "stopping", "running": 1}
        its.order("hurry")
        code, _, err = its.end()
    assert code == 1
    assert "1 unfinished request was cut: GET /slow" in err


@pytest.mark.parametrize(
    ("argument", "reason"), [("no app", "no app here"), ("no database", "RuntimeError: no database")]
)
def test_a_worker_that_cannot_start_tells_the_reason_and_prints_nothing(worker, argument, reason):
    its = worker(argument)
    message = its.next()
    assert message["event"] == "failed"
    assert message["reason"].endswith(reason)
    assert its.end() == (3, "", "")


@pytest.mark.parametrize("order", ["stop", None], ids=["told", "hung up"])
def test_a_worker_that_is_not_needed_runs_its_hooks_and_ends(worker, order):
    its = worker()
    its.ready()
    if order:
        its.order(order)
    else:
        its.channel.close()
    assert its.end() == (0, "startup\nshutdown\n", "")


def test_a_worker_that_is_terminated_as_its_server_is_made_waits_for_no_order(worker, tmp_path):
    its = worker("terminated", access_log=str(tmp_path / "access.log"))
    assert its.end() == (0, "startup\nshutdown\n", "")


def test_a_worker_stops_in_good_order_when_its_supervisor_is_gone(worker):
    its = worker()
    its.serve()
    with Client(port=its.port) as client:
        client.send(get("/slow"))
        assert [its.process.stdout.readline() for _ in range(2)] == ["startup\n", "entered\n"]
        its.channel.close()
        wait_until(lambda: refuses(its.port))
        its.process.stdin.write("\n")
        its.process.stdin.flush()
        assert client.response().headers["connection"] == "close"
    code, out, err = its.end()
    assert (code, out) == (0, "shutdown\n")
    assert f"the supervisor has hung up; worker {its.process.pid} stops" in err


WITHOUT_THREADS = """
import os, resource
from wsgiserve.processes import worker
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
worker._end_after(0.1)
"""


@pytest.mark.skipif(
    getattr(os, "getuid", lambda: 1)() != 0, reason="the limit of processes needs a user who has none"
)
def test_a_worker_that_has_to_end_does_so_where_no_thread_can_be_started():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_THREADS], cwd=ROOT, capture_output=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 1
    assert b"in _end_after" in done.stderr
    assert b"Error" not in done.stderr


def test_a_worker_whose_supervisor_has_hung_up_leaves_the_listener_to_others(worker):
    its = worker(keeps=True)
    its.serve()
    its.channel.close()
    assert its.end()[0] == 0
    with socket.create_connection(("127.0.0.1", its.port), timeout=SECONDS):
        its.listener.accept()[0].close()


def test_signals_that_are_the_supervisor_s_are_ignored(worker):
    its = worker()
    its.serve()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN):
        its.process.send_signal(number)
    with Client(port=its.port) as client:
        assert client.ask(get()).body == b"hello"
    its.order("stop")
    assert its.end()[0] == 0


def test_sigterm_asks_for_a_replacement_once_it_serves(worker):
    its = worker()
    its.serve()
    its.process.send_signal(signal.SIGTERM)
    assert its.next() == {"event": "worn", "why": "SIGTERM"}
    with Client(port=its.port) as client:
        assert client.ask(get()).headers.get("connection") is None


def test_sigterm_ends_it_at_once_before(worker):
    its = worker()
    its.ready()
    its.process.send_signal(signal.SIGTERM)
    assert its.end()[0] == -signal.SIGTERM


def test_a_limit_is_told(worker):
    its = worker(max_requests=2)
    its.serve()
    with Client(port=its.port) as client:
        for _ in range(2):
            client.ask(get())
    assert its.next() == {"event": "worn", "why": "max-requests"}


@pytest.mark.parametrize(("count", "multiprocess"), [("1", b"False"), ("2", b"True")])
def test_app_is_told_whether_others_serve_it_too(folder, count, multiprocess):
    (folder / "app.py").write_text(
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str(environ['wsgi.multiprocess']).encode()]\n"
    )
    with serving(folder, "app", "--workers", count) as (_, port), Client(port=port) as client:
        assert client.ask(get()).body == multiprocess
