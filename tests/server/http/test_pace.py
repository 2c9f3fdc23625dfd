"""Slow clients: which are served however slowly they read, and which are given up although they move bytes.

``Pace`` is tested with a clock of the test's own. The live tests below wait for deadlines of a second.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from tests.server.apps import TEXT, checked, connections
from tests.server.client import SECONDS, Client, get, wait_until
from wsgiserve.server.http.pace import Pace

BLOCK = bytes(range(256)) * 256
PACE = 0.1  # seconds between two small steps of a slow client


@pytest.fixture
def clock(monkeypatch):
    """Return a list whose one item is the time."""
    clock = [1000.0]
    monkeypatch.setattr("wsgiserve.server.http.pace.monotonic", lambda: clock[0])
    return clock


def never():
    raise AssertionError("it is too early to look")


def test_nobody_looks_before_the_interval_is_over(clock):
    pace = Pace(30, 240, 0)
    clock[0] += 29.9
    assert not pace.too_slow(never)
    assert pace.resume() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("rate", "steps", "given_up"),
    [
        (240, [1], False),
        (240, [0], True),
        (240, [7200, 7200, 7200], False),
        (240, [7200, 7199], False),
        (240, [1, 1], True),
        (240, [100_000, 1, 1], False),
        (240, [100_000, 1, 0], True),
        (0, [1, 1, 1, 1], False),
        (0, [1, 1, 0], True),
    ],
)
def test_a_client_has_to_move_bytes_in_each_interval_and_keep_the_rate(clock, rate, steps, given_up):
    """240 bytes a second are 7200 in an interval of 30 s; the first interval is not counted."""
    pace, moved, verdicts = Pace(30, rate, 500), 500, []
    for step in steps:
        clock[0] += 30
        moved += step
        verdicts.append(pace.too_slow(lambda: moved))  # noqa: B023 - called at once
    assert verdicts == [False] * (len(steps) - 1) + [given_up]


def test_time_that_the_app_takes_does_not_count(clock):
    pace = Pace(30, 240, 0)
    for _ in range(10):
        clock[0] += 1000
        pace.resume()
        clock[0] += 2
        assert not pace.too_slow(never)
    clock[0] += 1000
    assert pace.resume() == pytest.approx(10)


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


# -- readers

SHAPES = ("/list", "/generator", "/file")


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
        wait_until(lambda: not connections(server))


@pytest.mark.slow
def test_response_that_was_given_up_looks_cut(serving, tmp_path):
    """Without a length, even an end that comes late would look regular to HTTP/1.0."""
    with (
        serving(sending(1000, tmp_path), stall_timeout=1) as server,
        readers(server, *SHAPES, minor=0, receive_buffer=4096) as clients,
    ):
        wait_until(lambda: len(connections(server)) == len(clients))
        wait_until(lambda: not connections(server))
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
def test_readers_where_the_system_does_not_tell_what_was_taken(serving, tmp_path, monkeypatch):
    monkeypatch.setattr("wsgiserve.server.http.connection.queued", lambda fd: 0)
    with serving(sending(1000, tmp_path), stall_timeout=1) as server:
        with readers(server, *SHAPES) as clients:
            assert sip(clients, 500_000, 2.5) == clients
        with readers(server, *SHAPES, receive_buffer=4096):
            wait_until(lambda: len(connections(server)) == len(SHAPES))
            wait_until(lambda: not connections(server))


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


# -- senders


@pytest.mark.slow
def test_rest_of_a_body_that_drips_is_given_up(serving):
    """The answer has left, and no thread waits; yet the connection is not kept for ever."""

    @checked
    def app(environ, start_response):
        environ["wsgi.input"].read(2_000_000)
        start_response("200 OK", [TEXT])
        return [b"thanks"]

    with serving(app, stall_timeout=1, min_rate=1_000_000) as server, Client(server) as client:
        client.send(get("/", "Content-Length: 2060000", method="POST") + b"x" * 2_000_000)
        assert client.response().body == b"thanks"
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            drip(client)
        wait_until(lambda: not connections(server))


def drip(client):
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        client.send(b"x")
        time.sleep(PACE)
