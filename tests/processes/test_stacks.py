"""The worker's side of stacks on demand."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.program import ROOT, without_coverage
from wsgiserve.processes import stacks
from wsgiserve.server.scoreboard import Scoreboard


@pytest.fixture
def scoreboard():
    scoreboard = Scoreboard(counting=True)
    os.lseek(scoreboard.descriptor, scoreboard.end, os.SEEK_SET)
    yield scoreboard
    scoreboard.leave()


def written(scoreboard):
    return os.pread(scoreboard.descriptor, 100_000, scoreboard.end).decode()


def test_an_order_writes_the_stacks_behind_the_shared_memory(scoreboard):
    board = scoreboard.board(1)
    assert stacks.write(scoreboard, {"until": time.monotonic() + 60})
    assert "in test_an_order_writes_the_stacks_behind_the_shared_memory" in written(scoreboard)
    assert board.in_flight.entries() == []


def test_an_order_that_comes_too_late_writes_nothing(scoreboard):
    assert not stacks.write(scoreboard, {"until": time.monotonic()})
    assert written(scoreboard) == ""


def test_without_an_ops_endpoint_there_is_nothing_to_write_to():
    scoreboard = Scoreboard()
    stacks.heed_signal(scoreboard)
    assert not stacks.write(scoreboard, {"until": time.monotonic() + 60})


SIGNALLED = """
import os, signal, sys
from wsgiserve.processes import stacks
from wsgiserve.server.scoreboard import Scoreboard
board = Scoreboard(counting=True)
os.kill(os.getpid(), stacks.SIGNAL)  # Not prepared: it does no harm.
stacks.heed_signal(board)
os.lseek(board.descriptor, board.end, os.SEEK_SET)
def in_here():
    os.kill(os.getpid(), stacks.SIGNAL)
in_here()
sys.stdout.write(os.pread(board.descriptor, 100000, board.end).decode())
"""


def test_a_signal_writes_them_and_does_no_harm_before():
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED],
        cwd=ROOT,
        env=without_coverage(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "in in_here" in done.stdout
