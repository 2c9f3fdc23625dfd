"""The supervisor's side of stacks on demand: whom it asks, how, and what it makes of the answers."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time

import pytest

from tests.processes.terms import terms
from tests.program import ROOT, without_coverage
from tests.server.client import wait_until
from wsgiserve.processes.facts import Worker
from wsgiserve.processes.ops.stacks import PATIENCE, Stacks, by_thread
from wsgiserve.server.scoreboard import Scoreboard

CHILD = """
import sys, time
from wsgiserve.processes import stacks
from wsgiserve.server.scoreboard import Scoreboard
class Shared:
    descriptor = int(sys.argv[1])
stacks.heed_signal(Shared)
def busy():
    print("ready", flush=True)
    time.sleep(60)
busy()
"""

# Its frames and code objects come and go, so that looking at them without the lock soon crashes it.
COMPUTING = CHILD.replace(
    "def busy():",
    """
import threading
def compute():
    while True:
        names = {}
        exec("def f(n): return n and f(n - 1)\\nf(300)", names)
for _ in range(16):
    threading.Thread(target=compute, daemon=True).start()
def busy():""",
)


class Case:
    """Stacks, the orders that it sent, and the answers that it gave."""

    def __init__(self):
        self.scoreboard = Scoreboard(counting=True)
        self.orders = []
        self.answers = []
        self.stacks = Stacks(self.scoreboard, lambda worker, order: self.orders.append((worker.pid, order)))

    def ask(self, worker):
        self.stacks.ask(worker, lambda text: self.answers.append((worker.pid, text)))

    def write(self, text):
        os.write(self.scoreboard.descriptor, text)

    def look(self):
        self.stacks.look(time.monotonic())
        return bool(self.answers)


@pytest.fixture
def case():
    case = Case()
    yield case
    case.scoreboard.leave()


def worker(pid=0, state="serving", number=1):
    return Worker(number, 1, terms(), state, pid=pid)


def test_workers_are_asked_one_after_the_other(case):
    case.ask(worker(71))
    case.ask(worker(72))
    ((pid, order),) = case.orders
    assert (pid, order["order"]) == (71, "stacks")
    case.write(b"one")
    case.stacks.hear(order["serial"])
    assert case.answers == [(71, "one")]
    _, (pid, second) = case.orders
    assert pid == 72
    case.stacks.hear(order["serial"])  # Late news of the first.
    case.write(b"two")
    case.stacks.hear(second["serial"])
    assert case.answers == [(71, "one"), (72, "two")]
    assert case.stacks.next_at == math.inf
    assert os.fstat(case.scoreboard.descriptor).st_size == case.scoreboard.end


def test_one_that_ends_meanwhile_has_no_answer(case):
    its = worker(71)
    case.ask(its)
    case.stacks.gone(worker(72))
    assert case.answers == []
    case.stacks.gone(its)
    assert case.answers == [(71, "")]


def test_one_that_cannot_be_signalled_has_no_answer(case):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    case.ask(worker(process.pid, "starting"))
    wait_until(case.look)
    assert case.answers == [(process.pid, "")]


@pytest.mark.slow
@pytest.mark.parametrize("state", ["starting", "serving"])
def test_one_that_does_not_follow_the_order_gets_a_signal(case, state):
    """One that starts gets it at once, and no order."""
    descriptor = case.scoreboard.descriptor
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(descriptor)],
        cwd=ROOT,
        env=without_coverage(),
        pass_fds=[descriptor],
        stdout=subprocess.PIPE,
    ) as child:
        try:
            assert child.stdout.readline() == b"ready\n"
            began = time.monotonic()
            case.ask(worker(child.pid, state))
            assert len(case.orders) == (state == "serving")
            wait_until(case.look)
            assert state == "starting" or time.monotonic() - began >= PATIENCE
        finally:
            child.kill()
    ((pid, text),) = case.answers
    assert pid == child.pid
    (stack,) = by_thread(text).values()
    assert stack.splitlines()[0].endswith(" in busy")


def test_stacks_are_told_apart_by_thread():
    text = (
        "Thread 0x00007f01 (most recent call first):\n"
        '  File "a.py", line 1 in a\n  File "b.py", line 2 in b\n'
        "\n"
        "Current thread 0x00007f02 [name] (most recent call first):\n"
        '  File "c.py", line 3 in c\n'
    )
    assert by_thread(text) == {
        0x7F01: '  File "a.py", line 1 in a\n  File "b.py", line 2 in b',
        0x7F02: '  File "c.py", line 3 in c',
    }
    assert by_thread("") == {}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the threads' processor time")
def test_one_whose_threads_run_in_turn_gets_no_signal(case):
    descriptor = case.scoreboard.descriptor
    with subprocess.Popen(
        [sys.executable, "-c", COMPUTING, str(descriptor)],
        cwd=ROOT,
        env=without_coverage(),
        pass_fds=[descriptor],
        stdout=subprocess.PIPE,
    ) as child:
        try:
            assert child.stdout.readline() == b"ready\n"
            for number in range(3):
                case.ask(worker(child.pid))
                wait_until(lambda: case.look() and len(case.answers) > number)  # noqa: B023 - in this turn
            assert child.poll() is None
        finally:
            child.kill()
    assert case.answers == [(child.pid, "")] * 3
