"""The bytes that the loop keeps for slow clients: the sum is exact, whatever clients do."""

from __future__ import annotations

import os
import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.program import serving_program
from tests.server.apps import LARGE, TEXT, answer, checked
from tests.server.client import SECONDS, Client, get, wait_until
from tests.server.test_connections import Table
from tests.server.test_own_answers import assert_refused
from wsgiserve.server.http.budget import Budget
from wsgiserve.server.http.pace import Pace


def test_share_that_does_not_fit_changes_nothing():
    budget = Budget(100)
    assert budget.change(0, 60)
    assert not budget.change(0, 41)
    assert not budget.change(60, 101)
    assert (budget.used, budget.has_room(40), budget.has_room(41)) == (60, True, False)
    assert budget.change(60, 100)
    assert budget.change(100, 0)
    assert budget.used == 0


def test_share_may_always_become_smaller():
    budget = Budget(10)
    assert budget.change(0, 10)
    assert budget.change(10, 9)
    assert budget.used == 9


def test_zero_is_no_limit():
    budget = Budget(0)
    assert budget.has_room(1 << 60)
    assert budget.change(0, 1 << 60)


SIZES = [1, 300, 20_000, 70_000, 300_000, 1_500_000]
STEPS = [
    "connect",
    "post",
    "chunks",
    "get",
    "pipeline",
    "garbage",
    "leave",
    "half-close",
    "expire",
    "cut",
    "shed",
]


@checked
def app(environ, start_response):
    """Answer with as many bytes as the path says, or fail; read the body or not."""
    words = environ["PATH_INFO"].split("/")
    if "read" in words:
        environ["wsgi.input"].read(-1)
    if "fail" in words:
        raise ValueError("the app has a bug")
    start_response("200 OK", [TEXT])
    return [b"x" * int(words[1])]


class Crowd:
    """Clients of a table without a loop; ``drive`` handles events as the loop does."""

    def __init__(self, stack, size, dice):
        self.table = Table(stack, app, max_buffered=size, stall_timeout=0.02)
        self.table.gateway.tell_before_wait(self.leave_off)
        self.connections = self.table.connections
        stack.callback(self.connections.close)
        self.dice = dice
        self.pairs = []
        self.unsent = {}
        self.waits = 0  # of the app's threads for their clients

    def leave_off(self, exchange):
        """The app's thread is about to wait for its client: it reads all, or goes."""
        self.waits += 1
        for client, connection in self.pairs:
            if connection is exchange.connection:
                self.exhaust(client) if self.dice.random() < 0.5 else client.close()

    def exhaust(self, client):
        """Have a client send the rest of its request, end, and read what has arrived."""
        try:
            client.setblocking(False)
            while self.unsent[client]:
                del self.unsent[client][: client.send(self.unsent[client])]
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        self.read(client, 1 << 30)

    def read(self, client, size):
        try:
            while size > 0 and (data := client.recv(min(size, 1 << 20))):
                size -= len(data)
        except OSError:
            pass

    def step(self, name, size):
        if name == "connect" or not self.pairs:
            client, connection = self.table.connect()
            client.setblocking(False)
            self.unsent[client] = bytearray()
            self.pairs.append((client, connection))
            return
        client, connection = self.dice.choice(self.pairs)
        path = (
            f"/{self.dice.choice([1, 200_000, 1_500_000])}/{self.dice.choice(['read', 'fail', 'no', 'read'])}"
        )
        match name:
            case "post":
                self.unsent[client] += get(path, method="POST", body=b"b" * size)
            case "chunks":
                chunk = b"%x\r\n%b\r\n" % (size, b"c" * size)
                self.unsent[client] += get(path, "Transfer-Encoding: chunked", method="POST") + chunk
                self.unsent[client] += self.dice.choice([b"0\r\n\r\n", b"", b"z\r\n"])
            case "get":
                self.unsent[client] += get(f"/{size}/no")
            case "pipeline":
                self.unsent[client] += get(path) * min(2000, size)
            case "garbage":
                self.unsent[client] += b"\0"
            case "send":
                self.send(client, size)
            case "read":
                self.read(client, size)
            case "leave":
                client.close()
            case "half-close":
                self.exhaust(client)
            case _ if self.connections.by_fd.get(connection.fd) is connection:
                self.end(name, connection)

    def send(self, client, size):
        try:
            sent = client.send(self.unsent[client][:size])
            del self.unsent[client][:sent]
        except OSError:
            pass

    def end(self, name, connection):
        if name == "expire":
            connection.pace = Pace(0, 0, connection.progress())
            self.connections.expire(connection)
        elif name == "cut":
            connection.cut()
            self.connections.go_on(connection)

    def drive(self, *, shed=False):
        for connection in list(self.connections.by_fd.values()):
            while connection.fd in self.connections.by_fd and self.turn(connection, shed):
                self.check()

    def turn(self, connection, shed):
        if connection.outgoing:
            before = connection.left()
            if not self.connections.flush(connection):
                return connection.fd in self.connections.by_fd and connection.left() < before
            exchange = self.connections.go_on(connection)
        else:
            data = connection.receive()
            if not data:
                if data is not None:
                    self.connections.end_of_input(connection)
                return False
            if connection.ending == "linger":
                return True
            exchange = self.connections.next_exchange(connection, data)
        while exchange is not None:
            exchange.shed("no thread is free") if shed else exchange.run()
            exchange = self.connections.settle(exchange)
        return True

    def check(self):
        live = self.connections.by_fd.values()
        budget = self.connections.budget
        assert budget.used == sum(connection.share for connection in live)
        assert budget.has_room(0)
        assert not any(connection.share for connection in live if connection.at_rest)


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 1000, 400_000, 3_000_000])
def test_sum_is_that_of_the_shares_and_zero_in_the_end(size):
    most = waits = 0
    for seed in range(20):
        dice = random.Random(seed)
        with ExitStack() as stack:
            crowd = Crowd(stack, size, dice)
            for _ in range(150):
                name = dice.choice(["send", "send", "send", "read", *STEPS])
                crowd.step(name, dice.choice(SIZES))
                crowd.drive(shed=name == "shed")
                crowd.check()
                most = max(most, crowd.connections.budget.used)
            waits += crowd.waits
            for client, _ in crowd.pairs:
                client.close()
            crowd.drive()
            assert not crowd.connections.by_fd
            assert crowd.connections.budget.used == 0
    assert 0 < most <= (size or most)
    assert waits or not 0 < size < 1_000_000


# -- on a live server


@checked
def measured(environ, start_response):
    """Answer with the announced and the true length of the body."""
    start_response("200 OK", [TEXT])
    return [b"%b %d" % (environ["CONTENT_LENGTH"].encode(), len(environ["wsgi.input"].read(-1)))]


def test_bodies_without_room_reach_the_app_whole(serving, log):
    """Chunked ones have a length, as they have where there is room."""
    body, rest = b"x" * 50_000, b"y" * 50_000
    fields = ["Content-Length: 100000", "Transfer-Encoding: chunked"]
    with serving(measured, max_buffered=60_000) as server, ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(6)]
        for number, client in enumerate(clients):
            data = b"%x\r\n%b\r\n" % (len(body), body) if number % 2 else body
            client.send(get("/", fields[number % 2], method="POST") + data)
        wait_until(lambda: server.snapshot().busy >= 4)
        assert 0 < server.snapshot().buffered <= 60_000
        for number, client in enumerate(clients):
            client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest) if number % 2 else rest)
        assert [client.response().body for client in clients] == [b"100000 100000"] * 6
        wait_until(lambda: server.snapshot().buffered == 0)
    [line] = log.messages
    assert line.startswith(
        "bodies and responses for slow clients need more than --max-buffered 60000, so threads"
    )


def test_body_without_room_that_is_wrong_is_refused(serving):
    with serving(measured, max_buffered=1) as server, Client(server) as client:
        client.send(get("/", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhel")
        wait_until(lambda: server.snapshot().busy)
        client.send(b"lo\r\nz\r\n")
        assert_refused(client, 400)


@pytest.mark.slow
def test_rest_of_a_response_without_room_is_sent_by_its_thread(serving):
    """It is no part of the call any more: ``--request-timeout`` does not cut it."""
    app = answer(b"x" * LARGE * 4)
    with (
        serving(checked(app), max_buffered=LARGE, request_timeout=0.1) as server,
        Client(server, receive_buffer=4096) as reader,
        Client(server) as other,
    ):
        reader.send(get())
        wait_until(lambda: server.snapshot().busy == 1)
        reader.sock.settimeout(0.3)
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            reader.unread += reader.sock.recv(1000)
            assert len(other.ask(get()).body) == LARGE * 4
        assert server.snapshot().buffered == 0
        reader.sock.settimeout(SECONDS)
        assert reader.response().body == b"x" * LARGE * 4
        wait_until(lambda: not server.snapshot().running)


def test_rest_of_a_response_with_room_holds_no_thread(serving):
    with (
        serving(checked(answer(b"x" * LARGE * 4))) as server,
        Client(server, receive_buffer=4096) as reader,
    ):
        reader.send(get())
        wait_until(lambda: server.snapshot().buffered >= LARGE * 4)
        wait_until(lambda: not server.snapshot().running)
        assert reader.response().body == b"x" * LARGE * 4
        wait_until(lambda: server.snapshot().buffered == 0)


@pytest.mark.slow
def test_file_needs_no_room(serving, tmp_path):
    (tmp_path / "file").write_bytes(b"x" * LARGE * 4)

    @checked
    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        return environ["wsgi.file_wrapper"](open(tmp_path / "file", "rb"))

    with (
        serving(app, max_buffered=1) as server,
        Client(server, receive_buffer=4096) as reader,
    ):
        reader.send(get())
        reader.unread = reader.sock.recv(1)
        wait_until(lambda: not server.snapshot().running)
        assert server.snapshot().buffered == 0
        assert reader.response().body == b"x" * LARGE * 4


APP = """
def application(environ, start_response):
    size = len(environ["wsgi.input"].read(-1))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x" * (size or 4_000_000)]
"""


def resident(process):
    with open(f"/proc/{process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


def take_in(program, probe):
    """Have the loop take in what clients sent before, as far as it does; return the resident memory.

    Each answer to a health check is another turn of the loop, which reads from all that have sent something.
    """
    for _ in range(200):
        assert probe.ask(get("/healthz")).status == 200
    return resident(program.process)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="there is no /proc")
@pytest.mark.parametrize("direction", ["bodies", "responses"])
def test_memory_of_the_process_is_bounded(tmp_path, direction):
    """400 clients keep back the last byte of 1,000,000; 100 do not read 4,000,000: 400 MB each."""
    (tmp_path / "app.py").write_text(APP)
    upload = get(method="POST", body=b"b" * 1_000_000)
    request, count, size = (upload, 400, 1_000_000) if direction == "bodies" else (get(), 100, 4_000_000)
    options = ["--workers", "0", "--max-buffered", "20000000", "--threads", "4", "--no-access-log"]
    options += ["--health-path", "/healthz"]
    with (
        ExitStack() as stack,
        serving_program(tmp_path, "app:application", *options) as (program, port),
    ):
        with Client(port=port) as client:
            assert client.ask(get()).status == 200
        before = most = resident(program.process)
        clients = [stack.enter_context(Client(port=port, receive_buffer=4096)) for _ in range(count)]
        probe = stack.enter_context(Client(port=port))
        for client in clients:
            client.send(request[:-1])
        most = max(most, take_in(program, probe))
        for client in clients:
            client.send(request[-1:])
        most = max(most, take_in(program, probe))
        with ThreadPoolExecutor(count) as pool:  # All at once: one that waits for another's end would stall.
            responses = [pool.submit(client.response) for client in clients]
            for response in responses:
                assert len(response.result().body) == size
                most = max(most, resident(program.process))
        assert most - before < 150_000_000
