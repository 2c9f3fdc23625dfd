"""The leadership by itself: its invariants, in races that a client could not win from outside."""

from __future__ import annotations

import threading
import time

import pytest

from tests.server.client import SECONDS, wait_until
from tests.server.threads.fakes import (
    ContestedLock,
    FakeExchange,
    FakeLoop,
    Refused,
    Unstarted,
    answered,
    running,
    stay,
    threads,
)
from wsgiserve.server.threads.leadership import Leadership

# -- promotions


def test_promotion_that_comes_after_the_call_is_harmless():
    loop = FakeLoop(kind=Unstarted)
    leadership = loop.leadership
    leadership.lock.acquire()
    exchange = FakeExchange(leadership.promote)
    assert leadership.call(exchange) == "leading"
    assert leadership.unstarted == [None]
    loop.over = True  # Should it lead, it ends; the next line ends a follower.
    leadership.stopped = True
    leadership._follow(None)
    assert not loop.most
    assert not exchange.detached
    assert not leadership.promoting


def test_promotion_is_not_repeated_while_one_is_under_way():
    loop = FakeLoop(kind=Unstarted)
    loop.leadership.promote()
    loop.leadership.promote()
    assert loop.leadership.unstarted == [None]


def test_no_follower_is_promoted_while_a_thread_leads():
    loop = FakeLoop(kind=Unstarted)
    loop.leadership.lock.acquire()
    loop.leadership.promote()
    assert loop.leadership.unstarted == []


def test_followers_that_are_promoted_too_often_follow():
    loop = FakeLoop()
    with running(loop) as leadership:
        for _ in range(20):
            leadership._post(None)
        for _ in range(20):
            answered(loop)
        wait_until(lambda: leadership.idle)
    assert loop.most == 1  # One of them may have come in time to depose a call: rule 3.


@pytest.mark.parametrize("deposed", [False, True], ids=["lock-only", "lock-and-deposed"])
def test_call_that_returns_while_it_is_deposed(deposed):
    loop = FakeLoop()
    leadership = loop.leadership

    def take_over():
        leadership.lock.acquire()
        if deposed:
            with leadership.mutex:
                leadership._depose(exchange)

    exchange = FakeExchange(take_over)
    leadership.lock.acquire()
    assert leadership.call(exchange) == "deposed"
    assert leadership.inline is None
    assert loop.unwatched == [exchange]
    assert loop.settled == [exchange]
    assert leadership.detached == 0
    assert leadership.forecast.expects_slow(exchange.request)


@pytest.mark.parametrize("pipelined", [False, True], ids=["alone", "pipelined"])
def test_call_that_is_deposed_as_it_takes_the_lock_back(app, pipelined):
    """The new leader is in the app already, so the lock is free, and the old one leads anew."""
    loop = FakeLoop()
    leadership = loop.leadership
    first, second = FakeExchange(), FakeExchange(app)
    third = FakeExchange(path="/another")  # On a busy machine the others' kind may be expected to be slow.
    finished = [first]
    if pipelined:
        first.following = FakeExchange()
        finished.append(first.following)

    def take_over():
        threading.Thread(target=leadership._follow, args=(None,)).start()
        assert second.inside.wait(SECONDS)

    leadership.lock.acquire()
    leadership._leader = threading.get_ident()
    leadership.lock = ContestedLock(leadership.lock, take_over)
    loop.arrived.put(second)
    assert leadership.call(first) == "anew"
    assert leadership.inline is second
    wait_until(lambda: loop.settled == finished)
    wait_until(lambda: leadership.detached == 0)
    assert not leadership.calls._running
    loop.arrived.put(third)
    loop.over = True
    leadership.lead()
    assert loop.settled == [*finished, third]
    assert leadership.detached == 1
    app.gate.set()
    wait_until(lambda: leadership.detached == 0)
    assert loop.settled == [*finished, third, second]
    assert loop.unwatched == [first, second]
    assert loop.most == 1


def test_slow_call_does_not_stop_the_loop(app):
    loop = FakeLoop()
    with running(loop, app):
        exchange = stay(loop, app)
        answered(loop)
        assert exchange not in loop.settled
        assert loop.unwatched == [exchange]


def test_fast_calls_run_on_the_thread_that_leads():
    loop = FakeLoop(kind=Unstarted)
    loop.leadership.lock.acquire()
    threads = []
    for _ in range(100):
        loop.arrived.put(FakeExchange(lambda: threads.append(threading.get_ident())))
    loop.over = True
    loop.leadership.lead()
    assert threads == [threading.get_ident()] * 100
    assert loop.leadership.unstarted == []
    assert not loop.unwatched


def test_lock_is_let_go_into_calls_only():
    class Watching(FakeLoop):
        def turn(self):
            moments.append(("turn", leadership.lock.locked()))
            return super().turn()

        def unwatch(self, exchange):
            moments.append(("unwatch", leadership.lock.locked()))
            super().unwatch(exchange)

    class Posting(Unstarted):
        def _start_thread(self, task):
            moments.append(("post", self.lock.locked()))
            super()._start_thread(task)

    moments = []
    loop = Watching(kind=Posting)
    leadership = loop.leadership
    for reader in [None, "body", None]:
        loop.arrived.put(
            FakeExchange(lambda: moments.append(("call", leadership.lock.locked())), reader=reader)
        )
    leadership.lock.acquire()
    loop.over = True
    leadership.lead()
    inline, dispatched = (
        [("turn", True), ("call", False)],
        [("turn", True), ("unwatch", True), ("post", True)],
    )
    assert moments == [*inline, *dispatched, *inline, ("turn", True)]
    assert leadership.lock.locked()  # Nobody leads after the end.


def test_exchange_that_waits_for_its_client_is_detached_at_once(app):
    """No sentinel is there to notice."""
    loop = FakeLoop()
    leadership = loop.leadership

    def wait():
        leadership.detach(exchange)
        leadership.detach(exchange)
        app()

    exchange = FakeExchange(wait)
    leadership.start()
    leadership.begin()
    loop.arrived.put(exchange)
    answered(loop)
    assert loop.unwatched == [exchange]
    app.gate.set()
    wait_until(lambda: leadership.detached == 0)
    loop.over = True
    wait_until(lambda: leadership.stopped)


@pytest.mark.parametrize("kind", ["body-arriving", "slow-before"])
def test_exchange_that_would_wait_is_dispatched(app, kind):
    """No sentinel is there to notice, and the exchange does not say that it waits."""
    loop = FakeLoop()
    leadership = loop.leadership
    exchange = FakeExchange(app, reader="body" if kind == "body-arriving" else None)
    if kind == "slow-before":
        leadership.forecast.learn(exchange.request, slow=True)
    leadership.start()
    leadership.begin()
    loop.arrived.put(exchange)
    answered(loop, path="/other")
    assert exchange.inside.wait(SECONDS)
    assert loop.unwatched == [exchange]
    app.gate.set()
    wait_until(lambda: leadership.detached == 0)
    loop.over = True
    wait_until(lambda: leadership.stopped)


# -- slots


@pytest.mark.parametrize("cap", [1, 2, 4])
def test_no_more_calls_at_once_than_cap(app, cap):
    loop = FakeLoop(cap)
    with running(loop, app) as leadership:
        exchanges = [FakeExchange(app, f"/{number % 3}") for number in range(20)]
        for exchange in exchanges:
            loop.arrived.put(exchange)
        wait_until(lambda: len(leadership.queue) == 20 - cap and app.inside == cap)
        app.gate.set()
        wait_until(lambda: len(loop.settled) == 20)
        assert app.most == cap


def test_exchanges_wait_in_order(app):
    loop = FakeLoop(cap=1)
    order = []
    with running(loop, app) as leadership:
        stay(loop, app)
        for number in range(10):
            loop.arrived.put(FakeExchange(lambda number=number: order.append(number)))
        wait_until(lambda: len(leadership.queue) == 10)
        assert order == []
        app.gate.set()
        wait_until(lambda: len(order) == 10)
    assert order == list(range(10))


def test_exchange_whose_client_left_while_it_waited_is_not_called(app):
    loop = FakeLoop(cap=1)
    with running(loop, app) as leadership:
        stay(loop, app)
        gone, there = FakeExchange(), FakeExchange()
        gone.gone = True
        loop.arrived.put(gone)
        loop.arrived.put(there)
        wait_until(lambda: len(leadership.queue) == 2)
        app.gate.set()
        wait_until(lambda: there in loop.settled)
    assert not gone.inside.is_set()
    assert gone.ends == []
    assert gone in loop.settled


@pytest.mark.parametrize("count", [100, pytest.param(500, marks=pytest.mark.slow)])
def test_exchange_in_the_queue_is_run_or_shed_and_never_both(count):
    class Shedding(FakeLoop):
        def turn(self):
            self.settled += self.leadership.shed_overdue()
            return super().turn()

    loop = Shedding(cap=2, queue_timeout=0.001)
    exchanges = [FakeExchange(lambda: time.sleep(0.0005), reader="body") for _ in range(count)]
    with running(loop):
        for exchange in exchanges:
            loop.arrived.put(exchange)
        wait_until(lambda: len(loop.settled) == len(exchanges))
    ends = [exchange.ends for exchange in exchanges]
    assert all(len(end) == 1 for end in ends)
    assert ["run"] in ends
    assert ["shed"] in ends


def test_exchange_that_finds_the_queue_full_is_shed_at_once():
    loop = FakeLoop(cap=1, kind=Unstarted, max_queue=1)
    leadership = loop.leadership
    exchanges = [FakeExchange(reader="body") for _ in range(3)]
    assert [leadership.serve(exchange) for exchange in exchanges] == ["dispatched", "dispatched", "leading"]
    assert leadership.unstarted == exchanges[:1]
    assert list(leadership.queue.exchanges) == exchanges[1:2]
    assert [exchange.ends for exchange in exchanges] == [[], [], ["shed"]]
    assert loop.unwatched == exchanges[:2]


def test_exchanges_in_the_queue_may_wait_for_longer_after_a_pause():
    loop = FakeLoop(cap=1, kind=Unstarted, queue_timeout=5)
    leadership = loop.leadership
    first, second = FakeExchange(reader="body"), FakeExchange(reader="body")
    leadership.serve(first)
    leadership.serve(second)
    until = second.waits_until
    leadership.put_off(60)
    assert second.waits_until == until + 60
    assert leadership.shed_overdue() == []
    assert leadership.shed_all() == [second]


def test_answer_in_place_of_the_app_that_fails_costs_one_connection(app, caplog):
    """A bug of ours, or of a log handler; those that are shed with it are answered."""

    class Failing(FakeExchange):
        def shed(self, detail):
            raise ZeroDivisionError

    loop = FakeLoop(cap=1, queue_timeout=0)
    with running(loop, app) as leadership:
        stay(loop, app)
        waiting = [Failing(), FakeExchange()]
        for exchange in waiting:
            loop.arrived.put(exchange)
        wait_until(lambda: len(leadership.queue) == 2)
        assert leadership.shed_overdue() == waiting
        assert [exchange.ends for exchange in waiting] == [["cut"], ["shed"]]
    assert "running a request failed" in caplog.text


def test_slot_is_given_back_when_settling_fails(app, caplog):
    class Failing(FakeLoop):
        def settle(self, exchange):
            super().settle(exchange)
            raise ZeroDivisionError

    loop = Failing(cap=1)
    with running(loop, app) as leadership:
        stay(loop, app)
        app.gate.set()
        wait_until(lambda: leadership.detached == 0)
        answered(loop)
    assert "giving a connection back failed" in caplog.text


@pytest.mark.parametrize("reader", [None, "body"], ids=["inline", "dispatched"])
def test_exchange_that_fails_costs_one_connection(caplog, reader):
    """A bug of ours, or of a log handler; exceptions of the app end in the exchange."""
    loop = FakeLoop(cap=1)
    with running(loop):
        for _ in range(3):
            exchange = FakeExchange(lambda: 1 / 0, reader=reader)
            loop.arrived.put(exchange)
            wait_until(lambda exchange=exchange: exchange in loop.settled)
            assert exchange.ends == ["run", "cut"]
        answered(loop)
    assert caplog.text.count("ZeroDivisionError") == 3


# -- threads


def test_refused_promotion_is_tried_again(app):
    loop = FakeLoop(kind=Refused)
    with running(loop, app) as leadership:
        leadership.refusing = True
        slow, fast = FakeExchange(app), FakeExchange()
        loop.arrived.put(slow)
        loop.arrived.put(fast)
        wait_until(lambda: leadership.refusals)
        leadership.refusing = False
        wait_until(lambda: fast in loop.settled)


def test_thread_that_was_refused_its_successor_leads_on(app):
    """No sentinel is there to try again."""
    loop = FakeLoop(kind=Refused)
    leadership = loop.leadership

    def wait():
        leadership.detach(slow)
        app()

    slow, fast = FakeExchange(wait), FakeExchange()
    leadership.start()
    leadership.begin()
    leadership.refusing = True
    loop.arrived.put(slow)
    loop.arrived.put(fast)
    wait_until(lambda: leadership.refusals)
    assert leadership.vacant
    app.gate.set()
    wait_until(lambda: loop.settled == [slow, fast])
    assert not leadership.vacant
    loop.over = True
    wait_until(lambda: leadership.stopped)


def test_cap_shrinks_to_the_threads_there_are_and_recovers(app, caplog):
    loop = FakeLoop(cap=4, kind=Refused)
    with running(loop, app) as leadership:
        stay(loop, app)
        stay(loop, app)
        leadership.refusing = True
        refused = FakeExchange(reader="body")
        loop.arrived.put(refused)
        wait_until(lambda: leadership.refusals)
        wait_until(lambda: list(leadership.queue.exchanges) == [refused])
        assert leadership.cap == 2
        app.gate.set()
        wait_until(lambda: refused in loop.settled)
        wait_until(lambda: leadership.cap == 4)
    assert "at most 2 calls run at once" in caplog.text


def test_exchange_that_no_thread_can_be_had_for_runs_inline():
    loop = FakeLoop(kind=Refused)
    with running(loop) as leadership:
        leadership.refusing = True
        answered(loop, reader="body")
        assert leadership.cap == 1
        assert not leadership.queue


def test_follower_without_work_retires(app):
    class Impatient(Leadership):
        idle_seconds = 0.01

    loop = FakeLoop(kind=Impatient)
    with running(loop, app) as leadership:
        for _ in range(3):
            stay(loop, app)
        app.gate.set()
        wait_until(lambda: len(loop.settled) == 3)
        wait_until(lambda: len(threads()) == 1)
        assert leadership.idle == 0
        answered(loop)


def test_all_threads_end_with_the_loop(app):
    loop = FakeLoop()
    with running(loop, app) as leadership:
        for number in range(3):
            stay(loop, app, f"/{number}")
        app.gate.set()
        wait_until(lambda: leadership.idle == 3)
    wait_until(lambda: not threads())
    assert leadership.idle == 0


def test_turn_that_raises_does_not_end_the_loop(caplog):
    class Failing(FakeLoop):
        failures = 3

        def turn(self):
            if self.failures:
                self.failures -= 1
                raise ZeroDivisionError
            return super().turn()

    loop = Failing()
    with running(loop):
        answered(loop)
    assert caplog.text.count("the event loop failed and goes on") == 3
