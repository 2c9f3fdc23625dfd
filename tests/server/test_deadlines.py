"""Calls that take too long, on a live server: the slow log, 504 or a cut, and the end of the thread."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from contextlib import ExitStack

import pytest

from tests.program import LOG_LINE, serving_program
from tests.server.apps import TEXT, Blocks, answer, checked, connections, generator
from tests.server.client import DATE_AND_SERVER, SECONDS, Client, get, wait_until, whole
from tests.server.threads.fakes import threads
from wsgiserve.server.errors import ClientDisconnected, RequestTimeout

TIMEOUT = 0.1  # for tests in which no call is to be in time
LATE = b"504 Gateway Timeout: the application took too long\n"


class Hanging:
    """``/hang…`` waits where no exception reaches it, to the end of the test; the rest answers with its path.

    ``inside`` counts the calls that hang, ``ends`` notes how they ended.
    """

    def __init__(self):
        self.let_go = threading.Event()
        self.inside = 0
        self.ends = []

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        if path.startswith("/hang"):
            self.inside += 1
            try:
                assert self.let_go.wait(SECONDS)
            except BaseException as error:
                self.ends.append(type(error))
                raise
            self.ends.append(path)
        start_response("200 OK", [TEXT])
        return [path.encode()]


@pytest.fixture
def app():
    app = Hanging()
    yield app
    app.let_go.set()
    wait_until(lambda: not threads())


def messages(log, *, level=logging.WARNING):
    return [record.getMessage() for record in log.records if record.levelno >= level]


# -- the slow log


def test_slow_request_is_logged_once_with_its_place(serving, app, log):
    with serving(checked(app), slow_log=0.1) as server, Client(server) as client, Client(server) as other:
        client.send(get("/hang?secret"))
        wait_until(lambda: messages(log))
        began = time.monotonic()
        while time.monotonic() < began + 0.1:
            assert other.ask(get("/fast")).body == b"/fast"
        app.let_go.set()
        assert client.response().body == b"/hang"
    [line] = messages(log)
    place = rf" < {re.escape(__file__)}:\d+ __call__ < "
    match = re.match(r"GET /hang has run for (\d\.\d) s; it is at \S+threading\.py:\d+ wait < ", line)
    assert 0.1 <= float(match[1]) < SECONDS
    assert re.search(place, line), line
    assert "wsgiserve/server" not in line
    assert "\n" not in line


def test_slow_log_shows_that_a_request_waits_for_its_client(serving, log):
    """The app is in none of its own lines: it has returned a generator, whose block nobody takes."""
    app = checked(answer(*[b"x" * 1_000_000] * 8, kind=generator))
    with serving(app, slow_log=0.1) as server, Client(server, receive_buffer=4096) as client:
        client.send(get("/big"))
        wait_until(lambda: messages(log))
        assert len(client.response().body) == 8_000_000
    [line] = messages(log)
    assert re.fullmatch(
        r"GET /big has run for \S+ s; it is at .*(validate\.py.*|sends or receives for it)", line
    )


def test_fast_requests_are_not_logged(serving, log):
    with (
        serving(checked(answer(b"app")), slow_log=5, request_timeout=10) as server,
        Client(server) as client,
    ):
        for _ in range(50):
            assert client.ask(get()).body == b"app"
    assert not messages(log)


# -- 504, or a cut


def test_overdue_request_is_504_and_others_are_unaffected(serving, app, log):
    with serving(checked(app), request_timeout=0.3) as server, Client(server) as client:
        started = time.monotonic()
        client.send(get("/hang"))
        with Client(server) as other:
            for _ in range(20):
                assert other.ask(get("/fast")).body == b"/fast"
        response = client.response()
        assert 0.3 <= time.monotonic() - started < SECONDS
        assert response.raw == whole(
            "HTTP/1.1 504 Gateway Timeout",
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(LATE)}",
            DATE_AND_SERVER,
            "Connection: close",
            body=LATE,
        )
        assert client.rest() == b""
        with Client(server) as again:
            assert again.ask(get("/again")).body == b"/again"
        assert app.ends == []
    [line] = messages(log)
    match = re.match(
        r"GET /hang ran for (\d\.\d) s, longer than --request-timeout; its thread is given up at ", line
    )
    assert 0.3 <= float(match[1]) < SECONDS
    assert f"{__file__}:" in line


@pytest.mark.slow
def test_head_is_504_without_a_body(serving, app):
    with serving(checked(app), request_timeout=TIMEOUT) as server, Client(server) as client:
        client.send(get("/hang", method="HEAD"))
        response = client.response("HEAD")
        assert (response.status, response.headers["content-length"]) == (504, str(len(LATE)))
        assert client.rest() == b""


def test_overdue_response_that_has_begun_is_cut(serving, app):
    def begins(environ, start_response):
        start_response("200 OK", [TEXT])
        yield b"first"
        app.let_go.wait(SECONDS)
        yield b"second"

    with serving(begins, request_timeout=TIMEOUT) as server, Client(server) as client:
        client.send(get())
        with pytest.raises(ConnectionResetError):
            client.response()
        app.let_go.set()
        wait_until(lambda: not server.snapshot().lost)


@pytest.mark.slow
def test_overdue_response_to_http_1_0_does_not_look_whole(serving, app):
    def begins(environ, start_response):
        start_response("200 OK", [TEXT])
        yield b"first"
        app.let_go.wait(SECONDS)

    with serving(begins, request_timeout=TIMEOUT) as server, Client(server) as client:
        client.send(get(minor=0))
        with pytest.raises(ConnectionResetError):
            client.rest()


@pytest.mark.slow
def test_overdue_call_that_waits_for_its_client_to_read_is_cut(serving):
    app = answer(*[b"x" * 1_000_000] * 100, kind=generator)
    with serving(app, request_timeout=TIMEOUT) as server, Client(server, receive_buffer=4096) as client:
        client.send(get())
        wait_until(lambda: not server.snapshot().connections)
        wait_until(lambda: not server.snapshot().lost)  # Its thread was woken.
        with pytest.raises((ConnectionResetError, EOFError)):
            client.response()


@pytest.mark.slow
def test_overdue_call_that_waits_for_its_body_is_504(serving):
    def reads(environ, start_response):
        errors.append(None)
        try:
            environ["wsgi.input"].read()
        except BaseException as error:
            errors.append(type(error))
            raise
        raise AssertionError("a part was given for the whole")

    errors = []
    with serving(reads, request_timeout=TIMEOUT) as server, Client(server) as client:
        client.send(get("/", "Content-Length: 2000000", method="POST") + b"abc")
        assert client.response().status == 504
        client.send(b"more")  # It wakes the thread, unless that was told by the close before.
        wait_until(lambda: errors == [None, ClientDisconnected])
        wait_until(lambda: not server.snapshot().lost)


@pytest.mark.slow
def test_result_whose_close_hangs_has_been_answered(serving, app):
    def hangs(environ, start_response):
        start_response("200 OK", [TEXT])
        return Blocks([b"whole"], lambda: app.let_go.wait(SECONDS))

    with serving(hangs, request_timeout=TIMEOUT) as server, Client(server) as client:
        assert client.ask(get()).body == b"whole"
        assert client.rest() == b""
        assert server.snapshot().lost == 1


@pytest.mark.slow
def test_access_log_has_one_line_with_the_504(serving, app, capsys):
    with serving(checked(app), request_timeout=TIMEOUT, access_log="-") as server:
        with Client(server) as client:
            client.send(get("/hang"))
            assert client.response().status == 504
        app.let_go.set()
        wait_until(lambda: not server.snapshot().lost)
    [line] = capsys.readouterr().out.splitlines(keepends=True)
    match = LOG_LINE.fullmatch(line)
    assert (match["request"], match["status"], match["size"]) == ("GET /hang HTTP/1.1", "504", str(len(LATE)))


# -- the thread


def test_exception_is_raised_in_the_thread(serving, log):
    def spins(environ, start_response):
        try:
            while True:
                time.sleep(0.001)
        except Exception:
            ends.append("an Exception")
            raise
        except BaseException as error:
            ends.append(type(error))
            raise

    ends = []
    with serving(spins, request_timeout=TIMEOUT) as server, Client(server) as client:
        assert client.ask(get()).status == 504
        wait_until(lambda: ends)
        wait_until(lambda: not server.snapshot().lost)
        assert ends == [RequestTimeout]
    assert len(messages(log)) == 1  # No traceback: the exception is not the app's.


@pytest.mark.slow
def test_lock_that_a_given_up_call_waits_for_is_let_go_again(serving, app):
    def locks(environ, start_response):
        with lock:
            return app(environ, start_response)

    lock = threading.Condition()
    with serving(locks, request_timeout=TIMEOUT) as server, Client(server) as one, Client(server) as other:
        one.send(get("/hang"))
        wait_until(lambda: app.inside)
        other.send(get("/waits"))
        assert (one.response().status, other.response().status) == (504, 504)
        app.let_go.set()
        wait_until(lambda: not server.snapshot().lost)
        assert lock.acquire(blocking=False)
        lock.release()


@pytest.mark.slow
def test_bytes_of_a_call_that_was_given_up_reach_no_client(serving, app, log):
    """Its descriptor's number is not given to another connection, to which it would send."""
    with serving(checked(app), request_timeout=0.3) as server, ExitStack() as stack:
        hanging = [stack.enter_context(Client(server)) for _ in range(5)]
        for number, client in enumerate(hanging):
            client.send(get(f"/hang/{number}"))
        wait_until(lambda: app.inside == 5)
        numbers = set(connections(server))
        assert [client.response().status for client in hanging] == [504] * 5
        others = [stack.enter_context(Client(server)) for _ in range(20)]
        for client in others:
            assert client.ask(get("/early")).body == b"/early"
        assert not numbers & set(connections(server))
        app.let_go.set()
        wait_until(lambda: not server.snapshot().lost)
        assert len(app.ends) == 5
        for client in others:
            assert client.ask(get("/late")).body == b"/late"
        for client in hanging:
            assert client.rest() == b""


@pytest.mark.slow
def test_given_up_call_learns_that_its_client_is_gone(serving, app):
    def asks(environ, start_response):
        gone.append(environ["wsgiserve.client_gone"]())
        app.let_go.wait(SECONDS)
        try:
            gone.append(environ["wsgiserve.client_gone"]())
        finally:
            return []  # noqa: B012 - the exception may come at any line

    gone = []
    with serving(asks, request_timeout=TIMEOUT) as server, Client(server) as client:
        assert client.ask(get()).status == 504
        call = next(iter(server._loop.leadership.calls.written_off.values()))
        assert call.exchange.connection.closed_by_client()
        assert gone == [False]


@pytest.mark.parametrize(
    ("count", "cap", "timeout"), [(8, 4, 0.2), pytest.param(100, 8, 0.2, marks=pytest.mark.slow)]
)
def test_calls_that_hang_do_not_stop_service(app, serving, log, count, cap, timeout):
    with (
        serving(checked(app), threads=cap, request_timeout=timeout, max_queue=1000) as server,
        Client(server) as other,
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(Client(server)) for _ in range(count)]
        for number, client in enumerate(clients):
            client.send(get(f"/hang/{number}"))
        for client in clients:
            assert client.response().status == 504
        for _ in range(20):
            assert other.ask(get("/fast")).body == b"/fast"
        wait_until(lambda: server.snapshot().lost == count)
        wait_until(lambda: not server.snapshot().busy)
        app.let_go.set()
        wait_until(lambda: not server.snapshot().lost)
        assert other.ask(get("/fast")).body == b"/fast"
    lines = messages(log, level=logging.CRITICAL)
    assert len(lines) == 1
    assert re.match(r"\d+ threads were given up and still run", lines[0])


@pytest.mark.slow
def test_lost_threads_are_reported_once_for_a_replacement(serving, app):
    told = []
    server = serving(checked(app), threads=1, request_timeout=0.05)
    server.on_worn_out(told.append)
    with server, ExitStack() as stack:
        for number in range(4):
            client = stack.enter_context(Client(server))
            client.send(get(f"/hang/{number}"))
            assert client.response().status == 504
        wait_until(lambda: told)
    assert told == [2]


@pytest.mark.slow
def test_given_up_calls_do_not_keep_the_server_from_its_end(serving, app):
    started = time.monotonic()
    with (
        serving(checked(app), request_timeout=TIMEOUT, graceful_timeout=SECONDS) as server,
        Client(server) as client,
    ):
        client.send(get("/hang"))
        assert client.response().status == 504
    assert time.monotonic() - started < SECONDS / 2


def test_deadline_is_in_the_environ(serving):
    def app(environ, start_response):
        deadlines.append((environ["wsgiserve.deadline"], time.monotonic()))
        start_response("200 OK", [TEXT])
        return []

    deadlines = []
    for timeout in (0, 5):
        with serving(checked(app), request_timeout=timeout) as server, Client(server) as client:
            assert client.ask(get()).status == 200
    (none, _), (deadline, now) = deadlines
    assert none is None
    assert now + 4 < deadline <= now + 5


@pytest.mark.parametrize(("count", "turns"), [(5, 4), pytest.param(12, 8, marks=pytest.mark.slow)])
def test_calls_at_random_end_once(serving, log, count, turns):
    """Some are overdue, some nearly, most are not: each client gets its own answer, 504, or a visible cut."""

    def app(environ, start_response):
        seconds = float(environ["QUERY_STRING"])
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.002)
        start_response("200 OK", [TEXT])
        return [environ["PATH_INFO"].encode()]

    statuses = []

    def visit(number):
        chance = random.Random(number)
        for turn in range(turns):
            with Client(server) as client:
                path = f"/{number}/{turn}"
                seconds = chance.choice([0, 0.01, 0.05, 0.05, 0.07, 0.2])
                try:
                    response = client.ask(get(f"{path}?{seconds}"))
                except ConnectionResetError:  # It was given up while its response was on the way.
                    statuses.append("cut")
                    continue
                statuses.append(response.status)
                assert response.body == (path.encode() if response.status == 200 else LATE)

    with serving(app, threads=6, request_timeout=0.05, slow_log=0.03) as server:
        visitors = [threading.Thread(target=visit, args=(number,)) for number in range(count)]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join(SECONDS)
        wait_until(lambda: not server.snapshot().lost)
        wait_until(lambda: not server.snapshot().busy)
    assert len(statuses) == count * turns
    assert {200, 504} <= set(statuses) <= {200, 504, "cut"}
    assert all("were given up" in line for line in messages(log, level=logging.CRITICAL))


# -- the program


HANGS = """
import os, threading

def app(environ, start_response):
    if environ["PATH_INFO"] == "/hang":
        threading.Event().wait()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getpid()]
"""


@pytest.mark.slow
def test_worker_that_has_lost_too_many_threads_is_replaced(tmp_path):
    (tmp_path / "app.py").write_text(HANGS)
    limits = ["--threads", "1", "--request-timeout", "0.2", "--graceful-timeout", "1"]
    with serving_program(tmp_path, "app:app", *limits) as (program, port):

        def pid():
            with Client(port=port) as client:
                return int(client.ask(get("/pid", "Connection: close")).body)

        first = pid()
        for _ in range(2):
            with Client(port=port) as client:
                assert client.ask(get("/hang")).status == 504
        wait_until(lambda: pid() != first)
        code, _, err = program.stop()
    assert code == 0
    seconds = re.findall(r"GET /hang ran for (\d\.\d) s, longer than --request-timeout", err)
    assert [float(text) >= 0.2 for text in seconds] == [True, True]
    assert re.search(rf"worker {first} is replaced: request-timeout", err), err
