"""The state of a server, as everybody may look at it."""

from __future__ import annotations

from tests.server.apps import checked
from tests.server.client import Client, get, wait_until
from wsgiserve import Server
from wsgiserve.server.snapshot import Snapshot


def test_server_that_does_not_run():
    assert Server(checked, port=0).snapshot() == Snapshot("stopped", "closed", 0, 0, 0, 0, 0, 0)


def test_server_at_work(serving, gate):
    server = serving(checked(gate), threads=1, max_connections=4)
    with server:
        assert server.snapshot() == Snapshot("serving", "open")
        with Client(server) as slow, Client(server) as waiting, Client(server) as idle:
            idle.ask(get())
            slow.send(get("/slow"))
            wait_until(lambda: server.snapshot().busy == 1)
            waiting.send(get("/waiting"))
            wait_until(lambda: server.snapshot().queued == 1)
            seen = server.snapshot()
            assert (seen.connections, seen.running, seen.lost) == (3, 2, 0)
            assert server.running() == 2
            gate.opened.set()
            assert (slow.response().body, waiting.response().body) == (b"/slow", b"/waiting")
            wait_until(lambda: server.snapshot()[3:6] == (0, 0, 0))
            wait_until(lambda: server.snapshot().idle == 1)
            server.stop()
            wait_until(lambda: server.snapshot().phase != "serving")
    assert server.snapshot() == Snapshot()


def test_server_that_gives_threads_up_counts_them(serving, gate):
    with serving(checked(gate), request_timeout=0.05) as server, Client(server) as client:
        client.send(get("/slow"))
        assert client.response().status == 504
        wait_until(
            lambda: not server.snapshot().running
        )  # The answer leaves before the connection is closed.
        assert server.snapshot().lost == 1
        gate.opened.set()
        wait_until(lambda: not server.snapshot().lost)
