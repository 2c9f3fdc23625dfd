"""When the CA is asked: at two thirds of the lifetime, and ever more rarely after failures."""

from __future__ import annotations

import math

import pytest

from wsgiserve.acme.schedule import (
    FIRST_PAUSE,
    FIRST_PAUSE_UNREACHED,
    LONGEST_PAUSE,
    SPREAD,
    State,
    renewal_at,
    wished,
)

DAY = 86400.0


def test_a_certificate_is_renewed_at_two_thirds_of_its_lifetime_or_a_little_before():
    assert renewal_at(1000 * DAY, 1090 * DAY, 0.0) == pytest.approx(1060 * DAY)
    assert renewal_at(1000 * DAY, 1090 * DAY, 1.0) == pytest.approx((1060 - 90 * SPREAD) * DAY)
    assert renewal_at(0.0, 30.0, 0.5) == pytest.approx(20 - 30 * SPREAD / 2)


def test_the_ca_s_wish_holds_but_for_the_beginning_of_the_lifetime():
    begins, ends = 1000 * DAY, 1100 * DAY
    assert wished(1050 * DAY, begins, ends, 1010 * DAY) == 1050 * DAY
    assert wished(1005 * DAY, begins, ends, 1010 * DAY) == 1010 * DAY
    assert wished(900 * DAY, begins, ends, 1000 * DAY) == begins + DAY
    assert wished(2000 * DAY, begins, ends, 1000 * DAY) == ends


def test_without_a_certificate_the_ca_is_asked_at_once():
    assert State().next_at() == 0.0


def test_the_next_question_is_for_a_certificate_or_about_it():
    assert State(renew_at=500.0).next_at() == 500.0
    assert State(renew_at=500.0, ask_at=100.0).next_at() == 100.0
    assert State(renew_at=500.0, ask_at=900.0).next_at() == 500.0
    assert State(renew_at=math.inf).next_at() == math.inf


def test_each_failure_makes_the_pause_longer_up_to_hours():
    """Let's Encrypt allows five refusals of a name in an hour: two for the first try, then one each."""
    state, now, pauses = State(), 1000.0, []
    for _ in range(7):
        pauses.append(state.failed(now, reached=True, wait=0.0, luck=0.0))
        assert state.next_at() == now + pauses[-1]
        now = state.next_at()
    assert pauses[:4] == [FIRST_PAUSE, 4 * FIRST_PAUSE, 16 * FIRST_PAUSE, 64 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE


def test_a_try_that_did_not_reach_the_ca_is_repeated_sooner():
    assert State().failed(0.0, reached=False, wait=0.0, luck=0.0) == FIRST_PAUSE_UNREACHED
    assert State().failed(0.0, reached=False, wait=0.0, luck=1.0) == pytest.approx(
        1.1 * FIRST_PAUSE_UNREACHED
    )


def test_a_ca_that_is_down_is_asked_twice_as_late_each_time():
    state, pauses = State(), []
    for _ in range(15):
        pauses.append(state.failed(0.0, reached=False, wait=0.0, luck=0.0))
    assert pauses[:3] == [FIRST_PAUSE_UNREACHED, 2 * FIRST_PAUSE_UNREACHED, 4 * FIRST_PAUSE_UNREACHED]
    assert pauses[-1] == LONGEST_PAUSE


def test_all_challenges_are_tried_at_first_and_one_in_turn_after_failures():
    both = ("http-01", "tls-alpn-01")
    assert State().kinds(both, fresh=False) == ["http-01", "tls-alpn-01"]
    assert State(challenge="tls-alpn-01").kinds(both, fresh=False) == ["tls-alpn-01", "http-01"]
    turns = [State(failures=n).kinds(both, fresh=False) for n in (1, 2, 3)]
    assert turns == [["tls-alpn-01"], ["http-01"], ["tls-alpn-01"]]
    assert State(failures=3).kinds(both, fresh=True) == ["http-01", "tls-alpn-01"]
    assert State(failures=3).kinds(("tls-alpn-01",), fresh=False) == ["tls-alpn-01"]


def test_the_ca_s_own_pause_is_kept_even_by_a_restart():
    state = State()
    assert state.failed(1000.0, reached=True, wait=7200.0, luck=0.0) == 7200.0
    state.started()
    assert state.next_at() == 8200.0


def test_a_restart_shortens_a_long_pause_but_never_below_the_first():
    state = State(failures=8)
    state.failed(1000.0, reached=True, wait=0.0, luck=0.0)
    state.started()
    assert state.next_at() == 1000.0 + FIRST_PAUSE
    sooner = State()
    sooner.failed(1000.0, reached=False, wait=0.0, luck=0.0)
    sooner.started()
    assert sooner.next_at() == 1000.0 + FIRST_PAUSE_UNREACHED


def test_a_restart_brings_no_renewal_forward():
    state = State(renew_at=500.0)
    state.started()
    assert state.next_at() == 500.0


def test_success_forgets_failures():
    state = State()
    state.failed(1000.0, reached=True, wait=7200.0, luck=0.0)
    state.succeeded("http-01", 9000.0, 0.0)
    assert state == State(renew_at=9000.0, challenge="http-01")
    state.succeeded("", 9500.0, 0.0)
    assert state.challenge == "http-01"


def test_a_state_is_kept_as_json_and_what_is_not_ours_is_ignored():
    state = State(renew_at=5.5, failures=2, challenge="http-01")
    assert State.of(state.content()) == state
    assert State.of({"renew_at": 7, "failures": "many", "challenge": 5, "more": 1}) == State(renew_at=7)
