"""What a supervisor decides, without a process: facts in, deeds out."""

from __future__ import annotations

import logging
import math

import pytest

from tests.processes.terms import terms
from wsgiserve.processes.fleet import (
    ACKNOWLEDGE_SECONDS,
    FIRST_PAUSE,
    HURRY_SECONDS,
    KILL_MARGIN,
    LONGEST_PAUSE,
    STABLE,
    Fleet,
)

GRACE = 30.0


class Case:
    """A fleet with a clock of its own; deeds come as "serve 1 2"."""

    def __init__(self, size=2, lifetime=math.inf):
        self.fleet = Fleet(terms(size, GRACE, lifetime))
        self.now = 100.0
        self.obedient = True  # who is called serves at once
        self.fleet.reload(self.now)

    def plan(self):
        deeds = {}
        while steps := self.fleet.plan(self.now):
            for deed, worker in steps:
                worker.born(worker.number)
                deeds.setdefault(deed, []).append(str(worker.number))
                if deed == "serve" and self.obedient:
                    self.fleet.serving(worker, self.now)
        return " ".join(f"{deed} {' '.join(numbers)}" for deed, numbers in deeds.items())

    def worker(self, number):
        return self.fleet.workers[number]

    def ready(self, *numbers):
        for number in numbers:
            self.worker(number).ready(self.now)
        return self.plan()

    def gone(self, number, how="was killed by SIGKILL"):
        self.fleet.gone(self.worker(number), how, self.now)
        return self.plan()

    def failed(self, number, reason="their traceback"):
        self.fleet.failed(self.worker(number), reason, self.now)
        return self.plan()

    def after(self, seconds):
        self.now += seconds
        return self.plan()

    def acknowledged(self, number):
        self.worker(number).acknowledge()
        return self.plan()

    def reload(self):
        self.fleet.reload(self.now)
        return self.plan()

    def states(self):
        return {number: worker.state for number, worker in self.fleet.workers.items()}


@pytest.fixture
def serving():
    """Two workers that have served for a while."""
    case = Case()
    case.plan()
    case.ready(1, 2)
    case.after(10)
    case.fleet.notices.clear()
    return case


@pytest.fixture
def called(serving):
    """The same, and a candidate of 3 and 4, which was called and does not serve yet."""
    serving.obedient = False
    serving.reload()
    assert serving.ready(3, 4) == "serve 3 4"
    return serving


def test_a_generation_serves_once_it_is_complete():
    case = Case()
    assert case.plan() == "start 1 2"
    assert case.plan() == ""
    assert case.ready(1) == ""
    assert case.ready(2) == "serve 1 2"
    assert case.fleet.notices == []
    assert case.fleet.status()["outcome"] == "serving"


def test_a_first_start_that_fails_is_the_end():
    case = Case()
    case.plan()
    assert case.failed(1) == "stop 1 terminate 2"
    assert case.fleet.hopeless
    case.gone(1)
    case.gone(2)
    assert case.fleet.over
    assert case.fleet.reason == "their traceback"


def test_a_worker_that_dies_before_it_is_ready_fails_its_generation():
    case = Case()
    case.plan()
    case.gone(2, "was killed by SIGSEGV")
    assert case.fleet.hopeless
    assert case.fleet.reason == "wsgiserve: worker 2 was killed by SIGSEGV before it served"


def test_old_workers_retire_one_by_one_when_the_new_are_ready(serving):
    assert serving.reload() == "start 3 4"
    assert serving.ready(4) == ""
    assert serving.ready(3) == "serve 3 4 retire 1"
    assert serving.plan() == ""
    assert serving.acknowledged(1) == "retire 2"
    assert serving.gone(1, "ended with exit code 0") == ""
    assert serving.gone(2, "ended with exit code 0") == ""
    assert serving.fleet.generation == 2
    assert [level for level, _ in serving.fleet.notices] == [logging.INFO, logging.INFO]


def test_old_workers_do_not_retire_before_the_new_accept(serving):
    serving.obedient = False
    serving.reload()
    assert serving.ready(3, 4) == "serve 3 4"
    assert serving.fleet.status()["state"] == "reloading"
    serving.fleet.serving(serving.worker(3), serving.now)
    assert serving.plan() == ""
    serving.fleet.serving(serving.worker(4), serving.now)
    assert serving.plan() == "retire 1"
    assert serving.fleet.status()["outcome"] == "serving"


def test_a_worker_that_does_not_acknowledge_holds_up_the_others_for_a_while_only(serving):
    serving.reload()
    assert serving.ready(3, 4) == "serve 3 4 retire 1"
    assert serving.fleet.next_at(serving.now) == serving.now + ACKNOWLEDGE_SECONDS
    assert serving.after(ACKNOWLEDGE_SECONDS) == "retire 2"


def test_a_reload_that_fails_leaves_everything_as_it_was(serving):
    serving.reload()
    assert serving.ready(3) == ""
    assert serving.failed(4) == "stop 3"
    serving.gone(3)
    assert serving.gone(4) == ""
    assert serving.states() == {1: "serving", 2: "serving"}
    status = serving.fleet.status()
    assert (status["state"], status["outcome"], status["reason"]) == ("serving", "failed", "their traceback")
    (_, (level, text)) = serving.fleet.notices
    assert level == logging.ERROR
    assert text == "reload failed, generation 1 goes on serving: their traceback"
    assert serving.reload() == "start 5 6"


def test_a_reload_during_a_reload_takes_its_place(serving):
    serving.reload()
    serving.ready(3)
    serving.fleet.reload(serving.now)
    assert serving.plan() == "start 5 6 stop 3 terminate 4"
    assert serving.ready(5, 6) == "serve 5 6 retire 1"
    assert serving.fleet.generation == 3


def test_what_dies_is_replaced_at_once(serving):
    assert serving.gone(1) == "look 2 start 3"
    assert serving.ready(3) == "serve 3"
    assert serving.fleet.notices == [(logging.ERROR, "worker 1 was killed by SIGKILL; another starts")]


def test_what_dies_young_is_replaced_after_a_pause_that_doubles(serving):
    serving.gone(1)
    number, pauses = 3, []
    for _ in range(8):
        serving.ready(number)
        assert serving.gone(number) == "look 2"
        pause = serving.fleet.next_at(serving.now) - serving.now
        pauses.append(pause)
        assert serving.after(pause - 0.01) == ""
        number += 1
        assert serving.after(0.01) == f"start {number}"
    assert pauses[:4] == pytest.approx([FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4, FIRST_PAUSE * 8])
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE)


def test_a_pause_is_short_again_after_a_worker_was_well(serving):
    for number in (1, 3, 4):
        serving.gone(number)
        serving.after(serving.fleet.next_at(serving.now) - serving.now if number > 1 else 0)
        serving.ready(number + 2 if number == 1 else number + 1)
    assert serving.fleet.strikes == 2
    serving.after(STABLE)
    serving.reload()
    serving.failed(6)
    assert serving.fleet.strikes == 2, "a candidate that fails is no strike"
    assert serving.gone(2) == "look 5 start 8"
    serving.failed(8)
    assert serving.fleet.strikes == 1


def test_starts_after_a_strike_come_one_at_a_time():
    case = Case(4)
    case.plan()
    case.ready(1, 2, 3, 4)
    for number in (1, 2, 3):
        case.gone(number)
    assert case.after(LONGEST_PAUSE) == "start 5"
    assert case.after(LONGEST_PAUSE) == ""
    assert case.ready(5) == "serve 5 start 6"


def test_a_worn_worker_serves_until_another_is_ready(serving):
    serving.worker(1).wear("max-requests")
    serving.worker(2).wear("max-requests")
    assert serving.plan() == "start 3"
    assert serving.failed(3) == ""
    assert serving.states()[1] == "serving"
    serving.gone(3)
    assert serving.after(FIRST_PAUSE) == "start 4"
    assert serving.ready(4) == "serve 4 retire 1 start 5"


def test_worn_workers_are_replaced_one_after_the_other(serving):
    for number in (1, 2):
        serving.worker(number).wear("max-rss")
    serving.plan()
    assert serving.ready(3) == "serve 3 retire 1 start 4"
    assert serving.ready(4) == "serve 4"
    assert serving.acknowledged(1) == "retire 2"


def test_lifetimes_end_with_a_jitter():
    case = Case(1, lifetime=105)
    case.plan()
    case.ready(1)
    assert case.fleet.next_at(case.now) == case.now + 105
    assert case.after(104.9) == ""
    assert case.after(0.1) == "start 2"
    assert case.fleet.next_at(case.now) == math.inf
    assert case.ready(2) == "serve 2 retire 1"


def test_workers_are_added_and_removed(serving):
    serving.fleet.resize(1)
    assert serving.plan() == "start 3"
    serving.ready(3)
    serving.fleet.resize(-1)
    assert serving.plan() == "retire 1"
    for _ in range(5):
        serving.fleet.resize(-1)
    assert serving.acknowledged(1) == "retire 2"
    assert serving.states()[3] == "serving"
    assert serving.fleet.size == 1


def test_a_stop_is_told_to_all_once(serving):
    serving.reload()
    serving.fleet.stop()
    assert serving.plan() == "stop 1 2 terminate 3 4"
    assert serving.plan() == ""
    serving.reload()
    assert serving.plan() == ""
    for number in (3, 4, 1, 2):
        assert serving.gone(number) == ""
    assert serving.fleet.over


def test_a_second_stop_hurries():
    case = Case()
    case.plan()
    case.ready(1, 2)
    case.fleet.stop()
    assert case.plan() == "stop 1 2"
    case.fleet.stop()
    assert case.plan() == "hurry 1 2"
    assert case.after(HURRY_SECONDS) == "kill 1 2"


def test_who_does_not_end_is_killed(serving):
    serving.reload()
    serving.ready(3, 4)
    serving.acknowledged(1)
    assert serving.after(GRACE + KILL_MARGIN) == "kill 1 2"
    assert serving.plan() == ""


def test_a_stop_reaches_those_that_retire(serving):
    serving.reload()
    serving.ready(3, 4)
    serving.fleet.stop()
    assert serving.plan() == "stop 1 2 3 4"


def test_adopted_workers_retire_behind_the_new():
    fleet = Fleet(terms(1, GRACE))
    fleet.resume(3, 3)
    old = fleet.adopt(7, 3, 1007, True, 0.0)
    fleet.adopt(6, 2, 1006, False, 0.0)
    fleet.reload(0.0)
    ((deed, new),) = fleet.plan(0.0)
    assert (deed, new.number, new.generation) == ("start", 8, 4)
    new.ready(1.0)
    assert fleet.plan(1.0) == [("serve", new)]
    fleet.serving(new, 1.0)
    assert fleet.plan(1.0) == [("retire", old)]


def test_an_adopted_worker_keeps_its_time_to_end():
    fleet = Fleet(terms(1, 1.0))
    fleet.resume(3, 3)
    old = fleet.adopt(7, 3, 1007, False, 10.0, terms=terms(1, 100.0))
    assert old.kill_at == 110.0 + KILL_MARGIN


def test_a_program_behind_a_re_exec_that_adopts_nobody_is_not_hopeless():
    fleet = Fleet(terms(1, GRACE))
    fleet.resume(3, 5)
    fleet.reload(0.0)
    steps = fleet.plan(0.0)
    assert [(deed, worker.generation) for deed, worker in steps] == [("start", 6), ("start", 3)]
    for _, worker in steps:
        fleet.failed(worker, "their traceback", 1.0)
        fleet.gone(worker, "ended", 1.0)
    assert fleet.plan(1.0) == []
    assert (fleet.hopeless, fleet.stopping, fleet.status()["outcome"]) == (False, "", "failed")
    assert [deed for deed, _ in fleet.plan(1.5)] == ["start"]


# -- rule 1: confirmed only while it lives


def test_a_candidate_that_dies_when_it_is_called_is_given_up(called):
    assert called.gone(3) == "retire 4", "it may accept connections already"
    assert called.fleet.generation == 1
    status = called.fleet.status()
    assert (status["state"], status["outcome"]) == ("serving", "failed")
    assert status["reason"] == "wsgiserve: worker 3 was killed by SIGKILL before it served"
    assert called.states() == {1: "serving", 2: "serving", 4: "retiring"}


def test_a_candidate_of_which_one_serves_and_dies_before_the_others_is_given_up(called):
    called.fleet.serving(called.worker(3), called.now)
    assert called.gone(3) == "look 1 2 retire 4"
    assert called.fleet.status()["outcome"] == "failed"


def test_workers_of_a_given_up_candidate_that_serve_retire(called):
    called.fleet.serving(called.worker(3), called.now)
    assert called.gone(4) == "retire 3"
    assert called.states() == {1: "serving", 2: "serving", 3: "retiring"}


def test_a_first_generation_that_dies_when_it_is_called_is_the_end():
    case = Case()
    case.obedient = False
    case.plan()
    assert case.ready(1, 2) == "serve 1 2"
    assert case.gone(1) == "stop 2"
    assert case.fleet.hopeless


def test_old_workers_are_not_told_to_go_while_the_new_ones_die(serving):
    serving.reload()
    assert serving.ready(3, 4) == "serve 3 4 retire 1"
    assert serving.gone(3) == "look 2 4"
    assert serving.acknowledged(1) == "", "2 serves on"
    assert serving.after(FIRST_PAUSE) == "start 5"
    assert serving.ready(5) == "serve 5 retire 2"


def test_a_reload_while_the_one_before_is_called_takes_its_place(called):
    assert called.reload() == "start 5 6 retire 3 4"
    assert called.fleet.generation == 1
    called.gone(3)
    called.gone(4)
    called.obedient = True
    assert called.ready(5, 6) == "serve 5 6 retire 1"


def test_a_kill_that_has_no_effect_is_repeated(serving):
    serving.reload()
    serving.ready(3, 4)
    assert "kill 1" in serving.after(GRACE + KILL_MARGIN + 1)
    assert "kill 1" in serving.after(KILL_MARGIN)


# -- reloads on other terms


def test_a_generation_has_terms_of_its_own(serving):
    serving.fleet.reload(serving.now, terms(3, grace=1.0, lifetime=7.0))
    assert serving.plan() == "start 3 4 5"
    assert serving.gone(1) == "look 2 start 6", "the generation before goes on with its own number"
    serving.ready(6)
    assert serving.ready(3, 4, 5) == "serve 3 4 5 retire 2"
    assert serving.fleet.size == 3
    assert serving.worker(3).worn_at == serving.now + 7.0
    assert serving.worker(2).kill_at == serving.now + GRACE + KILL_MARGIN, "on the terms it began with"


def test_fewer_workers_are_wanted_only_once_they_serve(serving):
    serving.fleet.reload(serving.now, terms(1))
    assert serving.plan() == "start 3"
    assert serving.failed(3) == ""
    serving.gone(3)
    assert serving.states() == {1: "serving", 2: "serving"}
    assert serving.fleet.size == 2


def test_a_signal_for_one_more_worker_counts_during_a_reload_too(serving):
    serving.fleet.reload(serving.now, terms(3))
    serving.plan()
    serving.fleet.resize(1)
    assert serving.plan() == "start 6 7", "one of each generation"
    assert serving.ready(3, 4, 5, 6, 7).startswith("serve")
    assert serving.fleet.size == 4


def test_a_refused_reload_starts_nothing_and_is_told(serving):
    serving.fleet.refuse("wsgiserve: wsgiserve.toml: threads: 0 is wrong")
    assert serving.plan() == ""
    assert serving.states() == {1: "serving", 2: "serving"}
    status = serving.fleet.status()
    assert (status["generation"], status["latest"], status["outcome"]) == (1, 2, "failed")
    assert status["reason"] == "wsgiserve: wsgiserve.toml: threads: 0 is wrong"
    text = "reload failed, generation 1 goes on serving: wsgiserve: wsgiserve.toml: threads: 0 is wrong"
    assert serving.fleet.notices == [(logging.ERROR, text)]


def test_a_refused_reload_ends_one_that_is_under_way(serving):
    serving.reload()
    serving.fleet.refuse("wrong")
    assert serving.plan() == "terminate 3 4"
    assert serving.fleet.status()["state"] == "serving"


def test_a_first_start_goes_on_when_a_reload_is_refused():
    case = Case()
    assert case.plan() == "start 1 2"
    case.fleet.refuse("wrong")
    assert case.fleet.notices == [(logging.ERROR, "reload refused, the start goes on: wrong")]
    assert case.ready(1, 2) == "serve 1 2"
    assert not case.fleet.hopeless
