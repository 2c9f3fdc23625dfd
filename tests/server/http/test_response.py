"""Responses as whole bytes: their framing, lengths that the app does not keep, and heads that are refused.

Apps are checked by the validator. Where a test is about something that the validator forbids, the app is
served bare, and the test says so.
"""

from __future__ import annotations

import pytest

from tests.server.apps import TEXT, Blocks, answer, checked, generator
from tests.server.client import DATE_AND_SERVER, Client, get, masked, whole
from tests.server.http.lone import Lone
from wsgiserve.server.http.response import LARGE, MAX_DISCARD

OK = ("HTTP/1.1 200 OK", "Content-Type: text/plain")
LENGTH_5 = (*OK, "Content-Length: 5", DATE_AND_SERVER)
CHUNKED = (*OK, "Transfer-Encoding: chunked", DATE_AND_SERVER)
CLOSE = "Connection: close"
KEEP_ALIVE = "Connection: keep-alive"
FAILED = b"500 Internal Server Error: the application failed; its log says why\n"
INTERNAL_ERROR = (
    "HTTP/1.1 500 Internal Server Error",
    "Content-Type: text/plain; charset=utf-8",
    f"Content-Length: {len(FAILED)}",
    DATE_AND_SERVER,
)


def with_length(length):
    return (TEXT, ("Content-Length", str(length)))


def case(name, app, request, *lines, body=b""):
    return pytest.param(app, request, whole(*lines, body=body), id=name)


HELLO = answer(b"hello")
TUPLE = answer(b"hel", b"lo", kind=tuple)
STREAM = answer(b"hel", b"", b"lo", kind=generator)
WRITTEN = answer(write=[b"hel", b"lo"])
WRITTEN_AND_RETURNED = answer(b"lo", write=[b"hel"])
EMPTY = answer()
SIZED_STREAM = answer(b"hel", b"lo", headers=with_length(5), kind=generator)
NO_CONTENT = answer(status="204 No Content", headers=())
RESET_CONTENT = answer(b"hello", status="205 Reset Content")
NOT_MODIFIED = answer(status="304 Not Modified", headers=[("ETag", '"1"')])

GET = get()
HEAD = get(method="HEAD")
GET_1_0 = get(minor=0)
GET_1_0_KEPT = get("/", "Connection: Keep-Alive", minor=0)

WHOLE = [
    case("list", HELLO, GET, *LENGTH_5, body=b"hello"),
    case("tuple", TUPLE, GET, *LENGTH_5, body=b"hello"),
    case("generator", STREAM, GET, *CHUNKED, body=b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
    case("write", WRITTEN, GET, *CHUNKED, body=b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
    case("write, list", WRITTEN_AND_RETURNED, GET, *CHUNKED, body=b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
    case("empty list", EMPTY, GET, *OK, "Content-Length: 0", DATE_AND_SERVER),
    case("empty generator", answer(kind=generator), GET, *OK, "Content-Length: 0", DATE_AND_SERVER),
    case("generator with length", SIZED_STREAM, GET, *LENGTH_5, body=b"hello"),
    case("list with length", answer(b"hello", headers=with_length(5)), GET, *LENGTH_5, body=b"hello"),
    case(
        "write with length",
        answer(b"lo", headers=with_length(5), write=[b"hel"]),
        GET,
        *LENGTH_5,
        body=b"hello",
    ),
    # HEAD: the length where it is known, never a body, never an invented length
    case("HEAD list", HELLO, HEAD, *LENGTH_5),
    case("HEAD tuple", TUPLE, HEAD, *LENGTH_5),
    case("HEAD generator", STREAM, HEAD, *OK, DATE_AND_SERVER),
    case("HEAD write", WRITTEN, HEAD, *OK, DATE_AND_SERVER),
    case("HEAD write, list", WRITTEN_AND_RETURNED, HEAD, *OK, DATE_AND_SERVER),
    case("HEAD empty list", EMPTY, HEAD, *OK, DATE_AND_SERVER),
    case("HEAD generator with length", SIZED_STREAM, HEAD, *LENGTH_5),
    case("HEAD empty list with length", answer(headers=with_length(5)), HEAD, *LENGTH_5),
    # HTTP/1.0
    case("1.0 list", HELLO, GET_1_0, *LENGTH_5, CLOSE, body=b"hello"),
    case("1.0 generator", STREAM, GET_1_0, *OK, DATE_AND_SERVER, CLOSE, body=b"hello"),
    case("1.0 write, list", WRITTEN_AND_RETURNED, GET_1_0, *OK, DATE_AND_SERVER, CLOSE, body=b"hello"),
    case("1.0 HEAD list", HELLO, get(method="HEAD", minor=0), *LENGTH_5, CLOSE),
    case("1.0 keep-alive list", HELLO, GET_1_0_KEPT, *LENGTH_5, KEEP_ALIVE, body=b"hello"),
    case("1.0 keep-alive generator", STREAM, GET_1_0_KEPT, *OK, DATE_AND_SERVER, CLOSE, body=b"hello"),
    case("1.0 keep-alive sized", SIZED_STREAM, GET_1_0_KEPT, *LENGTH_5, KEEP_ALIVE, body=b"hello"),
    # persistence
    case("close", HELLO, get("/", "Connection: close"), *LENGTH_5, CLOSE, body=b"hello"),
    case("close in a list", HELLO, get("/", "Connection: te, Close"), *LENGTH_5, CLOSE, body=b"hello"),
    case(
        "close chunked",
        STREAM,
        get("/", "Connection: close"),
        *CHUNKED,
        CLOSE,
        body=b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    ),
    # statuses without content
    case("204", NO_CONTENT, GET, "HTTP/1.1 204 No Content", DATE_AND_SERVER),
    case("204 HEAD", NO_CONTENT, HEAD, "HTTP/1.1 204 No Content", DATE_AND_SERVER),
    case("204 1.0 kept", NO_CONTENT, GET_1_0_KEPT, "HTTP/1.1 204 No Content", DATE_AND_SERVER, KEEP_ALIVE),
    case(
        "204 generator with a body",
        answer(b"x", b"y", status="204 No Content", headers=(), kind=generator),
        GET,
        "HTTP/1.1 204 No Content",
        DATE_AND_SERVER,
    ),
    case(
        "204 with a length",
        answer(status="204 No Content", headers=[("Content-Length", "0")]),
        GET,
        "HTTP/1.1 204 No Content",
        DATE_AND_SERVER,
    ),
    case(
        "205",
        RESET_CONTENT,
        GET,
        "HTTP/1.1 205 Reset Content",
        "Content-Type: text/plain",
        "Content-Length: 0",
        DATE_AND_SERVER,
    ),
    case("304", NOT_MODIFIED, GET, "HTTP/1.1 304 Not Modified", 'ETag: "1"', DATE_AND_SERVER),
    case("304 HEAD", NOT_MODIFIED, HEAD, "HTTP/1.1 304 Not Modified", 'ETag: "1"', DATE_AND_SERVER),
    case(
        "304 with the length of its 200",
        answer(status="304 Not Modified", headers=[("Content-Length", "5")]),
        GET,
        "HTTP/1.1 304 Not Modified",
        "Content-Length: 5",
        DATE_AND_SERVER,
    ),
    # fields of the app in place of ours
    case(
        "own Server",
        answer(b"hello", headers=[TEXT, ("Server", "mine")]),
        GET,
        *OK,
        "Server: mine",
        "Content-Length: 5",
        "Date: (masked)",
        body=b"hello",
    ),
    case(
        "two cookies, latin-1",
        answer(b"hello", headers=[TEXT, ("Set-Cookie", "a=\xe9"), ("Set-Cookie", "b=2")]),
        GET,
        *OK,
        "Set-Cookie: a=\xe9",
        "Set-Cookie: b=2",
        "Content-Length: 5",
        DATE_AND_SERVER,
        body=b"hello",
    ),
]


@pytest.mark.parametrize(("app", "request_bytes", "expected"), WHOLE)
def test_response_is_exactly(log, app, request_bytes, expected):
    method = request_bytes.split(b" ")[0].decode()
    with Lone(app) as client:
        client.send(request_bytes)
        assert client.response(method).raw == expected
        if b"Connection: close" in expected:
            assert client.rest() == b""
        else:
            client.send(request_bytes)
            assert client.response(method).raw == expected
    assert not log.records


@pytest.mark.parametrize(("app", "request_bytes", "expected"), [WHOLE[0], WHOLE[2], WHOLE[-1]])
def test_response_over_the_network_is_exactly(serving, app, request_bytes, expected):
    with serving(checked(app)) as server, Client(server) as client:
        for _ in range(2):
            assert client.ask(request_bytes).raw == expected


# -- a client that reads slowly


def test_large_list_arrives_whole(serving):
    body = bytes(range(256)) * 40_000
    with serving(checked(answer(body))) as server, Client(server, receive_buffer=4096) as client:
        for _ in range(2):
            assert client.ask(get()).body == body


# -- a length that is not kept


@pytest.mark.parametrize("kind", [list, generator, Blocks])
def test_more_than_the_announced_length_is_cut_and_the_connection_closed(log, kind):
    app = answer(b"hel", b"lo, and more", headers=with_length(5), kind=kind)
    with Lone(app) as client:
        client.send(get() + get())
        assert client.response().body == b"hello"
        assert client.rest() == b""
    assert [r.levelname for r in log.records] == ["ERROR"]
    assert "more bytes than its Content-Length" in log.text


def test_more_than_the_announced_length_by_write(log):
    app = answer(b"never seen", headers=with_length(5), write=[b"hello, and more"])
    with Lone(app) as client:
        client.send(get() + get())
        assert client.response().body == b"hello"
        assert client.rest() == b""
    assert "more bytes than its Content-Length" in log.text


@pytest.mark.parametrize("kind", [list, generator, Blocks])
def test_less_than_the_announced_length_ends_the_connection(log, kind):
    app = answer(b"hel", headers=with_length(5), kind=kind)
    with Lone(app) as client:
        client.send(get() + get())
        assert masked(client.rest()) == whole(*LENGTH_5, body=b"hel")
    assert [r.getMessage() for r in log.records] == [
        "GET /: 2 bytes fewer than its Content-Length; the connection was cut"
    ]


@pytest.mark.parametrize("value", ["+5", "5,5", "0x5", "5 5", "", "-1", "1" * 19, "\u0665"])
def test_length_that_is_no_number_is_refused(log, value):
    # Bare: the validator has an opinion on some of them.
    with Lone(answer(b"hello", headers=with_length(value)), bare=True) as client:
        assert client.ask(get()).raw == whole(*INTERNAL_ERROR, body=FAILED)
    assert "Content-Length must be a number in digits" in log.text


# -- heads that are refused

REFUSED = [
    ("200 OK", [("Connection", "close")], "Connection"),
    ("200 OK", [("Transfer-Encoding", "chunked")], "Transfer-Encoding"),
    ("200 OK", [("keep-alive", "5")], "keep-alive"),
    ("200 OK", [("Upgrade", "x")], "Upgrade"),
    ("200 OK", [("X-Split", "a\r\nSet-Cookie: b")], "X-Split"),
    ("200 OK", [("X-Feed", "a\nb")], "X-Feed"),
    ("200 OK", [("X-Nul", "a\0b")], "X-Nul"),
    ("200 OK", [("X-Wide", "\u20ac")], "X-Wide"),
    ("200 OK", [("X Space", "a")], "X Space"),
    ("200 OK", [("X-Colon:", "a")], "X-Colon:"),
    ("200 OK", [("", "a")], "''"),
    ("200 OK", [("X-Bytes", b"a")], "X-Bytes"),
    ("200 OK", [("X-Number", 5)], "X-Number"),
    ("200 OK", [["X-List", "a"]], "X-List"),
    ("200 OK", [("Content-Length", "1"), ("Content-Length", "1")], "two Content-Length"),
    ("200 OK", (("X", "a"),), "must be a list"),
    ("200 OK", None, "must be a list"),
    ("200", "", "must be a list"),
    ("OK", [], "the status must be"),
    ("200 OK\r\nX: y", [], "the status must be"),
    (200, [], "the status must be"),
    (b"200 OK", [], "the status must be"),
    ("2000 OK", [], "the status must be"),
    ("101 Switching Protocols", [], "not a final status"),
]


@pytest.mark.parametrize(("status", "headers", "named"), REFUSED, ids=[repr(row[:2]) for row in REFUSED])
def test_head_is_refused_whole(log, status, headers, named):
    # Bare: the validator refuses most of them too.
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/good":
            return HELLO(environ, start_response)
        start_response(status, headers)
        return [b"never sent"]

    with Lone(app, bare=True) as client:
        assert client.ask(get()).raw == whole(*INTERNAL_ERROR, body=FAILED)
        assert client.ask(get("/good")).body == b"hello"
    assert [r.levelname for r in log.records] == ["ERROR"]
    assert named in log.text
    assert "Traceback" not in log.text


# -- unread bodies and large responses


@pytest.mark.parametrize(
    ("rest", "persists"), [(1, True), (MAX_DISCARD, True), (MAX_DISCARD + 1, False)], ids=str
)
def test_a_connection_persists_where_the_rest_of_the_body_is_small(rest, persists):
    size = 2_000_000

    def app(environ, start_response):
        environ["wsgi.input"].read(size)
        return HELLO(environ, start_response)

    with Lone(app) as client:
        client.send(get("/", f"Content-Length: {size + rest}", method="POST") + b"x" * size)
        assert client.response().headers.get("connection") == (None if persists else "close")


@pytest.mark.parametrize("size", [LARGE, LARGE + 1, 3_000_000])
def test_a_large_body_is_sent_without_a_copy_and_arrives_whole(size):
    body = bytes(range(256)) * (size // 256 + 1)
    with Lone(answer(body[:size])) as client:
        for _ in range(2):
            assert client.ask(get()).body == body[:size]


class Reading(Lone):
    """A client that reads on while the app waits for it; ``waited`` has the bytes that were kept then."""

    def __init__(self, app, **options):
        super().__init__(app, **options)
        self.waited = []
        self.gateway.tell_before_wait(self._read_on)

    def _read_on(self, exchange):
        connection = exchange.connection
        self.waited += [part.obj for part in connection.outgoing]
        while connection.outgoing:
            self._pump()
            connection.flush()


@pytest.mark.parametrize("size", [LARGE, LARGE + 1, 3_000_000])
@pytest.mark.parametrize("framing", ["chunked", "length", "close", "head"])
def test_large_blocks_of_a_stream_arrive_whole(size, framing):
    blocks = [bytes([letter]) * size for letter in b"abc"]
    headers = with_length(3 * size) if framing == "length" else (TEXT,)
    app = answer(*blocks, headers=headers, kind=generator)
    request = get("/", method="HEAD" if framing == "head" else "GET")
    if framing == "close":
        request = request.replace(b"HTTP/1.1", b"HTTP/1.0")
    with Reading(app, bare=framing == "head") as client:  # The validator forbids a body for HEAD.
        client.send(request)
        head, _, body = client.serve().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    expected = b"" if framing == "head" else b"".join(blocks)
    if framing == "chunked":
        expected = b"".join(b"%x\r\n%b\r\n" % (size, block) for block in blocks) + b"0\r\n\r\n"
    assert body == expected


@pytest.mark.parametrize("headers", [(TEXT,), with_length(3_000_000)], ids=["chunked", "length"])
def test_a_large_block_of_a_stream_is_not_copied(headers):
    """What waits for the client are the app's own bytes, whatever is around them."""
    block = bytes(3_000_000)
    with Reading(answer(block, headers=headers, kind=generator)) as client:
        client.send(get())
        assert client.serve().count(b"\0") == 3_000_000
        assert any(kept is block for kept in client.waited)


@pytest.mark.parametrize("surplus", [1, LARGE + 1])
def test_a_large_block_beyond_the_announced_length_is_cut(log, surplus):
    app = answer(bytes(LARGE + 1 + surplus), headers=with_length(LARGE + 1), kind=generator)
    with Reading(app, bare=True) as client:
        client.send(get())
        assert client.rest().count(b"\0") == LARGE + 1
    assert f"{surplus} were left out" in log.text
