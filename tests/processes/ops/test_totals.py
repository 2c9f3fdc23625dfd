"""Totals never become less: when workers end, and when another program takes over."""

from __future__ import annotations

import itertools
import logging
import os
import random
from types import SimpleNamespace

import pytest

from tests.processes.terms import terms
from wsgiserve.processes.facts import Worker
from wsgiserve.processes.fleet import Fleet
from wsgiserve.processes.ops import totals as module
from wsgiserve.processes.ops.metrics import families
from wsgiserve.processes.ops.totals import Totals
from wsgiserve.server.journal import METHOD_UNITS, unit_of
from wsgiserve.server.tally import named


@pytest.fixture
def totals():
    return Totals()


def worker(number, *, state="serving", served=True, **facts):
    return Worker(number, 1, terms(), state, served=served, **facts)


def tally_of(totals, worker):
    return totals.scoreboard.tally(worker.row)


def test_the_rows_of_all_workers_are_added(totals):
    workers = [worker(number) for number in (1, 2, 300)]
    for each in workers:
        totals.enter(each)
        tally_of(totals, each).request("GET", 200, 0.5)
    assert named(totals.values()) == {"GET 2 0.5": 3, "GET 2 sum": 1.5, "starts": 3}
    assert len({each.row for each in workers}) == 3


def test_what_a_worker_has_counted_stays_when_it_has_ended(totals):
    for number in range(1, 4):
        each = worker(number)
        totals.enter(each)
        assert each.row == 1  # again
        tally_of(totals, each).request("GET", 200, 0.5)
        tally_of(totals, each).set(idle=5)
        before = totals.values()
        totals.leave(each)
        assert all(after >= value for after, value in zip(totals.values(), before, strict=True))
    assert named(totals.values()) == {
        "GET 2 0.5": 3,
        "GET 2 sum": 1.5,
        "waiting 0.001": 3,
        "starts": 3,
        "end crashed": 3,
    }
    assert totals.gauges()["idle"] == 0


def count_on_both_ways(totals, worker, chance):
    """Count requests of any duration: as a thread of its own does, and as the leader does."""
    board = totals.board(worker.row)
    journal = board.in_flight.journal
    for _ in range(50):
        board.tally.request("GET", 200, chance.random() / 5)
        board.tally.wait(chance.random() / 5)
        journal.words[journal.at] = unit_of(200, 5) + METHOD_UNITS["GET"] + chance.random() / 100
        journal.at += 1


@pytest.mark.parametrize("seed", range(40))
def test_no_sum_of_seconds_loses_its_last_digit_as_workers_end(totals, seed):
    chance = random.Random(seed)
    workers = [worker(number) for number in range(1, 4)]
    for each in workers:
        totals.enter(each)
        count_on_both_ways(totals, each, chance)
    for each in chance.sample(workers, 3):
        before = totals.values()
        totals.leave(each)
        assert all(after >= value for after, value in zip(totals.values(), before, strict=True))


def waits(totals):
    """Return the samples of how long requests waited, by their labels and names."""
    (family,) = (one for one in families(Fleet(terms()), totals, []) if one.name.endswith("wait_seconds"))
    return {sample.labels.get("le", sample.suffix): sample.value for sample in family.samples}


def test_how_long_requests_waited_never_goes_back(totals):
    """Whoever looks between the two counts sees a request that has not waited yet."""
    each = worker(1)
    totals.enter(each)
    tally = tally_of(totals, each)
    tally.request("GET", 200, 0.5)
    tally.wait(0.0)
    seen = [waits(totals)]
    tally.request("GET", 200, 0.5)
    seen.append(waits(totals))
    tally.wait(0.2)
    seen.append(waits(totals))
    for before, after in itertools.pairwise(seen):
        assert all(after[name] >= value for name, value in before.items())
    assert (seen[-1]["0.1"], seen[-1]["0.25"], seen[-1]["_count"]) == (1, 2, 2)


def test_each_request_of_an_ended_worker_has_waited_or_not(totals):
    each = worker(1)
    totals.enter(each)
    tally = tally_of(totals, each)
    tally.request("GET", 200, 0.5)
    tally.wait(0.2)
    tally.request("GET", 200, 0.5)  # It was killed before it could go on.
    begin(totals.board(each.row).in_flight)
    totals.last_lines(each)
    totals.leave(each)
    assert (waits(totals)["0.001"], waits(totals)["_count"]) == (2, 3)


@pytest.mark.parametrize(
    ("facts", "deeds", "cause"),
    [
        ({}, [], "crashed"),
        ({"state": "retiring"}, [], "retired"),
        ({"state": "retiring"}, [(Worker.wear, "max-requests")], "max-requests"),
        ({"state": "retiring"}, [(Worker.wear, "SIGTERM")], "SIGTERM"),
        ({"state": "retiring"}, [(Worker.overrun,)], "killed"),
        ({"state": "starting", "served": False}, [], "failed"),
        ({"state": "retiring", "served": False}, [], "retired"),
        ({"state": "retiring", "served": False}, [(Worker.fail,)], "failed"),
    ],
)
def test_ends_are_counted_by_cause(totals, facts, deeds, cause):
    each = worker(1, **facts)
    for deed, *arguments in deeds:
        deed(each, *arguments)
    totals.enter(each)
    totals.leave(each)
    assert named(totals.values()) == {"starts": 1, f"end {cause}": 1}


class Exchange(SimpleNamespace):
    __hash__ = object.__hash__


def begin(in_flight, **facts):
    """Have a request in flight, on a thread of its own."""
    request = SimpleNamespace(method="GET", target=facts.pop("target", "/a"), minor=1)
    defaults = {"detached": True, "counted": False, "status": 0, "end": "done", "owes_line": False}
    defaults["connection"] = SimpleNamespace(base=0.0)
    exchange = Exchange(request=request, client="192.0.2.1", id="", started=1.0, **{**defaults, **facts})
    in_flight.put(exchange, "app", 1)
    return exchange


def test_requests_that_a_worker_left_unfinished_are_counted_once_and_have_a_line(totals):
    each = worker(1)
    totals.enter(each)
    tally = tally_of(totals, each)
    tally.request("GET", 200, 0.5)
    in_flight = totals.board(each.row).in_flight
    begin(in_flight, target="/in-the-app")
    begin(in_flight, target="/answered", counted=True, status=200)
    begin(in_flight, target="/shed", counted=True, status=503, end="shed")
    in_flight.settle(begin(in_flight, target="/over", counted=True, status=200))
    lines = totals.last_lines(each).decode()
    assert [line.split('"')[1] for line in lines.splitlines()] == [
        "GET /in-the-app HTTP/1.1",
        "GET /answered HTTP/1.1",
        "GET /shed HTTP/1.1",
    ]
    assert totals.last_lines(each) == b""
    totals.leave(each)
    assert totals.last_lines(each) == b""
    counted = named(totals.values())
    assert counted["cut"] == 2
    assert counted["GET 2 0.5"] == 1
    assert counted["GET 0 inf"] == 1


def test_a_worker_beyond_the_last_row_is_not_counted_and_harms_nobody(totals, monkeypatch, caplog):
    monkeypatch.setattr(module, "TALLIES", 2)
    first, second = worker(1), worker(2)
    totals.enter(first)
    tally_of(totals, first).count("shed")
    totals.enter(second)
    assert second.row == 0
    totals.leave(second)
    assert named(totals.values())["shed"] == 1
    assert "what worker 2 does is not counted" in caplog.text


@pytest.fixture
def passed_on(totals):
    """Return ``passed_on()``: what the next program gets, with a descriptor of its own as after an exec."""
    totals.count("reload serving")
    return lambda: totals.legacy() | {"descriptor": os.dup(totals.scoreboard.descriptor)}


def test_the_next_program_goes_on_with_the_same_memory(totals, passed_on):
    each = worker(1)
    totals.enter(each)
    tally_of(totals, each).count("shed")
    following = Totals(passed_on())
    adopted = worker(1)
    following.adopt(adopted, each.row)
    tally_of(totals, each).count("shed")  # The worker goes on counting.
    assert named(following.values()) == {"starts": 1, "shed": 2, "reload serving": 1}
    following.leave(adopted)
    assert named(following.values()) == {"starts": 1, "shed": 2, "reload serving": 1, "end crashed": 1}


def test_a_program_with_other_slots_gets_the_totals_by_name(totals, passed_on):
    each = worker(1)
    totals.enter(each)
    tally_of(totals, each).request("GET", 200, 0.5)
    left = passed_on() | {"version": 1}
    left["totals"] = left["totals"] | {"no longer counted": 7}
    following = Totals(left)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(left["descriptor"])
    adopted = worker(1)
    following.adopt(adopted, each.row)
    assert adopted.row == 0
    assert named(following.values()) == {"starts": 1, "GET 2 0.5": 1, "GET 2 sum": 0.5, "reload serving": 1}


def test_a_child_does_not_keep_the_descriptor(totals):
    descriptor = totals.scoreboard.descriptor
    assert not os.get_inheritable(descriptor)
    totals.scoreboard.leave()
    totals.scoreboard.leave()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    totals.count("starts")
    logging.getLogger("wsgiserve").debug("still counted")
    assert named(totals.values()) == {"starts": 1}
