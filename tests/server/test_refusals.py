"""Log lines that cannot become a flood, with a clock of the test's own."""

from __future__ import annotations

import logging

import pytest

from tests.server.apps import answer
from tests.server.client import Client
from tests.server.clock import Clock
from wsgiserve.protocol import RemoteProtocolError
from wsgiserve.server.refusals import LINES_A_SECOND, SHORTAGE_SECONDS, RefusalLog, ShortageLog, report

REFUSAL = RemoteProtocolError(400, "the Host field is not host[:port]")


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("wsgiserve.server.refusals.monotonic", clock)
    return clock


def test_refusal_is_one_line_with_its_status_and_cause(clock, log):
    RefusalLog().add("10.0.0.1", REFUSAL)
    [record] = log.records
    assert record.levelname == "INFO"
    assert record.getMessage() == "10.0.0.1: 400, the Host field is not host[:port]"
    assert record.exc_info is None


def test_flood_of_refusals_is_counted_and_not_listed(clock, log):
    refusals = RefusalLog()
    for _ in range(3):
        for _ in range(LINES_A_SECOND + 5):
            refusals.add("10.0.0.1", REFUSAL)
        clock.now += 1
    lines = ["10.0.0.1: 400, the Host field is not host[:port]"] * LINES_A_SECOND
    counted = "5 more requests were refused"
    assert log.messages == [*lines, counted, *lines, counted, *lines]


def test_refusals_below_the_rate_are_all_listed(clock, log):
    refusals = RefusalLog()
    for _ in range(3 * LINES_A_SECOND):
        refusals.add("10.0.0.1", REFUSAL)
        clock.now += 0.2
    assert len(log.messages) == 3 * LINES_A_SECOND


@pytest.mark.slow
def test_flood_of_bad_requests_is_counted_and_not_listed(serving, log):
    refused = 0
    with serving(answer(b"hello")) as server:
        while "more requests were refused" not in log.text:
            with Client(server) as client:
                client.send(b"nonsense\r\n\r\n")
                assert client.response().status == 400
            refused += 1
    listed = sum("400, the request line is not" in line for line in log.messages)
    counted = sum(int(line.split()[0]) for line in log.messages if "more requests" in line)
    assert listed + counted == refused
    assert LINES_A_SECOND <= listed < refused


def test_shortage_is_logged_seldom_and_counted(clock, log):
    shortage = ShortageLog("%d of %d are in use; times so far: %d")
    for _ in range(21):
        shortage.add(5, 7)
        clock.now += SHORTAGE_SECONDS / 10
    assert [(record.levelname, record.getMessage()) for record in log.records] == [
        ("WARNING", "5 of 7 are in use; times so far: 1"),
        ("WARNING", "5 of 7 are in use; times so far: 11"),
        ("WARNING", "5 of 7 are in use; times so far: 21"),
    ]


def test_each_shortage_has_its_own_count(clock, log):
    for text in ("one: %d", "other: %d"):
        ShortageLog(text).add()
    assert log.messages == ["one: 1", "other: 1"]


def test_failure_is_reported_with_its_traceback(log):
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        report("dividing failed")
    [record] = log.records
    assert (record.levelname, record.getMessage()) == ("CRITICAL", "dividing failed")
    assert record.exc_info[0] is ZeroDivisionError


def test_log_handler_that_fails_too_is_survived():
    class Failing(logging.Handler):
        calls = 0

        def emit(self, record):
            self.calls += 1
            raise RuntimeError("the handler has a bug")

    logger, handler = logging.getLogger("wsgiserve"), Failing()
    logger.addHandler(handler)
    try:
        report("something failed")
    finally:
        logger.removeHandler(handler)
    assert handler.calls == 1
