"""``Server`` and ``serve`` as a library, in this process."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.program import ROOT
from tests.server.apps import TEXT, Gate, answer, checked
from tests.server.client import SECONDS, Client, get, refuses, wait_until
from wsgiserve.config import ConfigError
from wsgiserve.server import ListenError
from wsgiserve.server.server import STOP_SIGNALS, Server, serve

HELLO = checked(answer(b"hello"))


def test_context_manager(serving):
    with serving(HELLO) as server:
        port = server.port
        assert server.url == f"http://127.0.0.1:{port}"
        assert server.urls == [server.url]
        with Client(port=port) as client:
            assert client.ask(get()).body == b"hello"
    assert server.urls == []
    assert refuses(port)


def test_server_can_serve_again(serving):
    server = serving(HELLO)
    for _ in range(3):
        with server, Client(server) as client:
            assert client.ask(get()).body == b"hello"


def test_several_addresses(serving):
    class Environ:
        def __call__(self, environ, start_response):
            start_response("200 OK", [TEXT])
            return [f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}".encode()]

    server = Server(checked(Environ()), bind=["127.0.0.1:0", "localhost:0"])
    with server:
        names = ["127.0.0.1", "localhost"]
        ports = [int(url.rpartition(":")[2]) for url in server.urls]
        for name, port in zip(names, ports, strict=True):
            with Client(port=port) as client:
                assert client.ask(get()).body == f"{name}:{port}".encode()


def test_serve_outside_the_main_thread():
    server = Server(HELLO, port=0)
    outcome = []
    ready = threading.Event()
    thread = threading.Thread(target=lambda: outcome.append(server.serve(ready=ready.set)))
    thread.start()
    assert ready.wait(SECONDS)
    with Client(server) as client:
        assert client.ask(get()).body == b"hello"
    server.stop()
    thread.join(SECONDS)
    assert outcome == [True]


def test_serve_on_the_main_thread_heeds_signals_and_puts_them_back():
    """SIGTERM of this very process, sent by the app's client."""
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    server = Server(HELLO, port=0)
    server.open()
    port = server.port
    bodies = []

    def visit():
        with Client(port=port) as client:
            bodies.append(client.ask(get()).body)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=visit)
    assert server.serve(ready=thread.start) is True
    thread.join(SECONDS)
    assert bodies == [b"hello"]
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_serve_runs_the_hooks_of_the_app_around_its_requests(tmp_path):
    class Hooked:
        def __init__(self):
            self.events = []

        def startup(self):
            self.events.append("startup")

        def shutdown(self):
            self.events.append("shutdown")

        def __call__(self, environ, start_response):
            self.events.append(environ["PATH_INFO"])
            start_response("200 OK", [TEXT])
            return [b"hello"]

    app, path = Hooked(), str(tmp_path / "socket")

    def visit():
        wait_until(lambda: os.path.exists(path))
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(SECONDS)
                wait_until(lambda: sock.connect_ex(path) == 0)
                sock.sendall(get("/", "Connection: close"))
                assert sock.recv(65536).endswith(b"hello")
        finally:  # The server listens, so it heeds signals too.
            os.kill(os.getpid(), signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        visited = pool.submit(visit)
        assert serve(app, bind=f"unix:{path}") is True
        visited.result(SECONDS)
    assert app.events == ["startup", "/", "shutdown"]


def test_serve_returns_false_if_requests_were_cut():
    gate = Gate()
    server = Server(checked(gate), port=0, graceful_timeout=0)
    outcome = []
    ready = threading.Event()
    thread = threading.Thread(target=lambda: outcome.append(server.serve(ready=ready.set)))
    thread.start()
    assert ready.wait(SECONDS)
    with Client(server) as client:
        client.send(get("/slow"))
        wait_until(lambda: gate.inside)
        server.stop()
        thread.join(SECONDS)
        assert outcome == [False]
        gate.opened.set()
        assert client.response().body == b"/slow"  # The thread in the app is still its client's.
        assert client.rest() == b""


def test_wrong_options():
    with pytest.raises(ConfigError, match=r"bind: 8000 is not HOST:PORT"):
        Server(HELLO, bind=8000)
    with pytest.raises(ConfigError, match="unknown option thread; the options are access_log, app, backlog"):
        Server(HELLO, thread=5)
    with pytest.raises(ConfigError, match="threads: 0 is not a whole number of at least 1"):
        Server(HELLO, threads=0)
    for value in (2.5, True, float("inf"), "4"):
        with pytest.raises(ConfigError, match="is not a whole number"):
            Server(HELLO, threads=value)
    with pytest.raises(ConfigError, match="name at least one"):
        Server(HELLO, bind=[])
    with pytest.raises(ConfigError, match="'nowhere' is not HOST:PORT"):
        Server(HELLO, bind="nowhere")
    with pytest.raises(TypeError, match="a WSGI app is a callable"):
        Server("app")
    with pytest.raises(RuntimeError, match="the server does not listen"):
        _ = Server(HELLO).url


def test_all_addresses_or_none():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        binds = ["127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}"]
        server = Server(HELLO, bind=binds)
        with pytest.raises(ListenError, match="address already in use"):
            server.open()
    assert server.urls == []


def test_library_is_silent(serving, capsys, caplog):
    caplog.set_level(logging.INFO)
    with serving(HELLO) as server, Client(server) as client:
        client.ask(get())
    assert capsys.readouterr() == ("", "")
    assert not caplog.records


FORKING = """
import os, socket, sys
from wsgiserve.server.server import Server
server = Server(lambda environ, start_response: [], port=0)
server.open()
port = server.port
begun, begin = os.pipe()
reader, writer = os.pipe()
if os.fork() == 0:
    os.close(writer)
    os.write(begin, b".")
    os.read(reader, 1)
    os._exit(0)
os.read(begun, 1)
server.listeners[0].close()
again = Server(server.app, port=port)
again.open()
print(again.port == port)
"""


def test_child_does_not_keep_the_port():
    shown = subprocess.run(
        [sys.executable, "-c", FORKING], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.stdout == "True\n", shown.stderr
