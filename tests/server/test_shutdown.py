"""The phases of a shutdown, and when each begins, with a clock of the test's own."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgiserve.server import shutdown
from wsgiserve.server.shutdown import FAREWELL_SECONDS, PHASES, STOP_SECONDS, Plan, Shutdown

NOW = 1000.0


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch):
    monkeypatch.setattr("wsgiserve.server.shutdown.monotonic", lambda: NOW)


@pytest.mark.parametrize(
    ("plan", "begins"),
    [
        (lambda: shutdown.drain(0, 30), [0, 0, FAREWELL_SECONDS, 30]),
        (lambda: shutdown.drain(10, 30), [5, 10, 10 + FAREWELL_SECONDS, 40]),
        (lambda: shutdown.drain(0.1, 30), [0.05, 0.1, 0.1 + FAREWELL_SECONDS, 30.1]),
        (lambda: shutdown.drain(0, 0), [0, 0, 0, 0]),
        (lambda: shutdown.retire(30), [0, 0, 25, 30]),
        (lambda: shutdown.retire(4), [0, 0, 2, 4]),
        (lambda: shutdown.hurry(), [0, 0, 0, 0]),
    ],
    ids=["drain", "delayed", "delayed little", "no grace", "retire", "retire soon", "hurry"],
)
def test_phases_begin_in_order(plan, begins):
    phases = PHASES[2:]
    assert [plan().begins(phase) - NOW for phase in phases] == pytest.approx(begins)
    assert plan().begins("draining") == plan().begins("serving") == 0


def test_server_that_nobody_stops_serves():
    stop = Shutdown()
    assert (stop.phase, stop.plan, stop.ready, stop.next_at()) == ("serving", None, True, math.inf)
    assert stop.reached("serving")
    assert not stop.reached("draining")


def test_each_phase_is_entered_once():
    stop = Shutdown()
    stop.ask(shutdown.drain(10, 30))
    assert (stop.phase, stop.ready) == ("draining", False)
    entered = []
    for seconds in [0, 4.9, 5, 9.9, 10, 10, 10.5, 39.9, 40, 50]:
        entered.append(list(stop.advance(NOW + seconds)))
    assert entered == [["draining"], [], ["parting"], [], ["deaf"], [], ["emptying"], [], ["cutting"], []]
    assert stop.next_at() == math.inf


def test_beginning_of_the_next_phase_is_known():
    stop = Shutdown()
    stop.ask(shutdown.drain(10, 30))
    list(stop.advance(NOW))
    assert stop.next_at() == NOW + 5
    list(stop.advance(NOW + 5))
    assert stop.next_at() == NOW + 10


def test_server_in_a_hurry_passes_through_all_phases():
    stop = Shutdown()
    stop.ask(shutdown.hurry())
    assert tuple(stop.advance(NOW)) == PHASES[1:]
    assert stop.reached("cutting")


def test_phases_never_move_back():
    """A second plan begins its phases earlier or later, but those that have begun go on."""
    stop = Shutdown()
    stop.ask(shutdown.hurry())
    list(stop.advance(NOW))
    stop.ask(shutdown.drain(10, 30))
    assert stop.phase == "cutting"
    assert list(stop.advance(NOW + 100)) == []


def test_worker_that_retires_stays_ready():
    """Other workers serve new clients."""
    stop = Shutdown()
    stop.ask(shutdown.retire(30))
    assert stop.ready
    stop.ask(shutdown.drain(0, 30))
    assert not stop.ready


def test_heads_that_arrive_get_a_deadline_when_idle_connections_are_closed():
    stop = Shutdown()
    stop.ask(shutdown.drain(0, 30))
    list(stop.advance(NOW))
    assert stop.head_deadline == math.inf
    list(stop.advance(NOW + 3))
    assert stop.head_deadline == NOW + 3 + STOP_SECONDS


MOMENTS = st.floats(0, 100)
PLANS = st.builds(Plan, MOMENTS, MOMENTS, MOMENTS, MOMENTS, st.booleans())


@given(st.lists(st.one_of(PLANS, MOMENTS)))
def test_phases_only_move_forward_whatever_is_asked(steps):
    """A step is a plan that is asked for, or a moment at which the leader advances."""
    stop = Shutdown()
    entered = []
    for step in steps:
        before = PHASES.index(stop.phase)
        if isinstance(step, Plan):
            stop.ask(step)
        elif stop.plan is not None:
            for phase in stop.advance(step):
                assert stop.phase == phase
                assert stop.plan.begins(phase) <= step
                entered.append(phase)
            assert stop.next_at() > step
        after = PHASES.index(stop.phase)
        assert after >= before
        assert [stop.reached(phase) for phase in PHASES] == [n <= after for n in range(len(PHASES))]
    assert entered == list(PHASES[1 : 1 + len(entered)])  # Each once, and in order.
