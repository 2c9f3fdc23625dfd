"""Stopping in good order: which clients are still answered, and which requests are cut."""

from __future__ import annotations

import socket
import sys
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest

from tests.server.apps import answer, checked, connections
from tests.server.client import SECONDS, Client, get, refuses, wait_until
from tests.server.test_own_answers import HEALTH, READY
from wsgiserve import Server
from wsgiserve.config.binds import parse_bind
from wsgiserve.server import shutdown
from wsgiserve.server.scoreboard import Scoreboard
from wsgiserve.server.shutdown import Plan
from wsgiserve.server.sockets.listener import Listener


@contextmanager
def stopping(server):
    """Serve on another thread; yield the list that gets the outcome at the end."""
    ready, outcome = threading.Event(), []
    thread = threading.Thread(target=lambda: outcome.append(server.serve(ready=ready.set)), daemon=True)
    thread.start()
    assert ready.wait(SECONDS)
    try:
        yield outcome
    finally:
        if not outcome:
            server.stop()
            server.stop()
        thread.join(SECONDS)
        assert not thread.is_alive()


def ended(outcome):
    wait_until(lambda: outcome)
    return outcome[0]


@pytest.mark.parametrize("everywhere", [False, True])
def test_only_a_stop_of_all_makes_shared_listeners_deaf(everywhere):
    """A signal may have come to this process alone."""
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        theirs.settimeout(SECONDS)
        copy = theirs.dup()
        copy.setblocking(False)
        server = Server(checked(answer(b"app")))
        server.open_shared([Listener(copy, "127.0.0.1")], Scoreboard().row(1), alone=False)
        with stopping(server) as outcome, Client(server) as client:
            client.ask(get())
            server.stop(everywhere=everywhere)
            assert client.rest() == b""
            assert ended(outcome)
        if sys.platform == "linux":
            assert refuses(theirs.getsockname()[1]) == everywhere


# -- the drain


def test_each_phase_changes_one_thing(serving):
    """Of a drain with a long delay: the test moves it on."""
    with (
        serving(checked(answer(b"app")), health_path=HEALTH, drain_delay=600) as server,
        Client(server) as client,
        Client(server) as probe,
    ):
        assert (client.ask(get()).body, probe.ask(get(READY)).status) == (b"app", 200)
        port = server.port
        server.stop()
        response = probe.ask(get(READY))
        assert (response.status, response.body) == (503, b"stopping\n")
        assert probe.ask(get(HEALTH)).status == 200
        with Client(port=port) as late:
            assert "connection" not in late.ask(get()).headers
        assert "connection" not in client.ask(get()).headers
        now = time.monotonic()
        server._loop.stop(Plan(now, now + 600, now + 600, now + 600))
        wait_until(lambda: server.snapshot().phase == "parting")
        assert client.ask(get()).headers["connection"] == "close"
        assert client.rest() == b""
        with Client(port=port) as late:  # It still accepts.
            assert late.ask(get()).headers["connection"] == "close"
        server._loop.stop(Plan(now, now, now + 600, now + 600))
        wait_until(lambda: refuses(port))
        assert probe.ask(get(HEALTH)).headers["connection"] == "close"
        assert probe.rest() == b""


@pytest.mark.slow
def test_readiness_is_false_at_once_and_all_else_goes_on(serving):
    with (
        serving(checked(answer(b"app")), health_path=HEALTH, drain_delay=1.2) as server,
        Client(server) as client,
        Client(server) as probe,
    ):
        assert (client.ask(get()).body, probe.ask(get(READY)).status) == (b"app", 200)
        port = server.port
        stopped = time.monotonic()
        server.stop()
        response = probe.ask(get(READY))
        assert (response.status, response.body) == (503, b"stopping\n")
        assert probe.ask(get(HEALTH)).status == 200
        with Client(port=port) as late:
            assert "connection" not in late.ask(get()).headers
        assert "connection" not in client.ask(get()).headers
        assert time.monotonic() - stopped < 0.6
        wait_until(lambda: server.snapshot().phase not in ("serving", "draining"))
        assert client.ask(get()).headers["connection"] == "close"
        assert client.rest() == b""
        with Client(port=port) as late:  # It still accepts.
            assert late.ask(get()).headers["connection"] == "close"
        wait_until(lambda: refuses(port))
        assert time.monotonic() - stopped >= 1.2


@pytest.mark.slow
def test_stop_without_delay_refuses_at_once_and_closes_idle_connections_a_little_later(serving, monkeypatch):
    monkeypatch.setattr(shutdown, "FAREWELL_SECONDS", 1.0)
    with serving(checked(answer(b"app"))) as server, Client(server) as idle, Client(server) as busy:
        idle.ask(get())
        busy.ask(get())
        port = server.port
        started = time.monotonic()
        server.stop()
        wait_until(lambda: refuses(port))
        assert busy.ask(get()).headers["connection"] == "close"
        assert time.monotonic() - started < 1
        assert idle.rest() == b""
        assert time.monotonic() - started >= 1


def test_clients_in_the_backlog_are_answered_at_a_stop(serving, gate):
    """As many as the system holds for a loop that is busy, when the server is asked to stop."""
    with serving(checked(gate), threads=1) as server, ExitStack() as stack:
        loop = server._loop
        held = threading.Event()
        poll = loop.poller.poll

        def hold(timeout):
            held.wait(SECONDS)
            loop.poller.poll = poll
            return []

        loop.poller.poll = hold
        loop.poller.bell.ring()
        clients = [stack.enter_context(Client(server)) for _ in range(200)]
        for number, client in enumerate(clients):
            client.send(get(f"/{number}"))
        server.stop()
        held.set()
        for number, client in enumerate(clients):
            response = client.response()
            assert (response.body, response.headers["connection"]) == (b"/%d" % number, "close")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere such a client is reset")
def test_client_whose_handshake_has_begun_is_answered_at_a_stop(serving, monkeypatch):
    """The last packet of a handshake may come after the stop."""
    monkeypatch.setattr(shutdown, "FAREWELL_SECONDS", SECONDS)
    with serving(checked(answer(b"app")), bind=(parse_bind("0.0.0.0:0"),)) as server:
        with Client(server, begins_only=True) as client:
            port = server.port
            server.stop()
            wait_until(lambda: refuses(port))
            response = client.ask(get())
            assert (response.body, response.headers["connection"]) == (b"app", "close")
        server.stop()


def test_request_that_comes_as_idle_connections_are_closed_is_answered(serving):
    """The last look: a request that arrived after the poll is served too."""
    with serving(checked(answer(b"app"))) as server, Client(server) as client:
        client.ask(get())
        loop = server._loop
        close_idle = loop._close_idle

        def late():
            loop._close_idle = close_idle
            client.send(get())
            wait_until(lambda: server.snapshot().connections)
            close_idle()

        loop._close_idle = late
        server.stop()
        response = client.response()
        assert (response.body, response.headers["connection"]) == (b"app", "close")


def test_requests_in_the_queue_at_the_end_are_answered_503(gate):
    server = Server(checked(gate), port=0, threads=1, graceful_timeout=0.1)
    with stopping(server) as outcome, ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(4)]
        clients[0].send(get("/slow"))
        wait_until(lambda: gate.inside)
        for client in clients[1:]:
            client.send(get("/behind"))
        wait_until(lambda: server.snapshot().queued == 3)
        server.stop()
        for client in clients[1:]:
            response = client.response()
            assert (response.status, response.headers["connection"]) == (503, "close")
            assert b"the server stops" in response.body
        assert ended(outcome) is False
        assert server.cut == ["GET /slow"]


@pytest.mark.slow
def test_what_was_cut_is_named(gate, log):
    server = Server(checked(gate), port=0, threads=4, graceful_timeout=0.1)
    with stopping(server) as outcome, ExitStack() as stack:
        slow, arriving, done = (stack.enter_context(Client(server)) for _ in range(3))
        slow.send(get("/slow?secret"))
        wait_until(lambda: gate.inside)
        arriving.send(get("/upload", "Content-Length: 5", method="POST") + b"abc")
        assert done.ask(get()).status == 200
        server.stop()
        assert ended(outcome) is False
    assert server.cut == ["GET /slow", "POST /upload (its body was still arriving)"]
    [line] = [record.getMessage() for record in log.records if "stopped" in record.getMessage()]
    assert line == (
        "stopped; 2 unfinished requests were cut: GET /slow, POST /upload (its body was still arriving)"
    )


@pytest.mark.slow
def test_response_that_its_client_does_not_read_is_named():
    server = Server(checked(answer(b"x" * 10_000_000)), port=0, graceful_timeout=0.1)
    with stopping(server) as outcome, Client(server, receive_buffer=4096) as client:
        client.send(get("/big"))
        wait_until(lambda: any(connection.outgoing for connection in connections(server).values()))
        server.stop()
        assert ended(outcome) is False
    assert server.cut == ["GET /big (its response was still being sent)"]


def test_client_that_does_not_close_is_not_cut():
    """It has its answer; that it does not close its side is no failure."""
    server = Server(checked(answer(b"app")), port=0, graceful_timeout=0)
    with stopping(server) as outcome, Client(server) as client:
        client.ask(get())
        server.stop()
        assert ended(outcome) is True
    assert server.cut == []


def test_second_stop_does_not_wait_for_the_delay():
    server = Server(checked(answer(b"app")), port=0, drain_delay=60, graceful_timeout=60)
    with stopping(server) as outcome, Client(server) as client:
        client.ask(get())
        started = time.monotonic()
        server.stop()
        assert client.ask(get()).status == 200
        server.stop()
        assert ended(outcome) is True
        assert time.monotonic() - started < 3


def test_stop_without_clients_waits_for_the_delay_alone():
    server = Server(checked(answer(b"app")), port=0, drain_delay=0.2)
    with stopping(server) as outcome:
        started = time.monotonic()
        server.stop()
        assert ended(outcome) is True
        assert 0.2 <= time.monotonic() - started < 2


@pytest.mark.slow
def test_clients_that_reuse_connections_fail_never_while_it_drains():
    """Those that are told to close open no new connection after a while, as behind a load balancer."""
    server = Server(answer(b"app"), port=0, drain_delay=0.6, health_path=HEALTH)
    failures, count = [], []
    with stopping(server) as outcome:
        port = server.port
        threads = [threading.Thread(target=_visit, args=(port, failures, count)) for _ in range(8)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(count) > 200)
        server.stop()
        for thread in threads:
            thread.join(SECONDS)
        assert ended(outcome) is True
    assert failures == []


def _visit(port, failures, count):
    """Ask until the server says that it is not ready, and then until it closes the connection."""
    ready = True
    while ready:
        try:
            with Client(port=port) as client:
                while True:
                    response = client.ask(get())
                    count.append(response.status)
                    ready = ready and client.ask(get(READY)).status == 200
                    if "connection" in response.headers:
                        break
        except (OSError, EOFError, AssertionError) as error:
            failures.append(error)
            return
