"""The common part of all exchanges: the Date line, and the starts of responses that are kept."""

from __future__ import annotations

from email.utils import formatdate, parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.apps import TEXT, answer
from tests.server.client import get, masked, whole
from tests.server.http.lone import Lone
from tests.server.http.test_response import CLOSE, GET, GET_1_0_KEPT, HEAD, KEEP_ALIVE, LENGTH_5, with_length
from wsgiserve.config import make_config
from wsgiserve.server.http.gateway import Gateway, http_date


class Clock:
    """A clock of the day that a test sets, in place of the system's; the other clock stands still."""

    def __init__(self, monkeypatch, now):
        self.now = now
        monkeypatch.setattr("wsgiserve.server.http.gateway.wall_clock", lambda: self.now)
        monkeypatch.setattr("wsgiserve.server.http.gateway.monotonic", lambda: 1.0)


def test_date_is_that_of_the_answer(monkeypatch):
    """Starts of responses are kept, but not for longer than their date is true."""
    clock = Clock(monkeypatch, 1_000_000_000.9)
    with Lone(answer(b"hello", headers=with_length(5))) as client:
        for _ in range(3):
            for _ in range(2):  # The second time from the cache.
                date = client.ask(get()).headers["date"]
                assert parsedate_to_datetime(date).timestamp() == int(clock.now)
            clock.now += 0.5
            client.gateway.tick()


@given(st.integers(0, 253_402_300_799))  # to the end of the year 9999
def test_date_is_written_as_the_standard_library_does(second):
    assert http_date(second) == formatdate(second, usegmt=True)


def test_a_clock_that_is_set_back_changes_no_duration(monkeypatch):
    clock = Clock(monkeypatch, 1_000_000_000.9)
    with Lone(answer(b"hello")) as client:
        before = client.gateway.now
        clock.now -= 3600
        assert client.gateway.tick() == before


@pytest.mark.parametrize(
    ("options", "alone", "overlapping"),
    [
        ({}, True, (True, False)),
        ({"threads": 1}, True, (False, False)),
        ({"threads": 1, "request_timeout": 5}, True, (True, False)),
        ({"threads": 1}, False, (False, True)),
    ],
    ids=["threads", "one thread", "a call that is given up goes on", "other processes"],
)
def test_environ_says_which_calls_may_overlap(options, alone, overlapping):
    environ = Gateway(answer(), make_config(access_log=False, **options), alone=alone).environ
    assert (environ["wsgi.multithread"], environ["wsgi.multiprocess"]) == overlapping


def test_equal_heads_are_answered_each_in_its_way():
    """The same head of an app for every kind of request that makes another response of it."""
    app = answer(b"hello", headers=with_length(5))
    requests = [GET, HEAD, GET_1_0_KEPT, GET, HEAD, get("/", "Connection: close")]
    with Lone(app) as client:
        client.send(b"".join(requests))
        text = masked(client.rest())
    start = [whole(*LENGTH_5), whole(*LENGTH_5), whole(*LENGTH_5, KEEP_ALIVE)]
    bodies = [start[0] + b"hello", start[1], start[2] + b"hello", start[0] + b"hello", start[1]]
    assert text == b"".join([*bodies, whole(*LENGTH_5, CLOSE) + b"hello"])


def test_date_of_the_app_is_not_doubled():
    date = "Thu, 01 Jan 1970 00:00:00 GMT"
    with Lone(answer(b"x", headers=[TEXT, ("Date", date)])) as client:
        assert client.ask(get()).headers["date"] == date


def test_equal_heads_of_an_app_are_checked_once():
    with Lone(answer()) as client:
        gateway = client.gateway
    first = gateway.response_head("200 OK", [TEXT])
    assert gateway.response_head("200 OK", [TEXT]) is first
    assert gateway.response_head("201 Created", [TEXT]) is not first
    assert gateway.response_head("200 OK", [TEXT]) is first


def test_the_kept_heads_are_bounded():
    with Lone(answer()) as client:
        for number in range(1000):
            client.gateway.response_head("200 OK", [("X-Number", str(number))])
        assert 0 < len(client.gateway._heads) <= 256


def test_no_connection_persists_once_the_server_parts():
    with Lone(answer(b"hello")) as client:
        assert "connection" not in client.ask(get()).headers
        client.gateway.part()
        assert client.ask(get()).headers["connection"] == "close"
        assert client.rest() == b""


def test_the_app_of_a_server_with_a_request_timeout_is_told_the_deadline(monkeypatch):
    seen = []

    def app(environ, start_response):
        seen.append(environ["wsgiserve.deadline"])
        return answer()(environ, start_response)

    monkeypatch.setattr("wsgiserve.server.http.environ.monotonic", lambda: 100.0)
    with Lone(app, request_timeout=5) as client:
        client.ask(get())
    assert seen == [105.0]
