"""One connection: pipelining, bodies that nobody reads, and how it ends."""

from __future__ import annotations

import threading

import pytest

from tests.server.apps import TEXT, checked
from tests.server.client import SECONDS, Client, get
from tests.server.http.bodies import CHUNKED, MEBIBYTE, Recorder, chunked, echo, ignore
from tests.server.http.lone import Lone


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
def test_large_unread_body_closes_and_the_answer_arrives(framing):
    body = get("/smuggled") * 100_000
    request = get("/first", method="POST", body=body)
    if framing == "chunked":
        request = get("/first", CHUNKED, method="POST") + chunked(body)
    with Lone(ignore) as client:
        client.send(request)
        response = client.response()
        assert (response.body, response.headers["connection"]) == (b"/first", "close")
        assert client.rest() == b""


def test_fifty_in_one_packet_are_answered_in_order():
    with Lone(ignore) as client:
        client.send(b"".join(get(f"/{number}") for number in range(50)))
        assert [client.response().body for _ in range(50)] == [b"/%d" % n for n in range(50)]


@pytest.mark.parametrize("count", [1, 15, 16, 17, 50, 500])
def test_half_closed_client_is_answered(count):
    with Lone(ignore) as client:
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
