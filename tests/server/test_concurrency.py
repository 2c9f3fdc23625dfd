"""Who waits for whom: the invariants of ``wsgiserve.server.threads.leadership``, seen from outside.

A call is held in the app by a gate, not by a time; that it was deposed shows in another request's answer.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from wsgiref.validate import validator

import pytest

from tests.server.apps import TEXT, Blocks, Gate, answer, checked
from tests.server.client import Client, get, refuses, wait_until
from tests.server.deposing import ask_fast, depose
from tests.server.descriptors import few_descriptors
from wsgiserve.server.system import HAS_GIL

# -- fast and slow


def test_slow_calls_do_not_stop_fast_ones(serving, gate):
    with serving(checked(gate)) as server, ExitStack() as stack:
        slow = [stack.enter_context(Client(server)) for _ in range(10)]
        for number, client in enumerate(slow):
            depose(server, gate, client, f"/slow/{number}")
        assert gate.inside == 10
        gate.opened.set()
        assert [client.response().body for client in slow] == [b"/slow/%d" % n for n in range(10)]
        assert [client.ask(get("/slow/x")).body for client in slow] == [b"/slow/x"] * 10


def test_slow_call_after_the_server_was_idle(serving, gate):
    """The sentinel sleeps while nothing is called, and has to wake up for the slow call."""
    with serving(checked(gate)) as server, Client(server) as client:
        ask_fast(server)
        wait_until(lambda: server._loop.leadership.alarm.asleep)
        depose(server, gate, client)
        gate.opened.set()
        assert client.response().body == b"/slow"


@pytest.mark.skipif(HAS_GIL, reason="needs a Python without the GIL")
def test_short_calls_that_compute_run_at_the_same_time_without_the_gil(serving):
    inside, together = set(), threading.Event()

    def compute(environ, start_response):
        inside.add(threading.get_ident())
        end = time.thread_time() + 0.003
        while time.thread_time() < end:
            if len(inside) > 1:
                together.set()
        inside.discard(threading.get_ident())
        return answer(b"done")(environ, start_response)

    def ask(client):
        while not together.is_set():
            client.ask(get())

    with serving(compute) as server, Client(server) as one, Client(server) as other:
        threads = [threading.Thread(target=ask, args=(client,)) for client in (one, other)]
        for thread in threads:
            thread.start()
        assert together.wait(10)
        for thread in threads:
            thread.join()


def test_promotion_deep_in_a_batch(serving, gate):
    """The rest of the deposed leader's batch is served by the next one."""
    with serving(checked(gate)) as server, ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(60)]
        for client in clients:
            client.ask(get("/warm"))
        for number, client in enumerate(clients):
            client.send(get(f"/slow/{number}" if number % 10 == 3 else f"/fast/{number}"))
        for number, client in enumerate(clients):
            if number % 10 != 3:
                assert client.response().body == b"/fast/%d" % number
        gate.opened.set()
        for number, client in enumerate(clients):
            if number % 10 == 3:
                assert client.response().body == b"/slow/%d" % number


# -- the cap


@pytest.mark.parametrize("cap", [1, 2, 5])
def test_no_more_calls_at_once_than_threads(serving, gate, cap):
    with serving(checked(gate), threads=cap) as server, ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(30)]
        for number, client in enumerate(clients):
            client.send(get(f"/slow/{number}"))
        wait_until(lambda: gate.inside == cap)
        with Client(server) as refused:  # The loop goes on without calling the app.
            assert refused.ask(b"GET / HTTP/1.1\r\n\r\n").status == 400
        gate.opened.set()
        assert [client.response().body for client in clients] == [b"/slow/%d" % n for n in range(30)]
    assert gate.most == cap


@pytest.mark.parametrize("turns", [4, pytest.param(15, marks=pytest.mark.slow)])
@pytest.mark.parametrize("cap", [1, 3])
def test_cap_holds_for_calls_of_every_length(serving, cap, turns):
    """Calls around the length at which the sentinel takes notice, whose promotions come too late or twice."""
    gate = Gate()

    @validator
    def app(environ, start_response):
        def blocks():
            with gate.lock:
                gate.inside += 1
                gate.most = max(gate.most, gate.inside)
            yield b"x" * 10
            time.sleep(float(environ["QUERY_STRING"]))
            yield environ["PATH_INFO"].encode()
            with gate.lock:
                gate.inside -= 1

        start_response("200 OK", [TEXT])
        return blocks()

    def run(number):
        dice = random.Random(number)
        with Client(server) as client:
            for turn in range(turns):
                seconds = dice.choice([0, 0.001, 0.004, 0.005, 0.006, 0.01])
                path = f"/route/{dice.randrange(3)}/{number}/{turn}"
                assert client.ask(get(f"{path}?{seconds}")).body == b"x" * 10 + path.encode()

    with serving(app, threads=cap) as server:
        run_all(run, 12)
    assert gate.most == cap
    assert gate.inside == 0


def run_all(run, count):
    """Call ``run(0)`` … ``run(count - 1)``, each in a thread; raise the first exception."""
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(run, range(count)))


# -- a deposed exchange


def test_pipelined_bytes_that_arrive_while_deposed(serving, gate):
    with serving(checked(gate)) as server, Client(server) as client:
        depose(server, gate, client)
        for number in range(40):
            client.send(get(f"/{number}"))
        ask_fast(server)
        gate.opened.set()
        assert client.response().body == b"/slow"
        assert [client.response().body for _ in range(40)] == [b"/%d" % n for n in range(40)]
        assert client.ask(get("/again")).body == b"/again"


def test_pipelined_bytes_that_arrived_with_the_slow_request(serving, gate):
    with serving(checked(gate)) as server, Client(server) as client:
        client.send(get("/slow") + b"".join(get(f"/{number}") for number in range(40)))
        wait_until(lambda: gate.inside)
        ask_fast(server)
        gate.opened.set()
        assert client.response().body == b"/slow"
        assert [client.response().body for _ in range(40)] == [b"/%d" % n for n in range(40)]


def test_connection_is_used_again_after_it_was_deposed(serving, gate):
    with serving(checked(gate)) as server, Client(server) as client:
        for turn in range(5):
            depose(server, gate, client)
            gate.opened.set()
            assert client.response().body == b"/slow"
            gate.opened.clear()
            for number in range(20):
                assert client.ask(get(f"/{turn}/{number}")).body == b"/%d/%d" % (turn, number)


def test_connection_is_used_the_moment_it_is_given_back(serving):
    """Whoever gives it back pauses as soon as it is watched: there must be nothing left to do."""
    first, second = Gate(), Gate()

    @checked
    def app(environ, start_response):
        return (second if environ["PATH_INFO"] == "/slow/2" else first)(environ, start_response)

    def watch(connection, events):
        watch_really(connection, events)
        if first.opened.is_set() and not paused.is_set():
            paused.set()
            wait_until(lambda: second.inside)

    paused = threading.Event()
    with serving(app) as server, Client(server) as client:
        watch_really = server._loop.connections.watch
        depose(server, first, client)
        server._loop.connections.watch = watch
        client.send(get("/slow/2") + get("/3"))
        first.opened.set()
        assert client.response().body == b"/slow"
        wait_until(lambda: second.inside)
        ask_fast(server)
        second.opened.set()
        assert [client.response().body for _ in range(2)] == [b"/slow/2", b"/3"]
        assert paused.is_set()


def test_deposed_connection_does_not_make_room_when_descriptors_run_out(serving, log, gate):
    """It looks idle to the leader, which closes idle ones then; but it belongs to its exchange."""
    with serving(checked(gate)) as server, Client(server) as client, socket.socket() as waiting:
        depose(server, gate, client)
        wait_until(lambda: server.snapshot().connections == 1)
        with few_descriptors():
            waiting.connect(("127.0.0.1", server.port))
            wait_until(lambda: server.snapshot().accepting == "short" or not server.snapshot().connections)
        assert "cannot accept connections for a second" in log.text
        gate.opened.set()
        assert client.response().body == b"/slow"
        assert len(log.records) == 1


@pytest.mark.parametrize("leave", [Client.close, Client.reset, Client.half_close])
def test_client_leaves_while_deposed(serving, log, gate, leave):
    with serving(checked(gate)) as server:
        clients = [Client(server) for _ in range(5)]
        for client in clients:
            depose(server, gate, client)
            leave(client)
        ask_fast(server)
        gate.opened.set()
        for client in clients:
            if leave is Client.half_close:
                assert client.response().body == b"/slow"
                client.close()
        wait_until(lambda: not server.snapshot().connections)
        wait_until(lambda: not gate.inside)
    assert not log.records


def test_result_is_closed_once_when_the_client_leaves_while_deposed(serving, gate):
    result = Blocks([b"x" * 1000] * 10)

    @validator
    def app(environ, start_response):
        body = checked(gate)(environ, start_response)
        return result if environ["PATH_INFO"] == "/slow" else body

    with serving(app) as server:
        client = Client(server)
        depose(server, gate, client)
        client.reset()
        gate.opened.set()
        wait_until(lambda: not server.snapshot().connections)
        assert result.closings == 1


def test_app_raises_after_it_was_deposed(serving, log, gate):
    def app(environ, start_response):
        body = gate(environ, start_response)
        if environ["PATH_INFO"] == "/slow":
            raise RuntimeError("the app has a bug")
        return body

    with serving(checked(app)) as server, Client(server) as client:
        depose(server, gate, client)
        gate.opened.set()
        assert client.response().status == 500
        assert client.ask(get("/fast")).body == b"/fast"
    assert [record.getMessage() for record in log.records] == ["GET /slow raised"]


class RaisingHandler(logging.Handler):
    """A log handler that has a bug."""

    def emit(self, record):
        raise RuntimeError("the log handler has a bug")


@pytest.mark.parametrize("path", ["/fast", "/slow"], ids=["inline", "deposed"])
def test_log_handler_that_raises_costs_one_connection(serving, gate, path):
    def app(environ, start_response):
        body = gate(environ, start_response)
        if environ["QUERY_STRING"] == "raise":
            raise RuntimeError("the app has a bug")
        return body

    logger, handler = logging.getLogger("wsgiserve"), RaisingHandler()
    logger.addHandler(handler)
    try:
        with serving(checked(app), threads=2) as server:
            for _ in range(5):
                with Client(server) as client:
                    client.send(get(f"{path}?raise"))
                    if path == "/slow":
                        wait_until(lambda: gate.inside)
                        ask_fast(server)
                        gate.opened.set()
                    assert client.rest() == b""
                gate.opened.clear()
                ask_fast(server)
            wait_until(lambda: not server.snapshot().connections)
    finally:
        logger.removeHandler(handler)


# -- the end


def test_stop_finishes_requests_that_are_in_the_app(serving, gate):
    with ExitStack() as stack, serving(checked(gate), threads=4) as server:
        clients = [stack.enter_context(Client(server)) for _ in range(8)]
        for number, client in enumerate(clients):
            client.send(get(f"/slow/{number}"))
        wait_until(lambda: gate.inside == 4)  # The other four wait for a thread.
        port = server.port
        server.stop()
        wait_until(lambda: refuses(port))
        gate.opened.set()
        for number, client in enumerate(clients):
            response = client.response()
            assert response.body == b"/slow/%d" % number
            assert response.headers["connection"] == "close"
            assert client.rest() == b""
            client.close()


def test_stop_lets_idle_connections_go(serving, gate):
    with ExitStack() as stack:
        started = time.monotonic()
        with serving(checked(gate)) as server:
            clients = [stack.enter_context(Client(server)) for _ in range(5)]
            for client in clients:
                assert client.ask(get()).body == b"/"
        assert time.monotonic() - started < 3
        assert [client.rest() for client in clients] == [b""] * 5


def test_stop_answers_requests_that_had_arrived(serving, gate):
    with ExitStack() as stack, serving(checked(gate)) as server:
        clients = [stack.enter_context(Client(server)) for _ in range(20)]
        for client in clients:
            client.send(get("/fast"))
        server.stop()
        for client in clients:
            assert client.response().body == b"/fast"
            client.close()
