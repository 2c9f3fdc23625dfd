"""One call of the app: its result is closed once, and an app that breaks the rules gets a clean 500 or a cut.

Apps are checked by the validator. Where a test is about something that the validator forbids, the app is
served bare, and the test says so.
"""

from __future__ import annotations

import socket
import sys
import threading
from wsgiref.validate import validator

import pytest

from tests.server.apps import TEXT, Blocks, answer, checked, fail, generator
from tests.server.client import DATE_AND_SERVER, Client, get, masked, wait_until, whole
from tests.server.http.lone import Lone
from tests.server.http.test_response import (
    CHUNKED,
    CLOSE,
    FAILED,
    GET,
    GET_1_0,
    GET_1_0_KEPT,
    HEAD,
    HELLO,
    INTERNAL_ERROR,
    LENGTH_5,
    with_length,
)
from wsgiserve.server.http.exchange import CLIENT_CLOSED_REQUEST, Exchange


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
def test_result_is_closed_once(request_bytes, status, headers, blocks):
    result = Blocks(blocks)

    def app(environ, start_response):
        # An app that meets a refusal with a shrug: its result is to be closed all the same.
        try:
            start_response(status, list(headers))
        except Exception:  # noqa: BLE001 - an app may
            return result
        return result

    # Bare where the validator would raise before the server sees it.
    with Lone(app, bare="text" in blocks) as client:
        client.send(request_bytes)
        client.half_close()
        client.serve()
        assert not client.is_open
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


def test_error_in_close_is_logged_and_takes_nothing_from_the_response(log):
    """The body was sent whole before, so a client of HTTP/1.0 must not see a reset."""
    results = []

    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        results.append(Blocks([b"hello"], at_close=fail))
        return results[-1]

    with Lone(app) as client:
        client.send(get() + b"GET / HTTP/1.0\r\n\r\n")
        assert client.response().body == b"hello"
        assert client.rest().endswith(b"\r\n\r\nhello")
    assert [result.closings for result in results] == [1, 1]
    assert [(r.getMessage(), r.exc_info[0]) for r in log.records] == [("GET / raised", RuntimeError)] * 2
    assert 'exchange.py", line' not in log.text, "the traceback is the app's own"


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


def test_head_waits_for_the_first_block_that_is_not_empty():
    result = Blocks([b"", fail])

    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        return result

    with Lone(app) as client:
        assert client.ask(get()).raw == whole(*INTERNAL_ERROR, body=FAILED)


def test_start_response_may_come_with_the_first_block():
    # Bare: the validator asks for the call before the iteration; PEP 3333 asks for it before the first block.
    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        yield b"hello"

    with Lone(app, bare=True) as client:
        assert client.ask(get()).body == b"hello"


def with_exc_info(environ, start_response):
    """Announce success, fail, and pass exc_info; before or behind the first block."""
    write = start_response("200 OK", [TEXT])
    try:
        if environ["PATH_INFO"] == "/late":
            write(b"begun")
        fail()
    except RuntimeError:
        start_response("503 Service Unavailable", [TEXT], sys.exc_info())
    return [b"sorry"]


def test_exc_info_replaces_a_head_that_has_not_left(log):
    with Lone(with_exc_info) as client:
        assert client.ask(get()).raw == whole(
            "HTTP/1.1 503 Service Unavailable",
            "Content-Type: text/plain",
            "Content-Length: 5",
            DATE_AND_SERVER,
            body=b"sorry",
        )
    assert not log.records


def test_exc_info_is_raised_again_behind_a_head(log):
    with Lone(with_exc_info) as client:
        client.send(get("/late") + get())
        assert masked(client.rest()) == whole(*CHUNKED, body=b"5\r\nbegun\r\n")
    assert [(r.getMessage(), r.exc_info[0]) for r in log.records] == [("GET /late raised", RuntimeError)]


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
def test_app_that_breaks_the_rules_is_a_clean_500(log, app, said):
    # Bare: the validator would be first to complain.
    with Lone(app, bare=True) as client:
        assert client.ask(get()).raw == whole(*INTERNAL_ERROR, body=FAILED)
        assert client.ask(get(method="HEAD")).raw == whole(*INTERNAL_ERROR)
        assert client.ask(get(minor=0)).raw == whole(*INTERNAL_ERROR, CLOSE, body=FAILED)
        assert client.rest() == b""
    assert [r.levelname for r in log.records] == ["ERROR"] * 3
    assert said in log.text


@pytest.mark.parametrize("later", [fail, "text"], ids=["raises", "yields text"])
def test_error_behind_the_head_cuts_the_response(log, later):
    # Bare for the text's sake.
    with Lone(answer(b"hello", later, kind=Blocks), bare=True) as client:
        client.send(get() + get())
        assert masked(client.rest()) == whole(*CHUNKED, body=b"5\r\nhello\r\n")
    assert [r.levelname for r in log.records] == ["ERROR"]


def test_error_behind_the_head_of_a_sized_response_cuts_it():
    app = answer(b"hel", fail, headers=with_length(5), kind=generator)
    with Lone(app) as client:
        client.send(get() + get())
        assert masked(client.rest()) == whole(*LENGTH_5, body=b"hel")


def test_error_behind_the_head_resets_where_the_end_would_look_regular(serving):
    with serving(checked(answer(b"hello", fail, kind=generator))) as server, Client(server) as client:
        client.send(get(minor=0))
        with pytest.raises(ConnectionResetError):
            client.rest()


def test_result_may_be_iterable_the_old_way():
    # Bare: PEP 3333's own example of a file wrapper has __getitem__ alone, the validator calls next().
    class Countdown:
        def __getitem__(self, index):
            return [b"3", b"2", b"1"][index]

    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        return Countdown()

    with Lone(app, bare=True) as client:
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


# -- without a call of the app


def exchange_of(client, request_bytes):
    """Return the exchange of a request that has arrived, not run yet."""
    exchange = client.connections.next_exchange(client.connection, request_bytes)
    assert isinstance(exchange, Exchange)
    return exchange


def test_an_exchange_that_is_shed_is_503_and_forgets_its_body():
    with Lone(HELLO) as client:
        exchange_of(client, get(method="POST", body=b"hello")).shed("too many requests wait")
        response = client.response()
        assert (response.status, response.body) == (
            503,
            b"503 Service Unavailable: too many requests wait\n",
        )
        assert client.connection.receiver.body == b""
        assert client.ask(get()).body == b"hello"


def test_an_exchange_that_is_written_off_reaches_no_client(log):
    with Lone(answer(b"hello", fail, kind=generator)) as client:
        exchange = exchange_of(client, get())
        exchange.write_off()
        client.connection.sock.shutdown(socket.SHUT_WR)
        exchange.run()
        assert client.rest() == b""
    assert not log.records


def test_an_exchange_that_is_written_off_keeps_the_status_that_it_was_answered_with():
    with Lone(HELLO) as client:
        exchange = exchange_of(client, get())
        exchange.detach()
        exchange.write_off()
        exchange.answer_overdue(client.connection)
        exchange.run()
        assert client.response().status == exchange.status == 504


def test_a_client_that_left_before_the_answer_is_logged_as_499():
    def app(environ, start_response):
        environ["wsgi.input"].read(-1)
        raise AssertionError("the body is incomplete")

    with Lone(app, bare=True) as client:
        exchange = exchange_of(client, get("/", "Content-Length: 5", "Expect: 100-continue", method="PUT"))
        client.sock.close()
        exchange.run()
        assert exchange.status == CLIENT_CLOSED_REQUEST
        assert exchange.client_has_left()
