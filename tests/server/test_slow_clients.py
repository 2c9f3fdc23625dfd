"""Slow clients on a live server: which are served however slow they are, which are given up, and when.

``http/test_pace.py`` has the rules, with a clock of its own. Timeouts are shorter here than users may choose.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import select
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from wsgiref.validate import validator

import pytest

from tests.server.apps import TEXT, Blocks, answer, checked, connections
from tests.server.client import SECONDS, Client, get, wait_until
from tests.server.deposing import ask_fast
from tests.server.test_own_answers import assert_logged_once, assert_refused
from wsgiserve.server import connections as table

pytestmark = pytest.mark.usefixtures("swift_sweeps")


HELLO = checked(answer(b"hello"))


BLOCK = bytes(range(256)) * 256


PACE = 0.1  # seconds between two small steps of a slow client


SHAPES = ("/list", "/generator", "/file")


def sending(blocks, folder):
    """Make an app that answers with so many blocks, in the shape of a result that the path names."""
    (folder / "file").write_bytes(BLOCK * blocks)

    @checked
    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        match environ["PATH_INFO"]:
            case "/list":
                return [BLOCK * blocks]
            case "/generator":
                return (BLOCK for _ in range(blocks))
            case "/file":
                return environ["wsgi.file_wrapper"](open(folder / "file", "rb"))
        raise LookupError(environ["PATH_INFO"])

    return app


@contextmanager
def readers(server, *paths, minor=1, **options):
    """Have a client for each path that has asked for it."""
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(server, **options)) for _ in paths]
        for client, path in zip(clients, paths, strict=True):
            client.send(get(path, minor=minor))
        yield clients


def sip(clients, size, seconds):
    """Have clients read up to ``size`` bytes now and then; return those that could go on so for the time."""
    until = time.monotonic() + seconds
    while clients and time.monotonic() < until:
        time.sleep(PACE)  # The clients' slowness, not a wait for anything.
        clients = [client for client in clients if sips(client, size)]
    return clients


def sips(client, size):
    try:
        data = client.sock.recv(size)
    except ConnectionResetError:
        return False
    client.unread += data
    return bool(data)


def begin_to_read(client):
    """Wait for the first byte of a response."""
    client.unread = client.sock.recv(1)
    assert client.unread == b"H"


# -- clients that read slowly


@pytest.mark.parametrize("threads", [2, 64])
def test_slow_reader_of_a_generator_does_not_block_others(serving, threads):
    size, count = 65536, 100

    @validator
    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        if environ["PATH_INFO"] == "/large":
            return (bytes([number]) * size for number in range(count))
        return iter([environ["PATH_INFO"].encode()])

    with serving(app, threads=threads) as server, Client(server, receive_buffer=4096) as reader:
        reader.send(get("/large"))
        begin_to_read(reader)
        ask_fast(server, 20)
        assert reader.response().body == b"".join(bytes([number]) * size for number in range(count))
        assert reader.ask(get("/fast")).body == b"/fast"


@pytest.mark.parametrize(
    ("count", "megabytes"), [(2, 6), pytest.param(5, 20, marks=pytest.mark.slow)], ids=["two", "five"]
)
def test_slow_readers_of_lists_hold_no_thread(serving, count, megabytes):
    body = bytes(range(256)) * 4000 * megabytes

    @checked
    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        return [body if environ["PATH_INFO"] == "/large" else environ["PATH_INFO"].encode()]

    with serving(app, threads=1) as server, ExitStack() as stack:
        readers = [stack.enter_context(Client(server, receive_buffer=4096)) for _ in range(count)]
        for reader in readers:
            reader.send(get("/large"))
            begin_to_read(reader)
        ask_fast(server, 20)
        for reader in readers:
            assert reader.response().body == body


def test_reader_that_stalls_is_given_up(serving):
    result = Blocks([b"x" * 65536] * 1000)

    @validator
    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        return result

    with serving(app, stall_timeout=0.1) as server, Client(server, receive_buffer=4096) as reader:
        reader.send(get())
        wait_until(lambda: result.closings)
        wait_until(lambda: not server.snapshot().connections)
    assert result.closings == 1


@pytest.mark.slow
def test_slow_readers_are_served(serving, tmp_path):
    """The system takes megabytes at once, so for seconds nothing more leaves; yet the clients read on."""
    with (
        serving(sending(200, tmp_path), stall_timeout=1) as server,
        readers(server, *SHAPES, receive_buffer=4096) as clients,
    ):
        assert sip(clients, 4096, 3) == clients
        with ThreadPoolExecutor() as pool:  # All at once: one that waits for another's end would stall.
            responses = list(pool.map(Client.response, clients))
        assert all(response.body == BLOCK * 200 for response in responses)


@pytest.mark.slow
def test_readers_below_the_rate_are_given_up(serving, tmp_path):
    app = sending(1000, tmp_path)
    with (
        serving(app, stall_timeout=1, min_rate=1_000_000_000) as server,
        readers(server, *SHAPES) as clients,
    ):
        assert sip(clients, 200_000, SECONDS) == []
        assert all(1_000_000 < len(client.unread) < len(BLOCK) * 1000 for client in clients)
        wait_until(lambda: not server.snapshot().connections)


@pytest.mark.slow
def test_response_that_was_given_up_looks_cut(serving, tmp_path):
    """Without a length, even an end that comes late would look regular to HTTP/1.0."""
    with (
        serving(sending(1000, tmp_path), stall_timeout=0.1) as server,
        readers(server, *SHAPES, minor=0, receive_buffer=4096) as clients,
    ):
        for client in clients:
            begin_to_read(client)
        wait_until(lambda: not server.snapshot().connections)
        for client in clients:
            with pytest.raises(ConnectionResetError):
                client.rest()


@pytest.mark.slow
def test_no_rate_is_demanded_where_it_is_zero(serving, tmp_path):
    app = sending(1000, tmp_path)
    with serving(app, stall_timeout=1, min_rate=0) as server, readers(server, *SHAPES) as clients:
        assert sip(clients, 200_000, 3) == clients


@pytest.mark.slow
def test_reader_is_not_blamed_for_a_slow_app(serving):
    blocks = 5

    @checked
    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        for _ in range(blocks):
            time.sleep(0.5)
            yield BLOCK * 100

    with serving(app, stall_timeout=1, min_rate=100_000_000) as server, Client(server) as client:
        assert client.ask(get()).body == BLOCK * 100 * blocks


@pytest.mark.slow
def test_readers_where_the_system_does_not_count_unread_bytes(serving, tmp_path, monkeypatch):
    monkeypatch.setattr("wsgiserve.server.http.connection.queued", lambda fd: 0)
    with serving(sending(1000, tmp_path), stall_timeout=1) as server:
        with readers(server, *SHAPES) as clients:
            assert sip(clients, 500_000, 2.5) == clients
        with readers(server, *SHAPES, receive_buffer=4096) as clients:
            for client in clients:
                begin_to_read(client)
            wait_until(lambda: not server.snapshot().connections)


@pytest.mark.slow
def test_stream_is_not_kept_for_a_client_that_does_not_read(serving):
    """200 MB: a block is made once the one before has left."""
    made, blocks = [], 3200

    @checked
    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        for number in range(blocks):
            made.append(number)
            yield bytes([number % 256]) * len(BLOCK)

    def waiting():
        return any(connection.outgoing for connection in connections(server).values())

    with serving(app) as server, Client(server, receive_buffer=4096) as client:
        before = resident()
        client.send(get())
        wait_until(waiting)
        assert len(made) < blocks / 2
        most, received = resident(), 0
        while not client.unread.endswith(b"\r\n0\r\n\r\n"):
            piece = client.sock.recv(1 << 20)
            assert piece
            received += len(piece)
            client.unread = client.unread[-7:] + piece
            most = max(most, resident())
        assert received > len(BLOCK) * blocks
        assert most - before < 20_000_000


def resident():
    """The memory of this process, the server's too, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


# -- clients that send slowly


def test_slow_uploader_does_not_block_others(serving):
    @checked
    def app(environ, start_response):
        body = environ["wsgi.input"].read(-1)
        start_response("200 OK", [TEXT])
        return [hashlib.md5(body).hexdigest().encode() if body else environ["PATH_INFO"].encode()]

    body = random.Random(1).randbytes(2_000_000)
    request = get(method="POST", body=body)
    with serving(app, threads=2) as server, Client(server) as small, Client(server) as large:
        small.send(get("/", "Content-Length: 9", method="POST"))
        for start in range(0, len(request), 300_000):
            large.send(request[start : start + 300_000])
            ask_fast(server)
        assert large.response().body == hashlib.md5(body).hexdigest().encode()
        small.send(b"some body")
        assert small.response().body == hashlib.md5(b"some body").hexdigest().encode()


def test_request_that_does_not_arrive_is_408(serving, log):
    beginnings = [b"GET / HTTP", get()[:-2], get("/", "Content-Length: 5", method="POST") + b"hel"]
    with serving(HELLO, head_timeout=0.1, stall_timeout=0.1) as server:
        clients = [Client(server) for _ in beginnings]
        for client, beginning in zip(clients, beginnings, strict=True):
            client.send(beginning)
        for client in clients:
            assert_refused(client, 408)
            client.close()
        wait_until(lambda: not server.snapshot().connections)
    assert {record.getMessage() for record in log.records} == {
        "127.0.0.1: 408, the request did not arrive in time"
    }
    assert len(log.records) == 3


def test_head_deadline_is_absolute(serving):
    """A byte now and then does not buy time."""
    with serving(HELLO, head_timeout=0.1) as server, Client(server) as client:
        client.send(get()[:-2])
        client.sock.settimeout(0.02)
        for _ in range(100):
            try:
                received = client.sock.recv(65536)
                break
            except TimeoutError:
                client.send(b"X: y\r\n")
        assert received.startswith(b"HTTP/1.1 408 ")


def test_silent_connection_is_closed_without_a_word(serving, log):
    with serving(HELLO, head_timeout=0.1) as server, Client(server) as client:
        assert client.rest() == b""
    assert not log.records


def test_idle_connection_is_closed_without_a_word(serving, log):
    with serving(HELLO, keep_alive=0.1) as server, Client(server) as client:
        assert client.ask(get()).body == b"hello"
        assert client.rest() == b""
    assert not log.records


def test_streamed_body_that_stops_arriving_is_408(serving, log):
    @checked
    def app(environ, start_response):
        environ["wsgi.input"].read(-1)
        raise AssertionError("the body is incomplete")

    with serving(app, stall_timeout=0.1) as server, Client(server) as client:
        client.send(get("/", "Content-Length: 2000000", method="POST") + b"x" * 1_500_000)
        assert_refused(client, 408)
    assert_logged_once(log, 408)


@pytest.mark.parametrize("length", [1000, 2_000_000], ids=["in-memory", "streamed"])
def test_body_that_drips_is_given_up(serving, log, length):
    """Each byte comes in time, but a call of the app would wait for them for hours."""

    @checked
    def app(environ, start_response):
        environ["wsgi.input"].read(-1)
        raise AssertionError("the body is incomplete")

    with serving(app, stall_timeout=0.1, min_rate=1_000_000) as server, Client(server) as client:
        client.send(get("/", f"Content-Length: {length}", method="POST"))
        wait_until(lambda: drips(client))
        assert_refused(client, 408)
    assert_logged_once(log, 408)


@pytest.mark.slow
@pytest.mark.parametrize("length", [1_000_000, 2_000_000], ids=["in-memory", "streamed"])
def test_fast_beginning_buys_no_time_for_a_body_that_drips(serving, log, length):
    """At 1,000 bytes a second, the average of the beginning would last for a quarter of an hour."""

    @checked
    def app(environ, start_response):
        environ["wsgi.input"].read(-1)
        raise AssertionError("the body is incomplete")

    with serving(app, stall_timeout=0.1, min_rate=1000) as server, Client(server) as client:
        client.send(get("/", f"Content-Length: {length}", method="POST") + b"x" * 900_000)
        wait_until(lambda: drips(client))
        assert_refused(client, 408)
    assert_logged_once(log, 408)


def drips(client):
    """Send a byte; whether an answer has come instead of a wish for more."""
    client.send(b"x")
    return select.select([client.sock], [], [], 0.02)[0]


def test_rest_of_a_body_that_drips_is_given_up(serving):
    """The answer has left, and no thread waits; yet the connection is not kept for ever."""

    @checked
    def app(environ, start_response):
        environ["wsgi.input"].read(2_000_000)
        start_response("200 OK", [TEXT])
        return [b"thanks"]

    with serving(app, stall_timeout=0.1, min_rate=1_000_000) as server, Client(server) as client:
        client.send(get("/", "Content-Length: 2060000", method="POST") + b"x" * 2_000_000)
        assert client.response().body == b"thanks"
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            drip(client)
        wait_until(lambda: not server.snapshot().connections)


def drip(client):
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        client.send(b"x")
        time.sleep(PACE)


def test_client_that_never_stops_sending_is_cut_off(serving, monkeypatch):
    monkeypatch.setattr(table, "LINGER_SECONDS", 0.1)
    with serving(HELLO) as server, Client(server) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            send_on(client)
        wait_until(lambda: not server.snapshot().connections)


def send_on(client):
    for data in itertools.repeat(b"x" * 65536):
        client.send(data)
