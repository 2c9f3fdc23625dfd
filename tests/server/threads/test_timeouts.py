"""Calls that take too long: each is finished or written off, and its slot is passed on."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from functools import partial

import pytest

from tests.server.client import SECONDS, wait_until
from tests.server.threads.fakes import App, ContestedLock, FakeExchange, FakeLoop, answered, running, stay
from wsgiserve.server.errors import RequestTimeout
from wsgiserve.server.threads.calls import Calls
from wsgiserve.server.threads.timeouts import Timeouts


def look(timeouts, *exchanges):
    """Let calls of these exchanges begin on threads that do not exist, and look at them."""
    leadership = timeouts._leadership
    for number, exchange in enumerate(exchanges, start=1):
        leadership.detached += 1
        leadership.calls.enter(exchange, number)
    wait_until(lambda: time.monotonic() >= leadership.calls.due)
    timeouts.look()


def without_time(line):
    return re.sub(r"\d+\.\d s", "… s", line, count=1)


def test_slow_call_is_logged_once(log):
    loop = FakeLoop(4, calls=Calls(slow_log=0.001))
    timeouts = Timeouts(loop.leadership)
    look(timeouts, FakeExchange(path="/slow"))
    timeouts.look()
    assert not loop.taken
    [line] = [record.getMessage() for record in log.records]
    assert (
        without_time(line) == "GET /slow has run for … s; it is at the server, which sends or receives for it"
    )


def test_overdue_call_is_answered_and_logged(log):
    loop = FakeLoop(4, calls=Calls(timeout=0.001))
    exchange = FakeExchange(path="/late")
    look(Timeouts(loop.leadership), exchange)
    assert loop.taken == loop.given == [exchange]
    assert loop.leadership.detached == 0
    assert loop.leadership.forecast.expects_slow(exchange.request)
    [record] = log.records
    assert record.levelno == logging.ERROR
    assert without_time(record.getMessage()) == (
        "GET /late ran for … s, longer than --request-timeout; "
        "its thread is given up at the server, which sends or receives for it"
    )


def test_more_lost_threads_than_the_cap_are_reported_once():
    told = []
    loop = FakeLoop(2, calls=Calls(timeout=0.001))
    timeouts = Timeouts(loop.leadership, told.append)
    look(timeouts, FakeExchange(), FakeExchange())
    assert told == []
    look(timeouts, *[FakeExchange() for _ in range(3)])
    look(timeouts, *[FakeExchange() for _ in range(4)])
    assert told == [3]


def test_without_anybody_to_tell_lost_threads_are_logged(log):
    look(Timeouts(FakeLoop(1, calls=Calls(timeout=0.001)).leadership), FakeExchange(), FakeExchange())
    [line] = [record.getMessage() for record in log.records if record.levelno == logging.CRITICAL]
    assert line.startswith("2 threads were given up and still run")


def test_slot_of_a_call_that_is_written_off_is_passed_on():
    hanging = App()
    loop = FakeLoop(1, calls=Calls(timeout=0.05))
    with running(loop) as leadership:
        first = stay(loop, hanging)
        second = FakeExchange()
        loop.arrived.put(second)
        wait_until(lambda: second in loop.settled)
        assert loop.taken == loop.given == [first]
        hanging.gate.set()
        wait_until(lambda: not leadership.calls.written_off)
        assert first not in loop.settled
        answered(loop)


@pytest.mark.parametrize("count", [50, pytest.param(300, marks=pytest.mark.slow)])
def test_call_is_finished_or_written_off_and_never_both(count):
    loop = FakeLoop(4, calls=Calls(timeout=0.02))
    chance = random.Random(1)
    exchanges = []
    with running(loop) as leadership:
        for number in range(count):
            seconds = chance.choice([0, 0.001, 0.015, 0.02, 0.021, 0.03])
            does = partial(time.sleep, seconds)
            exchange = FakeExchange(does, f"/{number % 5}", reader="body")
            exchanges.append(exchange)
            loop.arrived.put(exchange)
        wait_until(lambda: len(loop.settled) + len(loop.given) == count)
        wait_until(lambda: not leadership.calls.written_off)
    assert sorted(map(id, loop.settled + loop.given)) == sorted(map(id, exchanges))
    assert loop.given
    assert loop.settled


def test_call_that_is_written_off_as_it_takes_the_lock_back_leaves_it_to_others():
    """As in ``test_leadership``, but the sentinel writes the call off before its thread has the lock."""
    hanging = App()
    loop = FakeLoop(4, calls=Calls(timeout=0.02))
    leadership = loop.leadership
    first, second = FakeExchange(), FakeExchange(hanging)

    def take_over():
        threading.Thread(target=leadership._follow, args=(None,)).start()
        assert second.inside.wait(SECONDS)
        wait_until(lambda: time.monotonic() >= leadership.calls.due)
        Timeouts(leadership).look()

    leadership.calls._interrupt = None
    leadership.lock.acquire()
    leadership._leader = threading.get_ident()
    leadership.lock = ContestedLock(leadership.lock, take_over)
    loop.arrived.put(second)
    with pytest.raises(RequestTimeout):
        leadership.call(first)
    wait_until(leadership.lock.locked)  # Somebody else leads.
    loop.over = True
    hanging.gate.set()
    wait_until(lambda: leadership.stopped)
    assert loop.given[0] is first
    assert first not in loop.settled


def test_answer_that_fails_costs_no_slot(caplog):
    class Failing(FakeLoop):
        def take_over(self, exchange):
            super().take_over(exchange)
            return lambda: 1 / 0

    hanging = App()
    loop = Failing(1, calls=Calls(timeout=0.05))
    with running(loop, hanging):
        stay(loop, hanging)
        answered(loop)
    assert "answering for a request that was given up failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text
