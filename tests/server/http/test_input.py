"""``wsgi.input``: bodies in memory and bodies that are still arriving, by each method that reads them."""

from __future__ import annotations

import io
import threading
from wsgiref.validate import validator

import pytest

from tests.server.apps import TEXT, checked
from tests.server.client import SECONDS, Client, get, wait_until
from tests.server.http.bodies import CHUNKED, MEBIBYTE, Recorder, chunked, echo, ignore, pattern
from tests.server.http.lone import Lone
from wsgiserve.protocol.body import LengthReader
from wsgiserve.server.http.input import BodyStream

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


SIZES = [1, 255, 65536, MEBIBYTE, MEBIBYTE + 1, 5_000_000]


# -- bodies


@pytest.mark.parametrize("size", SIZES)
def test_body_with_length(size):
    with Lone(echo) as client:
        for _ in range(2):
            assert client.ask(get(method="POST", body=pattern(size))).body == pattern(size)


@pytest.mark.parametrize("size", SIZES)
def test_chunked_body(size):
    body = pattern(size)
    pieces = [body[start : start + 100_003] for start in range(0, size, 100_003)]
    request = get("/", CHUNKED, method="POST") + chunked(*pieces, trailer=b"X-Sum: 1\r\n")
    with Lone(echo) as client:
        for _ in range(2):
            assert client.ask(request).body == body


@pytest.mark.parametrize("minor", [0, 1])
def test_no_length_is_no_body(minor):
    with Lone(echo) as client:
        client.send(get(method="POST", minor=minor))
        client.half_close()
        assert client.response().body == b""
        assert client.rest() == b""


# -- wsgi.input, in memory and streamed

LINES = [b"first\n", b"\n", b"x" * 70_000 + b"\n", b"y" * 10, b"\n", b"no end"]


def big_lines():
    return (b"".join(LINES[:-1]) * 20) + LINES[-1]


def read_lines(stream):
    return list(iter(stream.readline, b""))


READINGS = {
    "read(-1)": lambda stream: [stream.read(-1), stream.read(1), stream.read(-1)],
    "read(n)": lambda stream: [stream.read(n) for n in (0, 1, 1000, 70_000, 1 << 22, 1, 0)],
    "readline": read_lines,
    "readline(n)": lambda stream: [stream.readline(n) for n in (0, 3, 100, 1, 80_000, 5)],
    "readlines": lambda stream: stream.readlines(),
    "readlines(hint)": lambda stream: [stream.readlines(10), stream.readlines(80_000)],
    "iteration": list,
    "line, then rest": lambda stream: [
        stream.readline(),
        stream.read(3),
        next(iter(stream), None),
        stream.read(-1),
    ],
}


@pytest.mark.parametrize("reading", READINGS.values(), ids=READINGS)
@pytest.mark.parametrize("body", [b"".join(LINES), big_lines()], ids=["memory", "streamed"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_input_reads_like_a_file(reading, body, framing):
    seen = []

    def app(environ, start_response):
        seen.append(reading(environ["wsgi.input"]))
        environ["wsgi.input"].read(-1)  # Or a long rest would end the connection.
        start_response("200 OK", [TEXT])
        return [b"done"]

    request = get("/", method="POST", body=body)
    if framing == "chunked":
        request = get("/", CHUNKED, method="POST") + chunked(body[:1000], body[1000:])
    with Lone(app) as client:
        client.send(request)
        assert client.response().body == b"done"
        client.send(get(method="POST", body=b"next"))
        assert client.response().body == b"done"
    assert seen[0] == reading(io.BytesIO(body))
    assert seen[1] == reading(io.BytesIO(b"next"))


def test_streamed_body_is_read_as_it_arrives(serving):
    pieces = []

    @validator
    def app(environ, start_response):
        for _ in range(3):
            pieces.append(environ["wsgi.input"].read(MEBIBYTE))
        start_response("200 OK", [TEXT])
        return [b"done"]

    with serving(app) as server, Client(server) as client:
        client.send(get("/", f"Content-Length: {3 * MEBIBYTE}", method="POST"))
        for number in range(3):
            client.send(bytes([number]) * MEBIBYTE)
            wait_until(lambda: len(pieces) == number + 1)  # noqa: B023 - used up in this turn
            assert pieces[number] == bytes([number]) * MEBIBYTE
        assert client.response().body == b"done"


def test_body_of_tiny_chunks_is_read_by_the_app(serving):
    """The loop does not collect a megabyte of tiny chunks: the framing costs more than the data."""
    tiny = bytes(range(256)) * 256
    called, bodies = threading.Event(), []

    @checked
    def app(environ, start_response):
        called.set()
        bodies.append(environ["wsgi.input"].read(-1))
        start_response("200 OK", [TEXT])
        return [b"thanks"]

    with serving(app) as server, Client(server) as client:
        client.send(get("/", CHUNKED, method="POST"))
        client.send(b"".join(b"1\r\n%c\r\n" % byte for byte in tiny[:8000]))
        assert called.wait(SECONDS)
        client.send(b"".join(b"1\r\n%c\r\n" % byte for byte in tiny[8000:]) + b"0\r\n\r\n")
        assert client.response().body == b"thanks"
        assert bodies == [tiny]


def test_body_of_large_chunks_is_there_when_the_app_is_called():
    called = []

    def app(environ, start_response):
        called.append(environ)
        body = environ["wsgi.input"].read(-1)
        start_response("200 OK", [TEXT])
        return [b"%d" % len(body)]

    with Lone(app) as client:
        client.send(get("/", CHUNKED, method="POST"))
        client.send(b"2000\r\n%b\r\n" % (b"x" * 8192) * 100)
        assert client.serve() == b""
        assert len(client.connection.receiver.body) == 819200
        assert not called
        client.send(b"0\r\n\r\n")
        assert client.response().body == b"819200"


# -- a body cut short is an error in read(), never a short body


@pytest.mark.parametrize("reading", READINGS.values(), ids=READINGS)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_body_cut_short_raises(log, reading, framing):
    outcome = []

    def app(environ, start_response):
        try:
            while reading(environ["wsgi.input"])[0] or not outcome:
                pass
        except OSError as error:
            outcome.append(error)
            raise
        outcome.append("took it for whole")
        start_response("200 OK", [TEXT])
        return [b"saved"]

    body = (b"x" * 99 + b"\n") * 15_000
    request = get("/", f"Content-Length: {len(body) + 1}", method="POST") + body
    if framing == "chunked":
        request = get("/", CHUNKED, method="POST") + chunked(body)[:-5]
    if reading is READINGS["read(n)"]:
        reading = READINGS["read(-1)"]  # Its first read is of nothing.
    with Lone(app) as client:
        client.send(request)
        client.half_close()
        assert client.response("POST").status == 400
        assert client.rest() == b""
    assert isinstance(outcome[0], ConnectionError)
    assert outcome[0].client_fault is True
    assert not log.records


def test_read_that_raised_raises_again():
    outcomes = []

    def app(environ, start_response):
        for _ in range(3):
            try:
                outcomes.append(environ["wsgi.input"].read(2 * MEBIBYTE))
            except ConnectionError as error:
                outcomes.append(type(error).__name__)
        start_response("200 OK", [TEXT])
        return []

    with Lone(app) as client:
        client.send(get("/", f"Content-Length: {2 * MEBIBYTE}", method="POST") + b"x" * 1000)
        client.half_close()
        client.rest()
    assert outcomes == ["ClientDisconnected"] * 3


@pytest.mark.parametrize("request_bytes", [get("/", "Content-Length: 5"), get("/", CHUNKED) + b"5\r\n"])
def test_small_body_cut_short_never_reaches_the_app(request_bytes):
    recorder = Recorder()
    with Lone(recorder) as client:
        client.send(request_bytes + b"hel")
        client.half_close()
        assert client.response().status == 400
        assert client.rest() == b""
    assert not recorder.environs


def test_streamed_chunked_body_that_goes_wrong_is_400(log):
    request = get("/", CHUNKED, method="POST") + chunked(b"x" * 1_500_000)[:-5] + b"zz\r\n"
    with Lone(echo) as client:
        client.send(request + get())
        response = client.response()
        assert (response.status, response.headers["connection"]) == (400, "close")
        assert client.rest() == b""
    assert len(log.records) == 1
    assert "Traceback" not in log.text


# -- Expect: 100-continue


EXPECT = "Expect: 100-continue"


def test_continue_is_sent_at_the_first_read(serving):
    called, may_read = threading.Event(), threading.Event()

    @checked
    def app(environ, start_response):
        called.set()
        assert may_read.wait(SECONDS)
        start_response("200 OK", [TEXT])
        return [environ["wsgi.input"].read(-1)]

    with serving(app) as server, Client(server) as client:
        client.send(get("/", "Content-Length: 5", EXPECT, method="PUT"))
        assert called.wait(SECONDS)
        client.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.sock.recv(1)
        client.sock.settimeout(SECONDS)
        may_read.set()
        assert client.sock.recv(len(CONTINUE)) == CONTINUE
        client.send(b"hello")
        assert client.response().body == b"hello"
        assert client.ask(get(method="POST", body=b"again")).body == b"again"


def test_no_continue_when_the_app_answers_unread():
    with Lone(ignore) as client:
        client.send(get("/first", "Content-Length: 1000", EXPECT, method="PUT"))
        response = client.response()  # The first thing that comes.
        assert (response.status, response.headers["connection"]) == (200, "close")
        client.send(get("/smuggled").ljust(1000) + get("/next"))
        assert client.rest() == b""


def test_no_continue_behind_the_head_of_the_answer():
    def app(environ, start_response):
        write = start_response("200 OK", [TEXT])
        write(b"early ")
        return [environ["wsgi.input"].read(-1)]

    with Lone(app) as client:
        client.send(get("/", "Content-Length: 5", EXPECT, method="PUT") + b"hello")
        assert client.response().body == b"early hello"


@pytest.mark.parametrize(
    "request_bytes",
    [
        get("/", EXPECT, "Connection: keep-alive", method="POST", minor=0, body=b"hello"),
        get("/", EXPECT, method="GET"),
        get("/", EXPECT, "Content-Length: 0", method="POST"),
    ],
    ids=["1.0", "no body", "empty body"],
)
def test_no_continue_where_the_client_does_not_wait_for_it(request_bytes):
    with Lone(echo) as client:
        for _ in range(2):
            assert client.ask(request_bytes).status == 200


# -- the stream below ``wsgi.input``


def test_the_first_read_is_announced_once_before_any_byte_is_read():
    told = []
    with Lone(ignore) as client:
        stream = BodyStream(client.connection, LengthReader(0), lambda: told.append("read"), told.append)
        assert stream.readable()
        assert told == []
        assert [stream.read(1), stream.read(1)] == [b"", b""]
        assert told == ["read"]


def test_a_read_of_one_byte_leaves_the_others():
    with Lone(ignore) as client:
        client.connection.receiver.body = b"abc"
        stream = BodyStream(client.connection, LengthReader(0), lambda: None, lambda: None)
        assert [stream.read(1), stream.read(5), stream.read(5)] == [b"a", b"bc", b""]


@pytest.mark.parametrize("reading", READINGS.values(), ids=READINGS)
def test_a_small_body_that_the_client_holds_back_reads_the_same(reading):
    """With Expect the app is called at once, and the body is received while it reads."""
    body, seen = b"".join(LINES), []

    def app(environ, start_response):
        seen.append(reading(environ["wsgi.input"]))
        return ignore(environ, start_response)

    with Lone(app, bare=True) as client:
        client.send(get("/", EXPECT, f"Content-Length: {len(body)}", method="PUT") + body)
        assert client.response().raw == CONTINUE
        assert client.response().status == 200
    assert seen == [reading(io.BytesIO(body))]
