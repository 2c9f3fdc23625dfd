"""What an app sees of a request: bodies by every way in, pipelining, and the environ.

Every app is checked by the validator, which also checks the environ of each request.
"""

from __future__ import annotations

import io
import sys
import threading
from wsgiref.validate import validator

import pytest

from tests.server.apps import TEXT, checked, connections
from tests.server.client import SECONDS, Client, get, wait_until

MEBIBYTE = 1 << 20
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked"


@checked
def echo(environ, start_response):
    """Return the body, all of it."""
    start_response("200 OK", [TEXT])
    return [environ["wsgi.input"].read(-1)]


@checked
def ignore(environ, start_response):
    """Answer without a look at the body."""
    start_response("200 OK", [TEXT])
    return [environ["PATH_INFO"].encode("latin-1")]


class Recorder:
    """Keep the environ of each call; answer with the path."""

    def __init__(self):
        self.environs = []

    def __call__(self, environ, start_response):
        self.environs.append(environ)
        return ignore(environ, start_response)


def chunked(*chunks, trailer=b""):
    return b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n" + trailer + b"\r\n"


def pattern(size):
    return (bytes(range(256)) * (size // 256 + 1))[:size]


SIZES = [1, 255, 65536, MEBIBYTE, MEBIBYTE + 1, 5_000_000]


# -- bodies


@pytest.mark.parametrize("size", SIZES)
def test_body_with_length(serving, size):
    with serving(echo) as server, Client(server) as client:
        for _ in range(2):
            assert client.ask(get(method="POST", body=pattern(size))).body == pattern(size)


@pytest.mark.parametrize("size", SIZES)
def test_chunked_body(serving, size):
    body = pattern(size)
    pieces = [body[start : start + 100_003] for start in range(0, size, 100_003)]
    request = get("/", CHUNKED, method="POST") + chunked(*pieces, trailer=b"X-Sum: 1\r\n")
    with serving(echo) as server, Client(server) as client:
        for _ in range(2):
            assert client.ask(request).body == body


@pytest.mark.parametrize("minor", [0, 1])
def test_no_length_is_no_body(serving, minor):
    with serving(echo) as server, Client(server) as client:
        client.send(get(method="POST", minor=minor))
        client.half_close()
        assert client.response().body == b""
        assert client.rest() == b""


@pytest.mark.parametrize(
    "request_bytes",
    [
        get("/", "X-Long: " + "y" * 300),
        get(method="POST", body=b"hello"),
        get("/", CHUNKED, method="POST") + chunked(b"hel", b"lo", trailer=b"X: y\r\n"),
    ],
    ids=["no body", "length", "chunked"],
)
def test_request_in_single_bytes(serving, request_bytes):
    with serving(echo) as server, Client(server) as client:
        expected = client.ask(request_bytes).raw
        for byte in request_bytes:
            client.send(bytes([byte]))
        assert client.response().raw == expected


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
def test_input_reads_like_a_file(serving, reading, body, framing):
    seen = []

    @validator
    def app(environ, start_response):
        seen.append(reading(environ["wsgi.input"]))
        environ["wsgi.input"].read(-1)  # Or a long rest would end the connection.
        start_response("200 OK", [TEXT])
        return [b"done"]

    request = get("/", method="POST", body=body)
    if framing == "chunked":
        request = get("/", CHUNKED, method="POST") + chunked(body[:1000], body[1000:])
    with serving(app) as server, Client(server) as client:
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
    """The loop does not collect a megabyte of them: their framing costs more than what is in them."""
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


def test_body_of_large_chunks_is_there_when_the_app_is_called(serving):
    called = threading.Event()

    @checked
    def app(environ, start_response):
        called.set()
        body = environ["wsgi.input"].read(-1)
        start_response("200 OK", [TEXT])
        return [b"%d" % len(body)]

    with serving(app) as server, Client(server) as client:
        client.send(get("/", CHUNKED, method="POST"))
        client.send(b"2000\r\n%b\r\n" % (b"x" * 8192) * 100)
        wait_until(
            lambda: any(
                len(connection.receiver.body) == 819200 for connection in connections(server).values()
            )
        )
        assert not called.is_set()
        client.send(b"0\r\n\r\n")
        assert client.response().body == b"819200"


# -- a body cut short is an error in read(), never a short body


@pytest.mark.parametrize("reading", READINGS.values(), ids=READINGS)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_body_cut_short_raises(serving, log, reading, framing):
    outcome = []

    @validator
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

    body = b"line\n" * 300_000
    request = get("/", f"Content-Length: {len(body) + 1}", method="POST") + body
    if framing == "chunked":
        request = get("/", CHUNKED, method="POST") + chunked(body)[:-5]
    if reading is READINGS["read(n)"]:
        reading = READINGS["read(-1)"]  # Its first read is of nothing.
    with serving(app) as server, Client(server) as client:
        client.send(request)
        client.half_close()
        assert client.response("POST").status == 400
        assert client.rest() == b""
        wait_until(lambda: outcome)
    assert isinstance(outcome[0], ConnectionError)
    assert outcome[0].client_fault is True
    assert not log.records


def test_read_that_raised_raises_again(serving):
    outcomes = []

    @validator
    def app(environ, start_response):
        for _ in range(3):
            try:
                outcomes.append(environ["wsgi.input"].read(2 * MEBIBYTE))
            except ConnectionError as error:
                outcomes.append(type(error).__name__)
        start_response("200 OK", [TEXT])
        return []

    with serving(app) as server, Client(server) as client:
        client.send(get("/", f"Content-Length: {2 * MEBIBYTE}", method="POST") + b"x" * 1000)
        client.half_close()
        client.rest()
    assert outcomes == ["ClientDisconnected"] * 3


@pytest.mark.parametrize("request_bytes", [get("/", "Content-Length: 5"), get("/", CHUNKED) + b"5\r\n"])
def test_small_body_cut_short_never_reaches_the_app(serving, request_bytes):
    recorder = Recorder()
    with serving(recorder) as server, Client(server) as client:
        client.send(request_bytes + b"hel")
        client.half_close()
        assert client.response().status == 400
        assert client.rest() == b""
    assert not recorder.environs


def test_streamed_chunked_body_that_goes_wrong_is_400(serving, log):
    request = get("/", CHUNKED, method="POST") + chunked(b"x" * 1_500_000)[:-5] + b"zz\r\n"
    with serving(echo) as server, Client(server) as client:
        client.send(request + get())
        response = client.response()
        assert (response.status, response.headers["connection"]) == (400, "close")
        assert client.rest() == b""
    assert len(log.records) == 1
    assert "Traceback" not in log.text


# -- bodies that the app does not read


@pytest.mark.parametrize("size", [10, 60_000, 1_000_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_unread_body_in_memory_is_not_a_request(serving, size, framing):
    body = get("/smuggled") * (size // len(get("/smuggled")) + 1)
    request = get("/first", method="POST", body=body)
    if framing == "chunked":
        request = get("/first", CHUNKED, method="POST") + chunked(body)
    with serving(ignore) as server, Client(server) as client:
        client.send(request + get("/second"))
        assert client.response().body == b"/first"
        assert client.response().body == b"/second"


def test_small_rest_of_a_streamed_body_is_drained(serving):
    @validator
    def app(environ, start_response):
        environ["wsgi.input"].read(2 * MEBIBYTE if environ["REQUEST_METHOD"] == "POST" else 0)
        start_response("200 OK", [TEXT])
        return [environ["PATH_INFO"].encode()]

    with serving(app) as server, Client(server) as client:
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


def test_no_continue_when_the_app_answers_unread(serving):
    with serving(ignore) as server, Client(server) as client:
        client.send(get("/first", "Content-Length: 1000", EXPECT, method="PUT"))
        response = client.response()  # The first thing that comes.
        assert (response.status, response.headers["connection"]) == (200, "close")
        client.send(get("/smuggled").ljust(1000) + get("/next"))
        assert client.rest() == b""


def test_no_continue_behind_the_head_of_the_answer(serving):
    @checked
    def app(environ, start_response):
        write = start_response("200 OK", [TEXT])
        write(b"early ")
        return [environ["wsgi.input"].read(-1)]

    with serving(app) as server, Client(server) as client:
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
def test_no_continue_where_nobody_waits_for_it(serving, request_bytes):
    with serving(echo) as server, Client(server) as client:
        for _ in range(2):
            assert client.ask(request_bytes).status == 200


# -- one connection, many requests


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


def test_nothing_is_answered_behind_close(serving):
    recorder = Recorder()
    with serving(recorder) as server, Client(server) as client:
        client.send(get("/first", "Connection: close") + get("/second"))
        assert client.response().body == b"/first"
        assert client.rest() == b""
    assert len(recorder.environs) == 1


def test_connection_is_kept_for_many_requests(serving):
    recorder = Recorder()
    with serving(recorder) as server, Client(server) as client:
        for number in range(100):
            fields = [f"X-Number: {number // 10}"]
            assert client.ask(get(f"/{number}", *fields)).body == b"/%d" % number
    assert [e["HTTP_X_NUMBER"] for e in recorder.environs] == [str(n // 10) for n in range(100)]
    assert len({e["REMOTE_PORT"] for e in recorder.environs}) == 1


@pytest.mark.parametrize("request_bytes", [b"\r\n\r\n" + get("/x"), get("/x")], ids=["CRLF before", "plain"])
def test_empty_lines_before_a_request(serving, request_bytes):
    with serving(ignore) as server, Client(server) as client:
        for _ in range(2):
            client.send(request_bytes)
            assert client.response().body == b"/x"


# -- the environ


def environ_of(serving, request_bytes, **options):
    recorder = Recorder()
    with serving(recorder, **options) as server, Client(server) as client:
        client.send(request_bytes)
        client.response(request_bytes.split(b" ")[0].decode())
        port = client.sock.getsockname()[1]
        recorder.environs[0]["test.ports"] = (server.port, port)
    return recorder.environs[0]


def test_environ_whole(serving):
    environ = environ_of(
        serving,
        get("/a%20b/c?q=1&r=%20", "Content-Type: text/x", "User-Agent: me", method="POST", body=b"hello"),
    )
    server_port, client_port = environ.pop("test.ports")
    streams = {name: environ.pop(name) for name in ("wsgi.input", "wsgi.errors", "wsgi.file_wrapper")}
    assert all(callable(getattr(streams["wsgi.errors"], name)) for name in ("write", "flush", "writelines"))
    software = environ.pop("SERVER_SOFTWARE")
    assert software.startswith("wsgiserve/")
    assert type(environ) is dict
    assert environ.pop("wsgiserve.deadline") is None
    extensions = {name for name in environ if name.startswith("wsgiserve.")} | {"wsgi.early_hints"}
    assert all(callable(environ.pop(name)) for name in extensions)
    assert environ == {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/c",
        "QUERY_STRING": "q=1&r=%20",
        "RAW_URI": "/a%20b/c?q=1&r=%20",
        "REQUEST_URI": "/a%20b/c?q=1&r=%20",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(server_port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": str(client_port),
        "CONTENT_TYPE": "text/x",
        "CONTENT_LENGTH": "5",
        "HTTP_HOST": "test",
        "HTTP_USER_AGENT": "me",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", {"PATH_INFO": "/", "QUERY_STRING": ""}),
        ("/?", {"PATH_INFO": "/", "QUERY_STRING": "", "RAW_URI": "/?"}),
        ("//a/../b//", {"PATH_INFO": "//a/../b//"}),
        ("/a%2Fb", {"PATH_INFO": "/a/b", "RAW_URI": "/a%2Fb"}),
        ("/%c3%a9", {"PATH_INFO": "/\xc3\xa9", "RAW_URI": "/%c3%a9"}),
        ("/%ff%00", {"PATH_INFO": "/\xff\x00"}),
        ("/100%/%zz/%2", {"PATH_INFO": "/100%/%zz/%2"}),
        ("/%2525", {"PATH_INFO": "/%25"}),
        ("/a+b?c+d", {"PATH_INFO": "/a+b", "QUERY_STRING": "c+d"}),
        ("/a?b?c=%c3%a9", {"QUERY_STRING": "b?c=%c3%a9"}),
        (
            "http://other:81/a?b",
            {
                "PATH_INFO": "/a",
                "QUERY_STRING": "b",
                "HTTP_HOST": "other:81",
                "RAW_URI": "http://other:81/a?b",
            },
        ),
        ("HTTP://other", {"PATH_INFO": "/", "HTTP_HOST": "other"}),
        ("https://other/", {"HTTP_HOST": "other", "wsgi.url_scheme": "http"}),
    ],
)
def test_environ_of_target(serving, target, expected):
    environ = environ_of(serving, get(target))
    assert {key: environ[key] for key in expected} == expected


def test_environ_of_asterisk(serving):
    environ = environ_of(serving, get("*", method="OPTIONS"))
    assert (environ["PATH_INFO"], environ["RAW_URI"]) == ("", "*")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["X_Forwarded_For: evil", "X-Forwarded-For: real"], {"HTTP_X_FORWARDED_FOR": "real"}),
        (["Remote_User: root", "Script_Name: /x"], {"HTTP_REMOTE_USER": None, "SCRIPT_NAME": ""}),
        (["Remote-User: root"], {"HTTP_REMOTE_USER": "root", "REMOTE_USER": None}),
        (["Content_Length: 5"], {"CONTENT_LENGTH": None, "HTTP_CONTENT_LENGTH": None}),
        (["Proxy: http://evil"], {"HTTP_PROXY": None}),
        (["proxy: http://evil"], {"HTTP_PROXY": None}),
        (["Accept: a", "X: y", "accept: b", "ACCEPT:c"], {"HTTP_ACCEPT": "a, b, c"}),
        (["Cookie: a=1", "Cookie: b=2"], {"HTTP_COOKIE": "a=1; b=2"}),
        (["X-Space: \t a \t b \t"], {"HTTP_X_SPACE": "a \t b"}),
        (["X-Empty:"], {"HTTP_X_EMPTY": ""}),
        (["X-Latin: \xe9\xff"], {"HTTP_X_LATIN": "\xe9\xff"}),
        (["X.Odd!Name: 1"], {"HTTP_X.ODD!NAME": "1"}),
        (["X-Forwarded-Proto: https", "Forwarded: proto=https"], {"wsgi.url_scheme": "http"}),
        (["X-Forwarded-For: 10.0.0.1"], {"REMOTE_ADDR": "127.0.0.1"}),
        ([], {"CONTENT_TYPE": None, "CONTENT_LENGTH": None, "HTTP_CONTENT_TYPE": None}),
    ],
    ids=lambda value: "; ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_environ_of_fields(serving, fields, expected):
    environ = environ_of(serving, get("/", *fields))
    assert {key: environ.get(key) for key in expected} == expected


def test_environ_of_chunks_that_are_all_here_has_their_length(serving):
    request = get("/", CHUNKED, method="POST") + chunked(b"x", trailer=b"X-Trailer: 1\r\nHost: evil\r\n")
    environ = environ_of(serving, request)
    assert environ["CONTENT_LENGTH"] == "1"
    assert "HTTP_TRANSFER_ENCODING" not in environ
    assert environ["wsgi.input_terminated"]
    assert "HTTP_X_TRAILER" not in environ
    assert environ["HTTP_HOST"] == "test"


def test_environ_of_chunks_that_still_arrive_invents_no_length(serving):
    environs = []

    def app(environ, start_response):
        environs.append(environ.copy())
        start_response("200 OK", [TEXT])
        return [environ["wsgi.input"].read(-1)]

    with serving(checked(app)) as server, Client(server) as client:
        client.send(get("/", CHUNKED, "Expect: 100-continue", method="POST"))
        assert client.response().status == 100
        client.send(chunked(b"x"))
        assert client.response().body == b"x"
    [environ] = environs
    assert "CONTENT_LENGTH" not in environ
    assert environ["HTTP_TRANSFER_ENCODING"] == "chunked"


def test_environ_of_http_1_0(serving):
    environ = environ_of(serving, get(minor=0))
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert "HTTP_HOST" not in environ


def test_environ_says_when_calls_never_overlap(serving):
    assert environ_of(serving, get(), threads=1)["wsgi.multithread"] is False


def test_environ_is_fresh_for_each_call(serving):
    seen = []

    @checked
    def app(environ, start_response):
        seen.append((id(environ), "my.key" in environ, environ.get("HTTP_X"), environ["SCRIPT_NAME"]))
        environ["my.key"] = environ
        environ["SCRIPT_NAME"] = "/changed"
        environ.pop("HTTP_X")
        return ignore(environ | {"wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr}, start_response)

    with serving(app) as server, Client(server) as client:
        for _ in range(5):
            assert client.ask(get("/", "X: y")).status == 200
    assert [entry[1:] for entry in seen] == [(False, "y", "")] * 5


def test_input_without_a_body_is_not_spoilt_for_the_next(serving):
    """All requests without a body share it."""

    def app(environ, start_response):
        body = environ["wsgi.input"]
        read = [body.read(), body.read(5), body.read1(), body.readline(), *body.readlines(), *body]
        assert body.readinto(bytearray(3)) == 0
        with pytest.raises(io.UnsupportedOperation):
            body.write(b"left behind")
        io.TextIOWrapper(body).close()
        body.close()
        start_response("200 OK", [TEXT])
        return [b"".join(read) + b"."]

    with serving(app) as server, Client(server) as client:
        assert [client.ask(get()).body for _ in range(3)] == [b"."] * 3
