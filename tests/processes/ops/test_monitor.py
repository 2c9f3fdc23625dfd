"""What is kept for an ops endpoint, from the start of a worker to its end and to another program."""

from __future__ import annotations

import os

import pytest

from tests.processes.terms import terms
from wsgiserve.processes.children import Children
from wsgiserve.processes.facts import Worker
from wsgiserve.processes.fleet import Fleet
from wsgiserve.processes.ops.monitor import OpsMonitor


@pytest.fixture
def made():
    monitors = []

    def make(counts=None):
        sent = []
        monitor = OpsMonitor([], Children(), Fleet(terms()), [], lambda *order: sent.append(order), counts)
        monitors.append(monitor)
        return monitor

    yield make
    for monitor in monitors:
        monitor.leave()


def is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def counted(monitor):
    return monitor.legacy()["totals"]


def test_a_worker_is_counted_and_its_file_closed(made):
    monitor, worker = made(), Worker(1, 1, terms(), "serving", served=True)
    monitor.enter(worker)
    file = monitor.open_stacks(worker)
    assert monitor.stacks_of(worker) == file
    assert is_open(file)
    monitor.scoreboard.tally(worker.row).request("GET", 200, 0.5)
    monitor.count("reload serving")
    monitor.gone(worker)
    assert not is_open(file)
    assert counted(monitor) == {
        "GET 2 0.5": 1,
        "GET 2 sum": 0.5,
        "waiting 0.001": 1,
        "starts": 1,
        "end crashed": 1,
        "reload serving": 1,
    }


def test_another_program_goes_on_with_both(made):
    before, worker = made(), Worker(7, 1, terms(), "serving", served=True)
    before.enter(worker)
    file, row = before.open_stacks(worker), worker.row
    after, same = made(before.legacy()), Worker(7, 1, terms(), "serving", served=True)
    after.adopt(same, {"row": row, "stacks": os.dup(file)})
    after.adopt(Worker(8, 1, terms(), "serving"), {})
    before.scoreboard.tally(row).request("GET", 200, 0.5)
    assert counted(after)["GET 2 0.5"] == 1
    assert same.row == row
    assert is_open(after.stacks_of(same))


def test_in_a_forked_child_one_file_stays_open(made):
    monitor = made()
    files = []
    for number in (1, 2):
        worker = Worker(number, 1, terms(), "starting")
        monitor.enter(worker)
        files.append(monitor.open_stacks(worker))
    monitor.leave(but=files[1])
    assert [is_open(file) for file in files] == [False, True]
    os.close(files[1])
