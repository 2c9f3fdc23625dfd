"""The sentinel: when it sleeps, what wakes it, and how often it tries to promote a follower."""

from __future__ import annotations

import threading
import time

import pytest

from tests.server.client import SECONDS, wait_until
from tests.server.threads.fakes import FakeExchange, FakeLoop, Refused, answered, running, stay
from wsgiserve.server.threads.alarm import TICK, Alarm
from wsgiserve.server.threads.calls import Calls
from wsgiserve.server.threads.sentinel import CALM_TICKS, Sentinel
from wsgiserve.server.threads.timeouts import Timeouts


class Noting(Alarm):
    """Notes for how long the sentinel sleeps each time."""

    def __init__(self):
        super().__init__()
        self.sleeps = []

    def sleep(self, seconds):
        self.sleeps.append(seconds)
        super().sleep(seconds)


def watched(kind=Noting, **options):
    """Make a loop whose sentinel has an alarm of this kind."""
    loop = FakeLoop(**options)
    loop.leadership.alarm = kind()
    loop.sentinel = Sentinel(loop.leadership, Timeouts(loop.leadership))
    return loop


def test_sentinel_sleeps_when_nothing_is_called_and_wakes_for_a_slow_call(app):
    loop = watched()
    with running(loop, app) as leadership:
        sleeps = leadership.alarm.sleeps
        for _ in range(2):
            wait_until(lambda: sleeps[-1:] == [None])
            assert len(sleeps) <= CALM_TICKS + 2
            stay(loop, app)
            sleeps.clear()
            answered(loop, path="/fast")
            app.gate.set()
            wait_until(lambda: not leadership.detached)
            leadership.forecast.credits.clear()
            app.gate.clear()


def test_sentinel_that_sleeps_ends_with_the_loop():
    loop = watched()
    with running(loop) as leadership:
        wait_until(lambda: leadership.alarm.sleeps[-1:] == [None])
    assert leadership.stopped


@pytest.mark.parametrize("happens", ["leader-left", "loop-over"])
def test_sentinel_misses_nothing_that_happens_as_it_falls_asleep(happens):
    class Surprised(Noting):
        def sleep(self, seconds):
            self.sleeps.append(seconds)
            if happens == "loop-over":
                leadership._send_home()
            leadership.vacant = happens == "leader-left"

    loop = watched(Surprised)
    leadership = loop.leadership
    loop.sentinel._sleep_until_called()
    assert leadership.alarm.sleeps == [TICK]


def test_sentinel_that_gives_up_wakes_for_it():
    loop = watched()
    leadership = loop.leadership
    sentinel = threading.Thread(target=loop.sentinel.watch, daemon=True)
    sentinel.start()
    wait_until(lambda: leadership.alarm.sleeps[-1:] == [None])
    loop.sentinel.give_up_at(time.monotonic() + 0.05)
    sentinel.join(SECONDS)
    assert not sentinel.is_alive()
    assert not leadership.stopped


def test_refused_promotion_is_not_tried_without_pause(app):
    loop = FakeLoop(kind=Refused)
    with running(loop, app) as leadership:
        leadership.refusing = True
        began = time.monotonic()
        loop.arrived.put(FakeExchange(app))
        wait_until(lambda: leadership.refusals >= 20)
        assert time.monotonic() - began > 19 * TICK
        leadership.refusing = False


def test_sentinel_sleeps_until_a_call_is_due():
    loop = watched(calls=Calls(timeout=60))
    leadership = loop.leadership
    leadership.calls.enter(FakeExchange(), 1)
    leadership.alarm.ring()
    leadership.alarm.ring()  # Neither sleep takes long.
    loop.sentinel._sleep_until_called()
    first, second = leadership.alarm.sleeps
    assert first == TICK
    assert 50 < second <= 60
    assert not leadership.alarm.asleep


@pytest.mark.slow
def test_sentinel_that_sleeps_wakes_when_a_call_is_due(app):
    loop = watched(calls=Calls(slow_log=0.3, timeout=0.6))
    alarm = loop.leadership.alarm
    with running(loop, app):
        loop.arrived.put(FakeExchange(app, reader="body"))
        wait_until(lambda: loop.given)
        assert sum(1 for seconds in alarm.sleeps if seconds is not None and seconds > 0.1) >= 2
        wait_until(lambda: alarm.sleeps[-1] is None)
        assert len(alarm.sleeps) < 5 * CALM_TICKS + 50
