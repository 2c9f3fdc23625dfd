"""What leaves for what an app does: responses compared whole, and what happens when an app breaks the rules.

Apps are checked by the validator. Where a test is about something that the validator forbids, the app is
served bare, and the test says so.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from email.utils import parsedate_to_datetime
from wsgiref.validate import validator

import pytest

from tests.server.apps import TEXT, Blocks, answer, checked, fail, generator
from tests.server.client import STANDING, Client, get, masked, wait_until, whole

OK = ("HTTP/1.1 200 OK", "Content-Type: text/plain")
LENGTH_5 = (*OK, "Content-Length: 5", STANDING)
CHUNKED = (*OK, "Transfer-Encoding: chunked", STANDING)
CLOSE = "Connection: close"
KEEP_ALIVE = "Connection: keep-alive"
FAILED = b"500 Internal Server Error: the application failed; its log says why\n"
INTERNAL_ERROR = (
    "HTTP/1.1 500 Internal Server Error",
    "Content-Type: text/plain; charset=utf-8",
    f"Content-Length: {len(FAILED)}",
    STANDING,
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
    case("empty list", EMPTY, GET, *OK, "Content-Length: 0", STANDING),
    case("empty generator", answer(kind=generator), GET, *OK, "Content-Length: 0", STANDING),
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
    case("HEAD generator", STREAM, HEAD, *OK, STANDING),
    case("HEAD write", WRITTEN, HEAD, *OK, STANDING),
    case("HEAD write, list", WRITTEN_AND_RETURNED, HEAD, *OK, STANDING),
    case("HEAD empty list", EMPTY, HEAD, *OK, STANDING),
    case("HEAD generator with length", SIZED_STREAM, HEAD, *LENGTH_5),
    case("HEAD empty list with length", answer(headers=with_length(5)), HEAD, *LENGTH_5),
    # HTTP/1.0
    case("1.0 list", HELLO, GET_1_0, *LENGTH_5, CLOSE, body=b"hello"),
    case("1.0 generator", STREAM, GET_1_0, *OK, STANDING, CLOSE, body=b"hello"),
    case("1.0 write, list", WRITTEN_AND_RETURNED, GET_1_0, *OK, STANDING, CLOSE, body=b"hello"),
    case("1.0 HEAD list", HELLO, get(method="HEAD", minor=0), *LENGTH_5, CLOSE),
    case("1.0 keep-alive list", HELLO, GET_1_0_KEPT, *LENGTH_5, KEEP_ALIVE, body=b"hello"),
    case("1.0 keep-alive generator", STREAM, GET_1_0_KEPT, *OK, STANDING, CLOSE, body=b"hello"),
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
    case("204", NO_CONTENT, GET, "HTTP/1.1 204 No Content", STANDING),
    case("204 HEAD", NO_CONTENT, HEAD, "HTTP/1.1 204 No Content", STANDING),
    case("204 1.0 kept", NO_CONTENT, GET_1_0_KEPT, "HTTP/1.1 204 No Content", STANDING, KEEP_ALIVE),
    case(
        "204 generator with a body",
        answer(b"x", b"y", status="204 No Content", headers=(), kind=generator),
        GET,
        "HTTP/1.1 204 No Content",
        STANDING,
    ),
    case(
        "204 with a length",
        answer(status="204 No Content", headers=[("Content-Length", "0")]),
        GET,
        "HTTP/1.1 204 No Content",
        STANDING,
    ),
    case(
        "205",
        RESET_CONTENT,
        GET,
        "HTTP/1.1 205 Reset Content",
        "Content-Type: text/plain",
        "Content-Length: 0",
        STANDING,
    ),
    case("304", NOT_MODIFIED, GET, "HTTP/1.1 304 Not Modified", 'ETag: "1"', STANDING),
    case("304 HEAD", NOT_MODIFIED, HEAD, "HTTP/1.1 304 Not Modified", 'ETag: "1"', STANDING),
    case(
        "304 with the length of its 200",
        answer(status="304 Not Modified", headers=[("Content-Length", "5")]),
        GET,
        "HTTP/1.1 304 Not Modified",
        "Content-Length: 5",
        STANDING,
    ),
    # what the app says itself
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
        STANDING,
        body=b"hello",
    ),
]


@pytest.mark.parametrize(("app", "request_bytes", "expected"), WHOLE)
def test_response_is_exactly(serving, log, app, request_bytes, expected):
    method = request_bytes.split(b" ")[0].decode()
    with serving(checked(app)) as server, Client(server) as client:
        client.send(request_bytes)
        assert client.response(method).raw == expected
        if b"Connection: close" in expected:
            assert client.rest() == b""
        else:
            client.send(request_bytes)
            assert client.response(method).raw == expected
    assert not log.records


def test_date_is_that_of_the_answer(serving):
    """Starts of responses are kept, but not for longer than their date is true."""
    app = checked(answer(b"hello", headers=with_length(5)))
    with serving(app) as server, Client(server) as client:
        dates = {client.ask(get()).headers["date"]}

        def changed():
            date = client.ask(get()).headers["date"]
            assert abs(parsedate_to_datetime(date).timestamp() - time.time()) < 2
            dates.add(date)
            return len(dates) == 3

        wait_until(changed)


def test_equal_heads_are_answered_each_in_its_way(serving):
    """The same head of an app for every kind of request that makes another response of it."""
    app = checked(answer(b"hello", headers=with_length(5)))
    requests = [GET, HEAD, GET_1_0_KEPT, GET, HEAD, get("/", "Connection: close")]
    with serving(app) as server, Client(server) as client:
        client.send(b"".join(requests))
        text = masked(client.rest())
    start = [whole(*LENGTH_5), whole(*LENGTH_5), whole(*LENGTH_5, KEEP_ALIVE)]
    bodies = [start[0] + b"hello", start[1], start[2] + b"hello", start[0] + b"hello", start[1]]
    assert text == b"".join([*bodies, whole(*LENGTH_5, CLOSE) + b"hello"])


def test_date_of_the_app_is_not_doubled(serving):
    date = "Thu, 01 Jan 1970 00:00:00 GMT"
    with serving(checked(answer(b"x", headers=[TEXT, ("Date", date)]))) as server, Client(server) as client:
        assert client.ask(get()).headers["date"] == date


# -- close()


@pytest.mark.parametrize(
    "request_bytes", [GET, HEAD, GET_1_0, GET_1_0_KEPT], ids=["GET", "HEAD", "1.0", "1.0 kept"]
)
@pytest.mark.parametrize(
    ("status", "headers", "blocks"),
    [
        ("200 OK", [TEXT], [b"hel", b"lo"]),
        ("200 OK", [TEXT], []),
        ("200 OK", with_length(5), [b"hel", b"lo"]),
        ("200 OK", with_length(4), [b"hel", b"lo"]),
        ("200 OK", with_length(6), [b"hel", b"lo"]),
        ("204 No Content", [], []),
        ("304 Not Modified", [], []),
        ("200 OK", [TEXT], [fail]),
        ("200 OK", [TEXT], [b"hel", fail]),
        ("200 OK", [TEXT], ["text"]),
        ("200 OK", [TEXT], [b"hel", "text"]),
        ("200 OK", [("Connection", "close"), TEXT], [b"refused"]),
    ],
    ids=[
        "whole",
        "empty",
        "length",
        "too long",
        "too short",
        "204",
        "304",
        "raises first",
        "raises later",
        "text first",
        "text later",
        "refused header",
    ],
)
def test_result_is_closed_once(serving, request_bytes, status, headers, blocks):
    result = Blocks(blocks)

    def app(environ, start_response):
        # An app that meets a refusal with a shrug: its result is to be closed all the same.
        try:
            start_response(status, list(headers))
        except Exception:  # noqa: BLE001 - an app may
            return result
        return result

    # Bare where the validator would raise before the server sees it.
    wrapped = app if "text" in blocks else validator(app)
    with serving(wrapped) as server, Client(server) as client:
        client.send(request_bytes)
        try:
            client.half_close()
            client.rest()
        except OSError:
            pass  # A body that ends with the connection is cut by a reset, maybe before we half-close.
        wait_until(lambda: result.closings)
    assert result.closings == 1


@pytest.mark.parametrize("size", [1, 10_000_000], ids=["small", "large"])
def test_result_is_closed_once_when_the_client_is_gone(serving, log, size):
    entered, left = threading.Event(), threading.Event()

    def block():
        entered.set()
        assert left.wait(10)
        return b"x" * size

    result = Blocks([block, *[b"x" * size] * 20])

    @validator
    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        return result

    with serving(app) as server:
        client = Client(server)
        client.send(get())
        assert entered.wait(10)
        client.reset()
        left.set()
        wait_until(lambda: result.closings)
    assert result.closings == 1
    assert not log.records


def test_error_in_close_is_logged_and_takes_nothing_from_the_response(serving, log):
    """The body was whole before: whoever asks as HTTP/1.0 must not take it for cut."""
    results = []

    @validator
    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        results.append(Blocks([b"hello"], at_close=fail))
        return results[-1]

    with serving(app) as server, Client(server) as client:
        client.send(get() + b"GET / HTTP/1.0\r\n\r\n")
        assert client.response().body == b"hello"
        assert client.rest().endswith(b"\r\n\r\nhello")
    assert [result.closings for result in results] == [1, 1]
    assert [(r.getMessage(), r.exc_info[0]) for r in log.records] == [("GET / raised", RuntimeError)] * 2
    assert 'exchange.py", line' not in log.text, "the traceback is the app's own"


# -- when it leaves


def test_each_block_leaves_as_it_is_produced(serving):
    taken = [threading.Event() for _ in range(3)]

    @validator
    def app(environ, start_response):
        write = start_response("200 OK", [TEXT])
        write(b"block 0")

        def blocks():
            for number in (1, 2):
                assert taken[number - 1].wait(10), "the client did not get the block before"
                yield b"block %d" % number
            assert taken[2].wait(10)

        return blocks()

    with serving(app) as server, Client(server) as client:
        client.send(get(minor=0))
        received = b""
        for number in range(3):
            while not received.endswith(b"block %d" % number):
                piece = client.sock.recv(65536)
                assert piece
                received += piece
            taken[number].set()
        assert client.rest() == b""


def test_head_waits_for_the_first_block_that_is_not_empty(serving):
    result = Blocks([b"", fail])

    @validator
    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        return result

    with serving(app) as server, Client(server) as client:
        assert client.ask(get()).raw == whole(*INTERNAL_ERROR, body=FAILED)


def test_start_response_may_come_with_the_first_block(serving):
    # Bare: the validator asks for the call before the iteration; PEP 3333 asks for it before the first block.
    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        yield b"hello"

    with serving(app) as server, Client(server) as client:
        assert client.ask(get()).body == b"hello"


def test_large_list_arrives_whole(serving):
    body = bytes(range(256)) * 40_000
    with serving(checked(answer(body))) as server, Client(server, receive_buffer=4096) as client:
        for _ in range(2):
            assert client.ask(get()).body == body


# -- a length that is not kept


@pytest.mark.parametrize("kind", [list, generator, Blocks])
def test_more_than_the_announced_length_is_cut_and_the_connection_closed(serving, log, kind):
    app = checked(answer(b"hel", b"lo, and more", headers=with_length(5), kind=kind))
    with serving(app) as server, Client(server) as client:
        client.send(get() + get())
        assert client.response().body == b"hello"
        assert client.rest() == b""
    assert [r.levelname for r in log.records] == ["ERROR"]
    assert "more bytes than its Content-Length" in log.text


def test_more_than_the_announced_length_by_write(serving, log):
    app = checked(answer(b"never seen", headers=with_length(5), write=[b"hello, and more"]))
    with serving(app) as server, Client(server) as client:
        client.send(get() + get())
        assert client.response().body == b"hello"
        assert client.rest() == b""
    assert "more bytes than its Content-Length" in log.text


@pytest.mark.parametrize("kind", [list, generator, Blocks])
def test_less_than_the_announced_length_ends_the_connection(serving, log, kind):
    app = checked(answer(b"hel", headers=with_length(5), kind=kind))
    with serving(app) as server, Client(server) as client:
        client.send(get() + get())
        assert masked(client.rest()) == whole(*LENGTH_5, body=b"hel")
    assert [r.getMessage() for r in log.records] == [
        "GET /: 2 bytes fewer than its Content-Length; the connection was cut"
    ]


@pytest.mark.parametrize("value", ["+5", "5,5", "0x5", "5 5", "", "-1", "1" * 19, "\u0665"])
def test_length_that_is_no_number_is_refused(serving, log, value):
    # Bare: the validator has an opinion on some of them.
    with serving(answer(b"hello", headers=with_length(value))) as server, Client(server) as client:
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
def test_head_is_refused_whole(serving, log, status, headers, named):
    # Bare: the validator refuses most of them too.
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/good":
            return HELLO(environ, start_response)
        start_response(status, headers)
        return [b"never sent"]

    with serving(app) as server, Client(server) as client:
        assert client.ask(get()).raw == whole(*INTERNAL_ERROR, body=FAILED)
        assert client.ask(get("/good")).body == b"hello"
    assert [r.levelname for r in log.records] == ["ERROR"]
    assert named in log.text
    assert "Traceback" not in log.text


# -- exc_info


def with_exc_info(environ, start_response):
    """Announce success, fail, and say so; before or behind the first block."""
    write = start_response("200 OK", [TEXT])
    try:
        if environ["PATH_INFO"] == "/late":
            write(b"begun")
        fail()
    except RuntimeError:
        start_response("503 Service Unavailable", [TEXT], sys.exc_info())
    return [b"sorry"]


def test_exc_info_replaces_a_head_that_has_not_left(serving, log):
    with serving(checked(with_exc_info)) as server, Client(server) as client:
        assert client.ask(get()).raw == whole(
            "HTTP/1.1 503 Service Unavailable",
            "Content-Type: text/plain",
            "Content-Length: 5",
            STANDING,
            body=b"sorry",
        )
    assert not log.records


def test_exc_info_is_raised_again_behind_a_head(serving, log):
    with serving(checked(with_exc_info)) as server, Client(server) as client:
        client.send(get("/late") + get())
        assert masked(client.rest()) == whole(*CHUNKED, body=b"5\r\nbegun\r\n")
    assert [(r.getMessage(), r.exc_info[0]) for r in log.records] == [("GET /late raised", RuntimeError)]


# -- apps that break the rules, all before the head: a clean 500 whose log line says what to do


def twice(environ, start_response):
    start_response("200 OK", [TEXT])
    start_response("200 OK", [TEXT])
    return [b"x"]


def raises(environ, start_response):
    start_response("200 OK", [TEXT])
    fail()


def never_generator(environ, start_response):
    yield b"x"


def exits(environ, start_response):
    raise SystemExit(3)


def never(environ, start_response):
    return [b"x"]


def returns(value):
    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        return value

    return app


def writes_text(environ, start_response):
    start_response("200 OK", [TEXT])("text")
    return []


BROKEN = [
    (twice, "start_response was called twice"),
    (never, "without calling start_response"),
    (never_generator, "without calling start_response"),
    (raises, "the app has a bug"),
    (exits, "GET / raised"),
    (writes_text, "the app wrote str; a body is made of bytes"),
    (returns(None), "the app returned NoneType; return an iterable of bytes"),
    (returns("text"), "the app returned str; return an iterable of bytes"),
    (returns(b"text"), "the app returned bytes; return an iterable of bytes"),
    (returns(5), "the app returned int; return an iterable of bytes"),
    (returns(["text"]), "the app returned str"),
    (returns((b"x", None)), "the app returned NoneType"),
    (answer("text", kind=generator), "the app yielded str; a body is made of bytes"),
    (answer(bytearray(b"x"), kind=generator), "the app yielded bytearray"),
]


@pytest.mark.parametrize(
    ("app", "said"),
    BROKEN,
    ids=[
        "twice",
        "never",
        "never, generator",
        "raises",
        "exits",
        "writes text",
        "None",
        "str",
        "bytes",
        "int",
        "list of str",
        "tuple with None",
        "yields str",
        "yields bytearray",
    ],
)
def test_app_that_breaks_the_rules_is_a_clean_500(serving, log, app, said):
    # Bare: the validator would be first to complain.
    with serving(app) as server, Client(server) as client:
        assert client.ask(get()).raw == whole(*INTERNAL_ERROR, body=FAILED)
        assert client.ask(get(method="HEAD")).raw == whole(*INTERNAL_ERROR)
        assert client.ask(get(minor=0)).raw == whole(*INTERNAL_ERROR, CLOSE, body=FAILED)
        assert client.rest() == b""
    assert [r.levelname for r in log.records] == ["ERROR"] * 3
    assert said in log.text


@pytest.mark.parametrize("later", [fail, "text"], ids=["raises", "yields text"])
def test_error_behind_the_head_cuts_the_response(serving, log, later):
    # Bare for the text's sake.
    with serving(answer(b"hello", later, kind=Blocks)) as server, Client(server) as client:
        client.send(get() + get())
        assert masked(client.rest()) == whole(*CHUNKED, body=b"5\r\nhello\r\n")
    assert [r.levelname for r in log.records] == ["ERROR"]


def test_error_behind_the_head_of_a_sized_response_cuts_it(serving):
    app = checked(answer(b"hel", fail, headers=with_length(5), kind=generator))
    with serving(app) as server, Client(server) as client:
        client.send(get() + get())
        assert masked(client.rest()) == whole(*LENGTH_5, body=b"hel")


def test_error_behind_the_head_resets_where_the_end_would_look_regular(serving):
    with serving(checked(answer(b"hello", fail, kind=generator))) as server, Client(server) as client:
        client.send(get(minor=0))
        with pytest.raises(ConnectionResetError):
            client.rest()


def test_result_may_be_iterable_the_old_way(serving):
    # Bare: PEP 3333's own example of a file wrapper has __getitem__ alone, the validator calls next().
    class Countdown:
        def __getitem__(self, index):
            return [b"3", b"2", b"1"][index]

    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        return Countdown()

    with serving(app) as server, Client(server) as client:
        assert client.ask(get()).body == b"321"


def test_app_sees_in_write_that_the_client_is_gone(serving):
    seen = []

    @validator
    def app(environ, start_response):
        write = start_response("200 OK", [TEXT])
        try:
            for _ in range(1000):
                write(b"x" * 65536)
        except OSError as error:
            seen.append(error)
            raise
        return []

    with serving(app) as server:
        client = Client(server)
        client.send(get())
        assert client.sock.recv(1)
        client.reset()
        wait_until(lambda: seen)
    assert seen[0].client_fault is True
    assert not isinstance(seen[0], socket.timeout)
