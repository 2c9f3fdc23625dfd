"""The health path, which the server answers itself."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.server.apps import TEXT, answer, checked
from tests.server.client import STANDING, Client, get, wait_until, whole
from wsgiserve.config import ConfigError, make_config
from wsgiserve.server.own_answers import own_paths

HEALTH = "/healthz"
READY = "/healthz/ready"


def test_only_a_health_path_and_its_readiness_are_the_server_s_own():
    assert own_paths(HEALTH) == {HEALTH, READY}
    assert own_paths("") == frozenset()


def test_health_is_answered_without_the_app(serving):
    def app(environ, start_response):
        called.append(environ["PATH_INFO"])
        start_response("200 OK", [TEXT])
        return [b"app"]

    called = []
    lines = ["Content-Type: text/plain", "Cache-Control: no-store"]
    with serving(checked(app), health_path=HEALTH) as server, Client(server) as client:
        live = whole("HTTP/1.1 200 OK", *lines, "Content-Length: 5", STANDING, body=b"live\n")
        ready = whole("HTTP/1.1 200 OK", *lines, "Content-Length: 6", STANDING, body=b"ready\n")
        for _ in range(3):
            assert client.ask(get(HEALTH)).raw == live
            assert client.ask(get(READY)).raw == ready
            assert client.ask(get(READY)).raw == ready
            assert client.ask(get(HEALTH + "?a=b", method="HEAD")).raw == live.removesuffix(b"live\n")
            assert (
                client.ask(get(READY, "Connection: keep-alive", minor=0)).headers["connection"]
                == "keep-alive"
            )
            assert client.ask(get(HEALTH + "z")).body == b"app"
        refused = client.ask(get(HEALTH, method="POST", body=b"x"))
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
        assert refused.headers["connection"] == "close"
        assert client.rest() == b""
    assert called == ["/healthzz"] * 3


def test_worker_that_is_replaced_says_that_the_service_is_ready(serving):
    with serving(checked(answer(b"app")), health_path=HEALTH) as server, Client(server) as client:
        assert client.ask(get(READY)).body == b"ready\n"
        server.retire()
        wait_until(lambda: server.snapshot().phase not in ("serving", "draining"))
        response = client.ask(get(READY))
        assert (response.status, response.headers["connection"]) == (200, "close")


def test_without_the_option_the_path_is_the_app_s(serving):
    with serving(checked(answer(b"app"))) as server, Client(server) as client:
        assert client.ask(get(HEALTH)).body == b"app"


def test_health_is_answered_while_all_threads_are_busy(serving, gate):
    with serving(checked(gate), threads=2, max_queue=0, health_path=HEALTH) as server, ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(4)]
        for number, client in enumerate(clients[:2]):
            client.send(get(f"/slow/{number}"))
        wait_until(lambda: gate.inside == 2)
        for _ in range(3):
            assert clients[2].ask(get(HEALTH)).body == b"live\n"
            assert clients[2].ask(get(READY)).body == b"ready\n"
        wait_until(lambda: clients[3].ask(get("/slow/3")).status == 503)
        gate.opened.set()
        assert [client.response().status for client in clients[:2]] == [200, 200]


def test_health_is_not_in_the_access_log(serving, capsys):
    with (
        serving(checked(answer(b"app")), health_path=HEALTH, access_log=True) as server,
        Client(server) as client,
    ):
        assert client.ask(get(HEALTH)).status == 200
        assert client.ask(get()).status == 200
    assert capsys.readouterr().out.count("HTTP/1.1") == 1


def test_health_that_is_pipelined_is_the_last_answer(serving):
    """However many there are, none is answered from within the answer to another."""
    with serving(checked(answer(b"app")), health_path=HEALTH) as server, Client(server) as client:
        client.send(get() + get(HEALTH) * 300 + get())
        assert client.response().body == b"app"
        response = client.response()
        assert (response.body, response.headers["connection"]) == (b"live\n", "close")
        assert client.rest() == b""
        with Client(server) as other:
            assert other.ask(get()).body == b"app"


def test_health_path_is_a_path():
    with pytest.raises(ConfigError, match="'healthz' is not a path"):
        make_config(health_path="healthz")
