"""Without an ops endpoint nothing is kept about workers, and nothing stays open."""

from __future__ import annotations

import math
import os

import pytest

from tests.processes.terms import terms
from wsgiserve.processes.facts import Worker
from wsgiserve.processes.monitor import Monitor
from wsgiserve.server.scoreboard import Scoreboard


@pytest.fixture
def monitor():
    return Monitor([], Scoreboard())


def test_a_worker_lives_unseen(monitor):
    worker = Worker(1, 1, terms(), "starting")
    monitor.enter(worker)
    assert monitor.open_stacks(worker) == monitor.stacks_of(worker) == -1
    assert worker.row == 0
    assert monitor.last_lines(worker) == b""
    assert monitor.legacy() is None
    assert math.isinf(monitor.next_at)


def test_a_file_for_stacks_that_a_program_before_had_is_closed(monitor):
    """It had an ops endpoint, this one has none."""
    ours, theirs = os.pipe()
    monitor.adopt(Worker(1, 1, terms(), "serving"), {"stacks": theirs})
    monitor.adopt(Worker(2, 1, terms(), "serving"), {"stacks": -1})
    assert os.read(ours, 1) == b""
    os.close(ours)
