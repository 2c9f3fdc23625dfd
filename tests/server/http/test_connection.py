"""One connection: its state between requests, pipelining, bodies that nobody reads, and how it ends."""

from __future__ import annotations

import threading
from time import monotonic

import pytest

from tests.server.apps import TEXT, answer, checked
from tests.server.client import SECONDS, Client, get
from tests.server.http.bodies import CHUNKED, MEBIBYTE, Recorder, chunked, echo, ignore
from tests.server.http.lone import Lone
from wsgiserve.server.errors import ClientDisconnected
from wsgiserve.server.http.connection import Connection, queued


@pytest.mark.parametrize(
    "request_bytes",
    [
        get("/", "X-Long: " + "y" * 300),
        get(method="POST", body=b"hello"),
        get("/", CHUNKED, method="POST") + chunked(b"hel", b"lo", trailer=b"X: y\r\n"),
    ],
    ids=["no body", "length", "chunked"],
)
def test_request_in_single_bytes(request_bytes):
    with Lone(echo) as client:
        expected = client.ask(request_bytes).raw
        for byte in request_bytes:
            assert client.serve() == b""
            client.send(bytes([byte]))
        assert client.response().raw == expected


@pytest.mark.parametrize("size", [10, 60_000, 1_000_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_unread_body_in_memory_is_not_a_request(size, framing):
    body = get("/smuggled") * (size // len(get("/smuggled")) + 1)
    request = get("/first", method="POST", body=body)
    if framing == "chunked":
        request = get("/first", CHUNKED, method="POST") + chunked(body)
    with Lone(ignore) as client:
        client.send(request + get("/second"))
        assert client.response().body == b"/first"
        assert client.response().body == b"/second"


def test_small_rest_of_a_streamed_body_is_drained():
    def app(environ, start_response):
        environ["wsgi.input"].read(2 * MEBIBYTE if environ["REQUEST_METHOD"] == "POST" else 0)
        start_response("200 OK", [TEXT])
        return [environ["PATH_INFO"].encode()]

    with Lone(app) as client:
        client.send(get("/first", f"Content-Length: {2 * MEBIBYTE + 60_000}", method="POST"))
        client.send(b"x" * (2 * MEBIBYTE))
        assert client.response().body == b"/first"
        client.send(b"GET /smuggled HTTP/1.1\r\n\r\n".ljust(60_000))
        client.send(get("/second"))
        assert client.response().body == b"/second"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_large_unread_body_closes_and_the_answer_arrives(serving, framing):
    body = get("/smuggled") * 100_000
    request = get("/first", method="POST", body=body)
    if framing == "chunked":
        request = get("/first", CHUNKED, method="POST") + chunked(body)
    with serving(ignore) as server, Client(server) as client:
        client.send(request)
        response = client.response()
        assert (response.body, response.headers["connection"]) == (b"/first", "close")
        assert client.rest() == b""


def test_fifty_in_one_packet_are_answered_in_order(serving):
    with serving(ignore) as server, Client(server) as client:
        client.send(b"".join(get(f"/{number}") for number in range(50)))
        assert [client.response().body for _ in range(50)] == [b"/%d" % n for n in range(50)]


@pytest.mark.parametrize("count", [1, 15, 16, 17, 50, 500])
def test_half_closed_client_is_answered(serving, count):
    with serving(ignore) as server, Client(server) as client:
        client.send(b"".join(get(f"/{number}") for number in range(count)))
        client.half_close()
        assert [client.response().body for _ in range(count)] == [b"/%d" % n for n in range(count)]
        assert client.rest() == b""


@pytest.mark.slow
def test_pipelining_takes_longer_than_the_head_timeout(serving):
    """Requests that wait for their turn are not late."""
    count = 1300

    @checked
    def app(environ, start_response):
        threading.Event().wait(0.001)  # The work of this app.
        return ignore(environ, start_response)

    with serving(app, head_timeout=1) as server, Client(server) as client:
        client.send(b"".join(get(f"/{number}") for number in range(count)))
        assert [client.response().body for _ in range(count)] == [b"/%d" % n for n in range(count)]


def test_pipelined_bodies_and_methods(serving):
    requests = [
        (get("/a", method="POST", body=b"one"), b"one"),
        (get("/b", CHUNKED, method="PUT") + chunked(b"two"), b"two"),
        (get("/c", method="DELETE"), b""),
        (get("/d", method="POST", body=b"x" * 2_000_000), b"x" * 2_000_000),
        (get("/e", method="POST", body=b"five"), b"five"),
    ]
    with serving(echo) as server, Client(server) as client:
        sender = threading.Thread(target=client.send, args=(b"".join(r for r, _ in requests) * 3,))
        sender.start()
        assert [client.response().body for _ in range(15)] == [body for _, body in requests] * 3
        sender.join(SECONDS)


def test_nothing_is_answered_behind_close():
    recorder = Recorder()
    with Lone(recorder) as client:
        client.send(get("/first", "Connection: close") + get("/second"))
        assert client.response().body == b"/first"
        assert client.rest() == b""
    assert len(recorder.environs) == 1


def test_connection_is_kept_for_many_requests():
    recorder = Recorder()
    with Lone(recorder) as client:
        for number in range(100):
            fields = [f"X-Number: {number // 10}"]
            assert client.ask(get(f"/{number}", *fields)).body == b"/%d" % number
    assert [e["HTTP_X_NUMBER"] for e in recorder.environs] == [str(n // 10) for n in range(100)]
    assert len({e["REMOTE_PORT"] for e in recorder.environs}) == 1


@pytest.mark.parametrize("request_bytes", [b"\r\n\r\n" + get("/x"), get("/x")], ids=["CRLF before", "plain"])
def test_empty_lines_before_a_request(request_bytes):
    with Lone(ignore) as client:
        for _ in range(2):
            client.send(request_bytes)
            assert client.response().body == b"/x"


# -- its state

HELLO = answer(b"hello")


def test_a_connection_is_idle_between_requests_only():
    with Lone(HELLO) as client:
        connection = client.connection
        assert not connection.is_idle, "a new one waits for a head"
        client.ask(get())
        assert (connection.is_idle, connection.at_rest) == (True, True)
        client.send(get()[:-1])
        client.serve()
        assert (connection.is_idle, connection.at_rest) == (False, False)
        client.send(b"\n")
        assert client.response().body == b"hello"
        assert connection.is_idle


def test_a_body_that_is_discarded_is_not_idleness():
    with Lone(ignore) as client:
        client.send(get("/", f"Content-Length: {2 * MEBIBYTE}", method="POST"))
        client.send(b"x" * (2 * MEBIBYTE - 10))
        client.serve()
        assert not client.connection.at_rest


def test_deadlines_of_a_head_and_of_an_idle_connection():
    with Lone(HELLO, head_timeout=10, keep_alive=75) as client:
        connection = client.connection
        begin = monotonic()
        assert begin + 9 < connection.deadline <= begin + 10
        client.ask(get())
        assert begin + 75 <= connection.deadline < begin + 76
        client.send(b"GET / HT")
        client.serve()
        first = connection.deadline
        assert begin + 10 <= first < begin + 11
        client.send(b"TP/1.1\r\n")
        client.serve()
        assert connection.deadline == first, "more bytes do not buy more time"
        connection.hasten(begin)
        assert connection.deadline == begin


@pytest.mark.parametrize(
    ("acts", "ending"),
    [
        (["close_when_sent"], "close"),
        (["cut"], "cut"),
        (["close_when_sent", "cut"], "cut"),
        (["cut", "close_when_sent"], "cut"),
        (["reset", "cut"], "reset"),
        (["cut", "reset"], "reset"),
        (["reset", "close_when_sent"], "reset"),
    ],
    ids=", ".join,
)
def test_one_ending_replaces_another(acts, ending):
    with Lone(HELLO) as client:
        for act in acts:
            if act == "reset":
                client.connection.cut(reset=True)
            else:
                getattr(client.connection, act)()
        assert client.connection.ending == ending
        assert client.connection.is_broken == (ending != "close")


def test_unsent_bytes_are_counted_until_the_client_takes_them():
    data = b"x" * 3_000_000
    with Lone(HELLO) as client:
        connection = client.connection
        connection.send(data)
        connection.send(b"more")
        assert 0 < connection.left() < len(data)
        assert connection.untaken() > connection.left()
        assert connection.progress() == -connection.untaken()
        assert client.serve() == data + b"more"
        assert (connection.left(), connection.outgoing) == (0, [])


def test_a_send_to_a_client_that_is_gone_cuts_the_connection():
    with Lone(HELLO) as client:
        client.sock.close()
        with pytest.raises(ClientDisconnected):
            client.connection.send(b"hello")
        assert client.connection.is_broken
        assert client.connection.closed_by_client()


def test_a_connection_that_replaces_another_inherits_its_unsent_bytes():
    data = b"x" * 3_000_000
    with Lone(HELLO) as client:
        before = client.connection
        before.send(data)
        after = before.replacement(before.sock.dup())
        after.inherit(before)
        assert (before.outgoing, after.ending, after.peer) == ([], "close", before.peer)
        assert after.left() + len(client.sock.recv(len(data))) == len(data)
        after.close()


def test_the_system_counts_the_bytes_that_the_client_has_not_taken():
    with Lone(HELLO) as client:
        connection = client.connection
        assert isinstance(connection, Connection)
        before = queued(connection.fd)
        connection.send(b"x" * 1000)
        assert queued(connection.fd) > before
        client.serve()
        assert queued(connection.fd) == before
