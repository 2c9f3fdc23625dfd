"""The queue of exchanges that wait for a thread, by itself."""

from __future__ import annotations

import math
import time

from hypothesis import given
from hypothesis import strategies as st

from tests.server.threads.fakes import FakeExchange
from wsgiserve.server.threads.waiting import Queue


def queue_of(exchanges, **limits):
    queue = Queue(**limits)
    for exchange in exchanges:
        queue.add(exchange)
    return queue


def test_oldest_is_taken_first():
    exchanges = [FakeExchange() for _ in range(3)]
    queue = queue_of(exchanges)
    assert len(queue) == 3
    assert [queue.take() for _ in range(4)] == [*exchanges, None]
    assert len(queue) == 0


def test_full_queue_says_so_but_takes_one_more():
    """An exchange whose thread the system refused had a slot; it waits even in a full queue."""
    queue = Queue(size=1)
    assert not queue.is_full
    queue.add(FakeExchange())
    assert queue.is_full
    queue.add(FakeExchange())
    assert len(queue) == 2
    queue.take()
    assert queue.is_full


def test_queue_of_size_0_is_full_and_one_without_a_size_never_is():
    assert Queue(size=0).is_full
    assert not queue_of([FakeExchange() for _ in range(1000)]).is_full


def test_exchange_knows_until_when_it_waits():
    exchange, patient = FakeExchange(), FakeExchange()
    before = time.monotonic()
    queue_of([exchange], seconds=5)
    queue_of([patient])
    assert before + 5 <= exchange.waits_until <= time.monotonic() + 5
    assert patient.waits_until == math.inf


def test_those_whose_time_is_up_are_taken_out():
    exchanges = [FakeExchange() for _ in range(3)]
    queue = queue_of(exchanges, seconds=5)
    first, second, third = exchanges
    second.waits_until = first.waits_until + 1
    third.waits_until = first.waits_until + 2
    assert queue.take_until(first.waits_until - 1) == []
    assert queue.take_until(second.waits_until) == [first, second]
    assert queue.take_until(math.inf) == [third]
    assert not queue.exchanges


@given(st.lists(st.sampled_from(["add", "take", "take all"]), max_size=20))
def test_each_exchange_is_taken_once_and_in_order(acts):
    queue = Queue(seconds=5)
    added, taken = [], []
    for act in [*acts, "take all"]:
        if act == "add":
            added.append(FakeExchange())
            queue.add(added[-1])
        elif act == "take":
            taken += [exchange for exchange in [queue.take()] if exchange is not None]
        else:
            taken += queue.take_until(math.inf)
        assert len(queue) == len(added) - len(taken)
    assert taken == added


def test_shortages_are_logged_once_in_a_while_with_the_option_to_change(log):
    queue = Queue(size=7, seconds=1.5)
    for _ in range(3):
        queue.tell_full()
        queue.tell_overdue()
    full, overdue = (record.getMessage() for record in log.records)
    assert "(--max-queue 7); answered 503 so far: 1; raise --threads" in full
    assert "for --queue-timeout, 1.5 s; answered 503 so far: 1; raise --threads" in overdue
