"""The template process of ``--preload``, forked by the test, which is its supervisor."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import traceback

import pytest

from tests.processes.programs import is_alive, serving
from tests.server.client import SECONDS, Client, get, refuses, wait_until
from wsgiserve.processes import preload
from wsgiserve.processes.channel import Channel
from wsgiserve.processes.preload import be_template
from wsgiserve.processes.spawn import Birth
from wsgiserve.server.errors import StartError
from wsgiserve.server.scoreboard import Scoreboard
from wsgiserve.server.sockets.listener import Listener, inherited

# Threads of other tests may be about to end; the forked children here run a few lines only.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def app(environ, start_response):
    return []


class Template:
    """A template process and the supervisor's end of its channel.

    A worker that it forks says ``NUMBER PID SOUND`` over its channel, and waits for the end of it.
    """

    def __init__(self, load, listener):
        ours, theirs = socket.socketpair()
        with inherited():
            self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            self.be(load, listener, theirs)
        theirs.close()
        ours.settimeout(SECONDS)
        self.channel = Channel(ours)

    def be(self, load, listener, theirs):
        code = 9
        try:
            os.chdir(os.path.dirname(__file__))
            birth = Birth(theirs, [listener], Scoreboard(), is_template=True)
            worker = be_template(birth, load, lambda: None)
            if worker is not None:
                sound = worker.app is load() and not worker.is_template
                sound = sound and worker.listeners[0].sock.fileno() >= 0
                worker.sock.sendall(f"{worker.number} {os.getpid()} {sound}".encode())
                code = worker.sock.recv(1)[0] if sound else 8
            else:
                code = 0 if listener.sock.fileno() == -1 else 7
        except BaseException:  # noqa: BLE001 - nothing may return into the test
            traceback.print_exc()
        finally:
            os._exit(code)

    def leave(self):
        """Order it to let go of the listeners."""
        self.channel.send(order="leave")

    def order(self, number):
        """Order a worker; return the supervisor's end of its channel."""
        ours, theirs = socket.socketpair()
        self.channel.pass_on(theirs.fileno(), order="fork", number=number, row=0)
        theirs.close()
        ours.settimeout(SECONDS)
        return ours

    def end(self):
        """Hang up; return the exit code."""
        self.channel.close()
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def template():
    """Return ``template(load)``: a template process."""
    templates = []
    listener = Listener(socket.create_server(("127.0.0.1", 0)), "127.0.0.1")

    def template(load=lambda: app):
        templates.append(Template(load, listener))
        templates[-1].listener, templates[-1].port = listener, listener.port
        return templates[-1]

    yield template
    for each in templates:
        if each.pid:
            os.kill(each.pid, signal.SIGKILL)
            each.end()
    listener.close()


def test_an_app_that_cannot_be_imported_is_told_with_its_reason(template):
    def load():
        raise StartError("their traceback")

    its = template(load)
    assert its.channel.wait() == {"event": "failed", "reason": "their traceback"}
    assert its.channel.wait() is None
    assert its.end() == 0


def test_a_template_ends_with_its_channel(template):
    its = template()
    assert its.channel.wait() == {"event": "ready"}
    assert its.end() == 0


def test_a_template_lets_go_of_the_listeners_as_the_server_stops(template):
    """Or clients would connect to listeners of which nobody accepts, until the template ends."""
    its = template()
    assert its.channel.wait() == {"event": "ready"}
    with its.order(7) as sock:
        assert sock.recv(100).endswith(b"True"), "its workers keep them"
        assert its.channel.wait()["event"] == "born"
        sock.sendall(b"\0")
    assert its.channel.wait()["event"] == "gone"
    its.listener.leave()
    its.leave()
    wait_until(lambda: refuses(its.port))
    assert is_alive(its.pid)
    assert its.end() == 0


def test_a_forked_worker_has_the_app_and_all_that_it_serves_with(template):
    its = template()
    assert its.channel.wait() == {"event": "ready"}
    for number in (7, 8):
        with its.order(number) as sock:
            said = sock.recv(100).decode().split()
            born = its.channel.wait()
            assert born == {"event": "born", "number": number, "pid": int(said[1])}
            assert said == [str(number), str(born["pid"]), "True"]
            sock.sendall(bytes([number]))
            assert its.channel.wait() == {"event": "gone", "number": number, "code": number}
    assert its.end() == 0


def test_the_end_of_the_app_s_own_children_is_not_told(template):
    def load():
        if os.fork() == 0:
            os._exit(3)
        return app

    its = template(load)
    assert its.channel.wait() == {"event": "ready"}
    with its.order(7) as sock:
        assert its.channel.wait()["event"] == "born"
        sock.recv(100)
        sock.sendall(b"\0")
        assert its.channel.wait() == {"event": "gone", "number": 7, "code": 0}
    assert its.end() == 0


def test_a_fork_that_the_system_refuses_is_told(template):
    def load():
        preload.fork = refuse
        return app

    def refuse():
        raise BlockingIOError(11, "no more processes")

    its = template(load)
    assert its.channel.wait() == {"event": "ready"}
    its.order(7).close()
    refused = {"event": "refused", "number": 7, "reason": "[Errno 11] no more processes"}
    assert its.channel.wait() == refused
    assert its.end() == 0


def test_a_template_without_descriptors_refuses(template):
    def load():
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit))
        return app

    its = template(load)
    assert its.channel.wait() == {"event": "ready"}
    its.order(7).close()
    reason = "[Errno 24] Too many open files"
    assert its.channel.wait() == {"event": "refused", "number": 7, "reason": reason}
    assert its.end() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a process when its channel ends")
def test_a_template_that_hangs_in_the_import_dies_with_its_supervisor(template, tmp_path):
    def load():
        (tmp_path / "imports").touch()
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            pass

    its = template(load)
    wait_until((tmp_path / "imports").exists)
    assert its.end() == -signal.SIGKILL


def test_workers_share_one_import(folder):
    (folder / "app.py").write_text(
        "import os\n"
        "IMPORTED_BY = os.getpid()\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [f'{IMPORTED_BY} {os.getpid()}'.encode()]\n"
    )
    with serving(folder, "app", "--preload", "--workers", "2") as (program, port):
        seen = set()
        for _ in range(20):
            with Client(port=port) as client:
                seen.add(tuple(client.ask(get()).body.split()))
        assert len({template for template, _ in seen}) == 1
        assert len({worker for _, worker in seen}) == 2
        assert not {template for template, _ in seen} & {worker for _, worker in seen}
        assert program.stop()[0] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere such a client is reset")
def test_no_client_comes_to_a_template_that_is_late_to_let_go_of_the_listeners(folder):
    (folder / "app.py").write_text(
        "import os\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str(os.getppid()).encode()]\n"
    )
    with serving(folder, "app", "--preload", "--workers", "2") as (program, port):
        with Client(port=port) as client:
            template = int(client.ask(get()).body)
        os.kill(template, signal.SIGSTOP)
        try:
            program.process.send_signal(signal.SIGTERM)
            wait_until(lambda: refuses(port))
        finally:
            os.kill(template, signal.SIGCONT)
        assert program.end()[0] == 0


ONCE = """
import atexit, multiprocessing, os, tempfile, threading, time

print("printed at import", end=" ")
file = open("written", "w")
file.write("written at import")
folder = tempfile.TemporaryDirectory(dir=".")
helper = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,), daemon=True)
helper.start()
threading.Thread(target=threading.Event().wait, name="poller-of-theirs", daemon=True).start()

def application(environ, start_response):
    start_response("200 OK", [])
    return [f"{os.getpid()} {helper.pid} {os.path.exists(folder.name)}".encode()]
"""


def test_what_belongs_to_the_template_is_not_ended_or_written_by_a_worker(folder):
    (folder / "app.py").write_text(ONCE)
    with serving(folder, "app", "--preload") as (program, port):

        def ask():
            with Client(port=port) as client:
                return client.ask(get()).body.decode().split()

        first, helper, is_there = ask()
        assert is_there == "True"
        os.kill(int(first), signal.SIGTERM)  # It is replaced, and ends in good order.
        wait_until(lambda: ask()[0] != first)
        wait_until(lambda: not is_alive(int(first)))
        assert is_alive(int(helper))
        assert ask()[2] == "True"
        code, out, err = program.stop()
    assert (code, out) == (0, "")
    assert (folder / "written").read_text() == "written at import"
    assert "threads that the app starts when it is imported are not in workers: poller-of-theirs" in err
    assert not is_alive(int(helper))
