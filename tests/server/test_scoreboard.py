"""How workers see which of them has more connections."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from wsgiserve.server.scoreboard import ROWS, SLACK, Scoreboard

ROOT = Path(__file__).parents[2]


def test_worker_with_more_connections_is_ahead():
    scoreboard = Scoreboard()
    first, second = scoreboard.row(1), scoreboard.row(2)
    first.set(5)
    assert first.place() == "alone"
    second.set(5)
    assert (first.place(), second.place()) == ("even", "even")
    first.set(5 + SLACK)
    assert first.place() == "even"
    first.set(5 + SLACK + 1)
    assert (first.place(), second.place()) == ("ahead", "even")
    second.leave()
    assert first.place() == "alone"


def test_a_worker_that_has_left_does_not_count():
    scoreboard = Scoreboard()
    first, second = scoreboard.row(1), scoreboard.row(ROWS + 2)
    first.set(9)
    second.set(0)
    assert first.place() == "ahead"
    scoreboard.row(ROWS + 2).leave()
    assert first.place() == "alone"


FORKING = """
import os
from wsgiserve.server.scoreboard import Scoreboard
scoreboard = Scoreboard()
scoreboard.row(1).set(3)
pid = os.fork()
if pid == 0:
    scoreboard.row(2).set(0)
    os._exit(0)
os.waitpid(pid, 0)
print(scoreboard.row(1).place())
"""


def test_another_process_sees_it():
    shown = subprocess.run(
        [sys.executable, "-c", FORKING], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert shown.stdout == "ahead\n"
