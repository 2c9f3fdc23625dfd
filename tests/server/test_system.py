"""Parts of Python's library that the server took before the app could replace them."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.program import ROOT
from tests.server.client import SECONDS
from wsgiserve.server import system


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_thread_runs_and_can_be_waited_for(monkeypatch, is_replaced):
    if is_replaced:
        monkeypatch.setattr(threading, "Lock", None)  # as gevent and eventlet replace it
        monkeypatch.setattr(threading, "Thread", None)
    go_on, idents = system.SimpleQueue(), []

    def run(word):
        heard = go_on.get(timeout=SECONDS)
        idents.append((word, system.get_ident(), heard))

    join = system.start_thread(run, "word", name="named")
    join(0.01)
    assert idents == []
    go_on.put("go on")
    join(SECONDS)
    ((word, ident, heard),) = idents
    assert (word, heard) == ("word", "go on")
    assert ident != system.get_ident()


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_thread_has_begun_once_it_is_started(monkeypatch, is_replaced):
    """Or Python, at the end of the process, would free what the thread begins with."""
    if is_replaced:
        monkeypatch.setattr(threading, "Lock", None)
    go_on = system.Lock()
    go_on.acquire()
    interval = sys.getswitchinterval()
    before = set(sys._current_frames())
    sys.setswitchinterval(SECONDS)  # No thread comes in by itself.
    try:
        join = system.start_thread(go_on.acquire, name="waits")
        begun = set(sys._current_frames()) - before
    finally:
        sys.setswitchinterval(interval)
        go_on.release()
    join(SECONDS)
    assert len(begun) == 1


def test_a_thread_has_its_name_and_keeps_no_process():
    threads = []
    system.start_thread(lambda: threads.append(threading.current_thread()), name="named")(SECONDS)
    assert (threads[0].name, threads[0].daemon) == ("named", True)


def test_sockets_are_real_though_the_app_replaced_the_class(monkeypatch):
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        monkeypatch.setattr(socket, "socket", None)
        accepted, address = system.accept(listener, system.kind_of(listener))
        one, other = system.socketpair()
        with accepted, one, other:
            assert (accepted.family, accepted.type) == (listener.family, listener.type)
            assert type(accepted) is type(one) is type(other) is system.Socket
            assert address == client.getsockname()
            client.sendall(b"x")
            one.sendall(b"y")
            assert (accepted.recv(1), other.recv(1)) == (b"x", b"y")


def test_the_clocks_go_on_though_the_app_stopped_those_of_python(monkeypatch):
    monotonic, wall_clock = time.monotonic(), time.time()
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 0 <= system.monotonic() - monotonic < SECONDS
    assert abs(system.wall_clock() - wall_clock) < SECONDS


def test_the_clocks_go_on_where_they_were_stopped_before_the_import():
    program = (
        "import time; time.monotonic = time.time = lambda: 0.0\n"
        "from wsgiserve.server import system; print(min(system.monotonic(), system.wall_clock()) > 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "True\n"
