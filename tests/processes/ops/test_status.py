"""What the status says, made from the facts of a fleet; ``test_looking`` asks real servers."""

from __future__ import annotations

import json
import os
import time

import pytest

from tests.processes.terms import terms
from tests.program import ROOT
from wsgiserve.processes.fleet import Fleet
from wsgiserve.processes.ops.status import history, memory, status
from wsgiserve.processes.ops.totals import Totals
from wsgiserve.server.history import SECONDS, Done
from wsgiserve.server.in_flight import Entry


@pytest.fixture
def totals():
    totals = Totals()
    yield totals
    totals.scoreboard.leave()


@pytest.fixture
def fleet(totals):
    """A fleet of two workers, of which the first is this process."""
    fleet = Fleet(terms(size=2))
    now = time.monotonic()
    fleet.reload(now)
    for step in fleet.plan(now):
        totals.enter(step.worker)
    fleet.workers[1].born(os.getpid())
    return fleet


def test_requests_are_those_of_all_workers_the_oldest_first(fleet, totals):
    now = time.monotonic()
    first, second = (totals.board(worker.row).in_flight for worker in fleet.workers.values())
    entry = Entry(now - 5, 0, "body", "192.0.2.1", "POST", "/\x9b31m", "x1")
    first.show_clients([entry, entry._replace(started=now - 100)])
    second.show_clients([entry._replace(started=now - 50, phase="head")] * 200)
    said = status(fleet, totals)
    ages = [round(request["age"] / 5) * 5 for request in said["requests"]]
    assert ages == [100, *[50] * 128, 5]
    assert said["hidden"] == 72
    last = said["requests"][-1]
    assert (last["pid"], last["thread"], last["path"]) == (os.getpid(), "", "/\x9b31m")
    assert json.loads(json.dumps(said)) == said
    assert set(said["workers"][0]) == {
        *("pid", "generation", "state", "age", "memory", "connections", "busy", "threads", "waiting"),
    }


def test_a_worker_without_a_row_is_there_too(fleet, totals):
    fleet.workers[2].count_in(0)
    said = status(fleet, totals)["workers"][1]
    assert (said["connections"], said["memory"], said["state"]) == (0, None, "starting")


def test_memory_is_that_of_the_process():
    assert memory(os.getpid()) > 1 << 20
    assert memory(0) is None


def test_a_failed_reload_has_its_reason(fleet, totals):
    fleet.resume(1, 1)
    assert status(fleet, totals)["reason"] == ""
    fleet.refuse("wsgiserve: no")
    assert status(fleet, totals)["reason"] == "wsgiserve: no"


def test_each_member_stands_in_the_docs(fleet, totals):
    page = (ROOT / "docs/status.md").read_text("utf-8")
    entry = Entry(time.monotonic(), 1, "app", "192.0.2.1", "GET", "/", "")
    totals.board(fleet.workers[1].row).in_flight.show_clients([entry])
    said = status(fleet, totals)
    names = {*said["requests"][0], *said["workers"][0], *said["history"], *said}
    speak_for_themselves = {"version", "generation", "state"}
    assert [name for name in names - speak_for_themselves if f"`{name}`" not in page] == []


def test_history_is_the_sum_of_all_workers_with_the_present_last(fleet, totals):
    now = 100_000.0 * SECONDS
    boards = [totals.board(worker.row) for worker in fleet.workers.values()]
    for board in boards:
        board.history.note(now - SECONDS, Done(4, 1, 2.0), 1, 2, 3)
    boards[0].history.note(now, Done(5, 1, 2.5), 0, 0, 9)
    total = totals.history(now)
    assert total[99_999] == (8, 2, 4.0, 2, 4, 6)
    said = history(totals, now)
    assert said["requests"][-3:] == [0, 8, 1]
    assert (said["spent"][-1], said["connections"][-1], said["seconds"]) == (0.5, 9, SECONDS)
    assert len(said["requests"]) == 60
    assert [history(totals, now + more)["elapsed"] for more in (0, 2.54, SECONDS)] == [0, 2.5, 0]
