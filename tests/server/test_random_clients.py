"""Many clients that behave at random, while every answer is compared byte for byte."""

from __future__ import annotations

import hashlib
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.server.apps import TEXT, checked
from tests.server.client import SECONDS, Client, get, wait_until
from tests.server.test_concurrency import run_all


class Work:
    """An app whose answer depends on the request alone; its speed and its way to answer vary."""

    def __init__(self):
        self.lock = threading.Lock()
        self.inside = self.most = 0

    def __call__(self, environ, start_response):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            _, seed, milliseconds, size, shape = environ["PATH_INFO"].split("/")
            time.sleep(int(milliseconds) / 1000)
            body = answer_to(int(seed), int(size), environ["wsgi.input"].read(-1))
            return getattr(self, shape)(body, start_response)
        finally:
            with self.lock:
                self.inside -= 1

    def list(self, body, start_response):
        start_response("200 OK", [TEXT])
        return [body]

    def generator(self, body, start_response):
        start_response("200 OK", [TEXT])
        return (body[start : start + 5000] for start in range(0, len(body), 5000))

    def write(self, body, start_response):
        start_response("200 OK", [TEXT])(body[:100])
        return [body[100:]]

    def error(self, body, start_response):
        start_response("500 Oh", [TEXT, ("Content-Length", str(len(body)))])
        return iter([body])


def answer_to(seed, size, upload):
    return hashlib.md5(upload).digest() + random.Random(seed).randbytes(size)


class Visitor:
    """A client that sends random requests for a while, and compares every byte of the answers."""

    def __init__(self, server, number, until):
        self.server = server
        self.dice = random.Random(number)
        self.until = until
        self.answers = 0

    def run(self):
        while time.monotonic() < self.until:
            with Client(self.server, receive_buffer=self.dice.choice([0, 4096])) as client:
                while self.visit(client):
                    pass

    def visit(self, client):
        """Send some requests at once, read their answers; False to go, maybe in the middle of it."""
        dice = self.dice
        requests = [self.request() for _ in range(dice.choice([1, 1, 1, 2, 5, 20]))]
        sender = threading.Thread(target=self.send, args=(client, b"".join(r for r, _, _ in requests)))
        sender.start()
        leaving = dice.random() < 0.1
        try:
            for _, method, expected in requests:
                if leaving and dice.random() < 0.5:
                    return False
                response = client.response(method)
                assert response.body == (b"" if method == "HEAD" else expected)
                self.answers += 1
        finally:
            if leaving:
                client.reset() if dice.random() < 0.5 else client.close()
            sender.join(SECONDS)
        return time.monotonic() < self.until and not leaving

    def send(self, client, data):
        cut = self.dice.randrange(len(data))
        try:
            client.send(data[:cut])
            client.send(data[cut:])
        except OSError:
            pass  # We left.

    def request(self):
        dice = self.dice
        seed = dice.randrange(1 << 30)
        milliseconds = dice.choice([0] * 12 + [1, 3, 5, 6, 20])
        size = dice.choice([0, 10, 10, 1000, 70_000, 600_000])
        shape = dice.choice(["list", "generator", "write", "error"])
        upload = dice.choice([b"", b"", b"", b"small", b"m" * 80_000, b"l" * 1_200_000])
        method = "POST" if upload else dice.choice(["GET", "GET", "HEAD"])
        path = f"/{seed}/{milliseconds}/{size}/{shape}"
        return get(path, method=method, body=upload), method, answer_to(seed, size, upload)


def visit_at_random(server, count, seconds):
    """Let ``count`` visitors send requests; return how many answers they compared."""
    until = time.monotonic() + seconds
    visitors = [Visitor(server, number, until) for number in range(count)]
    run_all(lambda number: visitors[number].run(), count)
    return sum(visitor.answers for visitor in visitors)


@pytest.mark.parametrize(
    ("threads", "count", "seconds", "least"),
    [
        (3, 10, 0.2, 10),
        pytest.param(3, 50, 2.5, 200, marks=pytest.mark.slow),
        pytest.param(64, 50, 2.5, 200, marks=pytest.mark.slow),
    ],
)
def test_clients_at_random(serving, log, threads, count, seconds, least):
    work = Work()
    with serving(checked(work), threads=threads) as server:
        answers = visit_at_random(server, count, seconds)
        wait_until(lambda: not server.snapshot().connections)
        wait_until(lambda: not work.inside)
        ask = get("/1/0/10/list")
        with Client(server) as client:
            assert client.ask(ask).body == answer_to(1, 10, b"")
    assert answers > least
    assert 1 < work.most <= threads
    assert not log.records


@pytest.fixture
def hasty_switching():
    """Have Python switch threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.slow
@pytest.mark.usefixtures("hasty_switching")
def test_clients_at_random_among_idle_ones(serving, log):
    """Scan the large table of connections while every thread changes it."""
    work, looked = Work(), threading.Event()

    def look():
        """Look at the table as the leader does once a second, and a signal handler at the end."""
        count = 0
        while not looked.is_set():
            assert server._loop.connections.watched()
            assert server.running() >= 0
            count += 1
        return count

    with serving(checked(work), threads=8) as server, ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        ask = get("/1/0/10/list")
        idle = [stack.enter_context(Client(server)) for _ in range(300)]
        assert all(client.ask(ask).body == answer_to(1, 10, b"") for client in idle)
        looks = pool.submit(look)
        try:
            assert visit_at_random(server, 20, seconds=2) > 50
        finally:
            looked.set()
        assert looks.result() > 20
        wait_until(lambda: server.snapshot().connections == 300)
        assert all(client.ask(ask).body == answer_to(1, 10, b"") for client in idle)
    assert 1 < work.most <= 8
    assert not log.records
