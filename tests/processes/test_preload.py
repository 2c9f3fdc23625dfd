"""The template process of ``--preload``, run by this process."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from tests.processes.programs import serving
from tests.server.client import SECONDS, Client, get
from wsgiserve.processes import signals
from wsgiserve.processes.preload import be_template
from wsgiserve.processes.spawn import Birth
from wsgiserve.server.errors import StartError
from wsgiserve.server.scoreboard import Scoreboard
from wsgiserve.server.sockets.listener import Listener

# Threads of other tests may be about to end; the forked children here run a few lines only.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def app(environ, start_response):
    return []


@pytest.fixture
def template(ends, monkeypatch, tmp_path):
    """Return ``template(load)``: be a template for the orders that were sent; its result."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.chdir(tmp_path)
    listener = Listener(socket.create_server(("127.0.0.1", 0)), "127.0.0.1")
    birth = Birth(ends[1].sock.dup(), [listener], Scoreboard(), is_template=True)
    ends[1].close()
    prepared = []

    def template(load):
        return be_template(birth, load, lambda: prepared.append("prepared"))

    template.prepared = prepared
    template.listener = listener
    before = {number: signal.getsignal(number) for number in signals.existing()}
    yield template
    gc.unfreeze()
    listener.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def messages(channel):
    """Return all that the template said, as (event, the rest)."""
    return [(message.pop("event"), message) for message in channel.rest()]


def order_worker(channel, number):
    """Order a worker; return the supervisor's end of its channel."""
    ours, theirs = socket.socketpair()
    channel.send(theirs.fileno(), order="fork", number=number)
    theirs.close()
    ours.settimeout(SECONDS)
    return ours


def test_an_app_that_cannot_be_imported_is_told_with_its_reason(template, ends):
    def load():
        raise StartError("their traceback")

    assert template(load) is None
    assert messages(ends[0]) == [("failed", {"reason": "their traceback"})]
    assert template.prepared == []
    assert template.listener.sock.fileno() == -1


@pytest.mark.slow
def test_a_template_ends_with_its_channel(template, ends):
    ends[0].sock.shutdown(socket.SHUT_WR)
    assert template(lambda: app) is None
    assert messages(ends[0]) == [("ready", {})]
    assert template.prepared == ["prepared"]
    assert template.listener.sock.fileno() == -1


def test_a_forked_worker_has_the_app_and_all_that_it_serves_with(template, ends):
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(order_worker(ends[0], number)) for number in (7, 8))
        ends[0].sock.shutdown(socket.SHUT_WR)
        child = template(lambda: app)
        if child is not None:
            sound = child.app is app and not child.is_template and child.listeners[0].sock.fileno() >= 0
            child.sock.sendall(f"{child.number} {os.getpid()} {sound}".encode())
            os._exit(0)
        said = [first.recv(100).decode().split(), second.recv(100).decode().split()]
    born = [message for event, message in messages(ends[0]) if event == "born"]
    assert said == [[str(its["number"]), str(its["pid"]), "True"] for its in born]
    assert [its["number"] for its in born] == [7, 8]
    for its in born:
        with contextlib.suppress(ChildProcessError):  # The template may have reaped it.
            os.waitpid(its["pid"], 0)


# As the supervisor: hang up once the end of the worker was told; print all that was said.
SUPERVISOR = """
import socket, sys
sock = socket.socket(fileno=int(sys.argv[1]))
said = b""
while b'"gone"' not in said:
    said += sock.recv(1000)
sock.shutdown(socket.SHUT_WR)
print(said.decode())
"""


@pytest.mark.slow
def test_the_end_of_a_worker_is_told(template, ends):
    sock = order_worker(ends[0], 7)
    ends[0].sock.setblocking(True)
    descriptor = ends[0].fileno()
    command = [sys.executable, "-S", "-c", SUPERVISOR, str(descriptor)]
    supervisor = subprocess.Popen(command, pass_fds=[descriptor], stdout=subprocess.PIPE, text=True)
    child = template(lambda: app)
    if child is not None:
        os._exit(3)
    sock.close()
    said = [json.loads(line) for line in supervisor.communicate(timeout=SECONDS)[0].split("\n") if line]
    pid = said[1]["pid"]
    assert {"event": "gone", "pid": pid, "code": 3} in said


@pytest.mark.slow
def test_a_fork_that_the_system_refuses_is_told(template, ends, monkeypatch):
    def refuse():
        raise BlockingIOError(11, "no more processes")

    monkeypatch.setattr(os, "fork", refuse)
    order_worker(ends[0], 7).close()
    ends[0].sock.shutdown(socket.SHUT_WR)
    assert template(lambda: app) is None
    refused = messages(ends[0])[-1]
    assert refused == ("refused", {"number": 7, "reason": "[Errno 11] no more processes"})


@pytest.mark.slow
def test_threads_that_the_import_starts_are_told_of(template, ends, log):
    ends[0].sock.shutdown(socket.SHUT_WR)
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="poller-of-theirs")
    thread.start()
    template(lambda: app)
    over.set()
    thread.join()
    assert "--preload: threads that the app starts when it is imported are not in workers" in log.text
    assert "poller-of-theirs" in log.text


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
