"""The slots in which a worker counts, and what is counted of requests that end in every way."""

from __future__ import annotations

import threading
from math import inf

import pytest

from tests.server.apps import LARGE, answer, fail, generator
from tests.server.client import Client, get, wait_until
from wsgiserve.server.scoreboard import make_board
from wsgiserve.server.tally import (
    BLOCK,
    BOUNDS,
    CLASSES,
    COUNTED,
    GRAIN,
    METHODS,
    NAMES,
    SIZE,
    SUM,
    WAITING,
    Tally,
    named,
    request_block,
    slot_of,
    whole,
)


def test_each_slot_has_one_name():
    assert len(NAMES) == len(set(NAMES)) == COUNTED
    assert all(slot_of(name) == slot for slot, name in enumerate(NAMES))
    assert slot_of("no such slot") is None


def test_blocks_do_not_overlap():
    starts = [request_block(method, status) for method in METHODS for status in CLASSES]
    assert starts == [*range(0, WAITING, BLOCK)]


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.0011, 0.03, 30.0, 31.0])
def test_a_request_is_counted_in_the_first_bucket_that_holds_it(seconds):
    tally = Tally()
    tally.request("GET", 204, seconds)
    bound = next((bound for bound in BOUNDS if seconds <= bound), inf)
    counted = named(tally.values())
    assert counted.pop(f"GET 2 {bound:g}") == 1
    assert counted == ({"GET 2 sum": whole(seconds)} if seconds else {})


@pytest.mark.parametrize("seconds", [0.0, 4e-7, 6e-7, 0.001, 0.1, 31.0])
def test_seconds_are_counted_to_the_microsecond(seconds):
    assert whole(seconds) == pytest.approx(seconds, abs=GRAIN / 2)
    assert (whole(seconds) / GRAIN).is_integer()


def test_no_count_of_several_threads_is_lost():
    tally = Tally()

    def count():
        for _ in range(20000):
            tally.count("connections")
            tally.request("GET", 200, 0.5)
            tally.wait(0.5)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tally.get("connections") == 80000
    assert tally.done() == (80000, 0, 40000.0)
    assert named(tally.values())["waiting sum"] == 40000.0


def test_unknown_methods_are_counted_together():
    tally = Tally()
    tally.request("PROPFIND", 999, 0.0)
    assert named(tally.values()) == {"other 9 0.001": 1}


def test_what_one_row_has_counted_is_added_to_another():
    tally, base = Tally(), Tally()
    tally.request("GET", 200, 0.5)
    tally.wait(2.0)
    tally.count("shed", 3)
    tally.set(idle=7)
    for _ in range(2):
        base.add(tally.values())
    assert named(base.values()) == {
        "GET 2 0.5": 2,
        "GET 2 sum": 1.0,
        "waiting 2.5": 2,
        "waiting sum": 4.0,
        "shed": 6,
    }
    assert base.get("idle") == 0
    tally.clear()
    assert named(tally.values()) == {}
    assert tally.get("idle") == 0


def test_a_row_may_lie_in_a_larger_memory():
    memory = memoryview(bytearray(3 * SIZE))
    tally = Tally(memory[SIZE : 2 * SIZE])
    tally.count("cut")
    tally.set(lost=1)
    assert not any(memory[:SIZE])
    assert not any(memory[2 * SIZE :])


# -- of a server


@pytest.fixture
def counting(serving):
    """Return ``counting(app, **options)``: a server that counts in its attribute ``tally``."""

    def counting(app, **options):
        server = serving(app, **options)
        server.show_on(board := make_board())
        server.tally = board.tally
        return server

    return counting


def requests(tally):
    """Return how many requests there were, by method and status class."""
    values = tally.values()
    blocks = {
        (method, status): sum(values[(at := request_block(method, status)) : at + SUM])
        for method in METHODS
        for status in CLASSES
    }
    return {key: count for key, count in blocks.items() if count}


SIZED = [("Content-Type", "text/plain"), ("Content-Length", "6")]
WAYS = {
    "a list": (answer(b"abc", b"def"), 6),
    "a list with a length": (answer(b"abcdef", headers=SIZED), 6),
    "a generator": (answer(b"abc", b"def", kind=generator), 6),
    "a generator with a length": (answer(b"abc", b"def", headers=SIZED, kind=generator), 6),
    "write": (answer(b"def", write=[b"abc"]), 6),
    "nothing": (answer(), 0),
    "large": (answer(bytes(LARGE)), LARGE),
}


@pytest.mark.parametrize("name", WAYS)
def test_each_response_is_counted_once_before_the_client_has_it(counting, name):
    app, size = WAYS[name]
    with counting(app) as server, Client(server) as client:
        for number in range(1, 4):
            assert len(client.ask(get()).body) == size
            assert requests(server.tally) == {("GET", 2): number}
            assert server.tally.get("response_bytes") == number * size
    assert requests(server.tally) == {("GET", 2): 3}


@pytest.mark.parametrize(("body", "size"), [(b"abc", 3), (b"abcdefghi", 6)], ids=["shorter", "longer"])
def test_a_list_that_breaks_its_content_length_counts_what_is_sent(counting, body, size):
    with counting(answer(body, headers=SIZED)) as server, Client(server) as client:
        client.send(get())
        assert client.rest().endswith(body[:size])
    assert server.tally.get("response_bytes") == size


@pytest.mark.parametrize(("method", "counted"), [("HEAD", "HEAD"), ("POST", "POST"), ("BREW", "other")])
def test_methods_are_told_apart(counting, method, counted):
    with counting(answer(b"abcdef", headers=SIZED)) as server, Client(server) as client:
        for _ in range(3):  # GET and others share what is cached of the response.
            client.ask(get())
            client.ask(get(method=method))
    assert requests(server.tally) == {("GET", 2): 3, (counted, 2): 3}
    assert server.tally.get("response_bytes") == (18 if method == "HEAD" else 36)


def test_an_error_of_the_app_is_a_500(counting):
    with counting(answer(fail, kind=generator)) as server, Client(server) as client:
        assert client.ask(get()).status == 500
        assert requests(server.tally) == {("GET", 5): 1}


def test_an_error_behind_the_head_is_counted_with_its_status(counting):
    with counting(answer(b"abc", fail, kind=generator)) as server, Client(server) as client:
        client.send(get())
        client.rest()
        wait_until(lambda: requests(server.tally) == {("GET", 2): 1})
    assert requests(server.tally) == {("GET", 2): 1}


def test_bodies_are_counted(counting):
    def app(environ, start_response):
        environ["wsgi.input"].read()
        return answer(b"ok")(environ, start_response)

    with counting(app) as server, Client(server) as client:
        client.ask(get(method="PUT", body=b"x" * 100))
        assert server.tally.get("request_bytes") == 100
        client.ask(get(method="PUT", body=b"x" * (3 << 20)))
        wait_until(lambda: server.tally.get("request_bytes") == 100 + (3 << 20))
        client.send(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        assert client.response().status == 200
        assert server.tally.get("request_bytes") > 100 + (3 << 20) + 3


@pytest.mark.slow
def test_a_call_that_takes_too_long_is_counted_once_and_so_is_what_was_shed(counting, gate, swift_sweeps):
    with (
        counting(gate, threads=1, max_queue=1, queue_timeout=0.3, request_timeout=1.0) as server,
        Client(server) as slow,
        Client(server) as waiting,
        Client(server) as shed,
    ):
        slow.send(get("/slow"))
        wait_until(lambda: gate.inside == 1)
        waiting.send(get())
        wait_until(lambda: server.snapshot().queued == 1)
        assert shed.ask(get()).status == 503
        assert server.tally.get("shed") == 1
        assert waiting.response().status == 503
        assert slow.response().status == 504
        wait_until(lambda: server.tally.get("timeout call") == 1)
        wait_until(lambda: server.tally.get("lost") == 1)  # It waits for a lock, and cannot be interrupted.
        gate.opened.set()
    tally = server.tally
    assert requests(tally) == {("GET", 5): 3}
    assert (tally.get("shed"), tally.get("timeout queue")) == (2, 1)
    at_once, *waited = tally.values()[WAITING : WAITING + SUM]
    assert (at_once, sum(waited)) == (2, 1)


def test_a_client_that_leaves_is_counted(counting, gate):
    with counting(gate) as server:
        client = Client(server)
        client.send(get("/slow"))
        wait_until(lambda: gate.inside == 1)
        client.reset()
        gate.opened.set()
        wait_until(lambda: requests(server.tally))
    assert sum(requests(server.tally).values()) == 1


def test_refusals_and_connections_are_counted(counting):
    with counting(answer(b"ok")) as server:
        for request in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/3.0\r\nHost: x\r\n\r\n",
            get("/" + "a" * 9000),
        ):
            with Client(server) as client:
                client.send(request)
                client.rest()
    tally = server.tally
    assert [tally.get(f"refused {kind}") for kind in ("400", "505", "414")] == [1, 1, 1]
    assert tally.get("connections") == 3
    assert requests(tally) == {("GET", 4): 1, ("other", 4): 1, ("other", 5): 1}


@pytest.mark.slow
def test_gauges_follow_what_the_connections_do(counting, gate, swift_sweeps):
    with counting(gate, threads=1) as server:
        clients = [Client(server) for _ in range(4)]
        for client in clients[:2]:
            client.send(get("/slow"))
        clients[2].send(b"GET / HT")
        names = ("idle", "receiving", "running", "busy", "waiting")
        wait_until(lambda: [server.tally.get(name) for name in names] == [0, 2, 2, 1, 1])
        gate.opened.set()
        for client in clients[:2]:
            client.response()
        wait_until(lambda: [server.tally.get(name) for name in names] == [2, 2, 0, 0, 0])
        for client in clients:
            client.close()
        wait_until(lambda: [server.tally.get(name) for name in names] == [0, 0, 0, 0, 0])


@pytest.mark.slow
def test_nothing_is_lost_where_many_threads_count(counting):
    """Half of the requests run on threads of their own, beside the leader's."""

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            threading.Event().wait(0.012)
        return answer(b"ok")(environ, start_response)

    def ask(path):
        with Client(server) as client:
            for _ in range(100):
                assert client.ask(get(path)).status == 200

    with counting(app) as server:
        threads = [threading.Thread(target=ask, args=(path,)) for path in ("/slow", "/fast") * 6]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert requests(server.tally) == {("GET", 2): 1200}
        assert server.tally.get("response_bytes") == 2400


def test_an_upgrade_is_counted(counting):
    def app(environ, start_response):
        environ["wsgiserve.upgrade"]("echo", lambda sock, data: sock.close())
        return []

    with counting(app) as server, Client(server) as client:
        client.send(get("/", "Connection: upgrade", "Upgrade: echo"))
        assert client.rest().startswith(b"HTTP/1.1 101 ")
    assert requests(server.tally) == {("GET", 1): 1}
