"""The supervisor's side of stacks on demand: whom it asks, how, and what it makes of the answers."""

from __future__ import annotations

import ctypes
import math
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from tests.processes.terms import terms
from tests.program import ROOT, without_coverage
from tests.server.client import wait_until
from wsgiserve.processes.facts import Worker
from wsgiserve.processes.ops.stacks import PATIENCE, Stacks, by_thread
from wsgiserve.processes.stacks import CAN_SIGNAL

CHILD = """
import sys, time
from wsgiserve.processes import stacks
stacks.heed_signals(int(sys.argv[1]))
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

# One thread computes, and it is not the main one.
ALONE = CHILD.replace(
    "def busy():",
    """
import threading
def compute():
    while True: pass
threading.Thread(target=compute, daemon=True).start()
def busy():""",
)


# The main thread runs Python code, and calls deeply all the time.
IMPORTING = CHILD.replace(
    "time.sleep(60)",
    """
    def deep(n): return n and deep(n - 1)
    while True: deep(200)""",
)

# It never comes back to Python code, and keeps the lock.
STUCK = CHILD.replace(
    "time.sleep(60)", "import collections, itertools; collections.deque(itertools.repeat(1), maxlen=0)"
)


class Case:
    """Stacks, the orders that it sent, and the answers that it gave."""

    def __init__(self):
        self.orders = []
        self.answers = []
        self.stacks = Stacks(lambda worker, order: self.orders.append((worker.pid, order)))

    def ask(self, worker):
        self.stacks.open(worker)
        self.stacks.ask(worker, lambda text: self.answers.append((worker.pid, text)))

    def write(self, worker, text):
        os.write(self.stacks.descriptor(worker), text)

    def look(self):
        self.stacks.look(time.monotonic())
        return bool(self.answers)

    @contextmanager
    def child(self, code=CHILD, state="serving"):
        """Run a process that writes its stacks on the signal; yield its worker."""
        its = worker(0, state)
        descriptor = self.stacks.open(its)
        with subprocess.Popen(
            [sys.executable, "-c", code, str(descriptor)],
            cwd=ROOT,
            env=without_coverage(),
            pass_fds=[descriptor],
            stdout=subprocess.PIPE,
        ) as process:
            try:
                assert process.stdout.readline() == b"ready\n"
                its.born(process.pid)
                yield its
                assert process.poll() is None
            finally:
                process.kill()


@pytest.fixture
def case():
    case = Case()
    yield case
    case.stacks.leave()


def worker(pid=0, state="serving", number=1):
    return Worker(number, 1, terms(), state, pid=pid)


def test_workers_are_asked_one_after_the_other(case):
    first, other = worker(71), worker(72)
    case.ask(first)
    case.ask(other)
    ((pid, order),) = case.orders
    assert (pid, order["order"]) == (71, "stacks")
    case.write(first, b"one")
    case.stacks.hear(order["serial"])
    assert case.answers == [(71, "one")]
    _, (pid, second) = case.orders
    assert pid == 72
    case.stacks.hear(order["serial"])  # Late news of the first.
    case.write(first, b"late")
    case.write(other, b"two")
    case.stacks.hear(second["serial"])
    assert case.answers == [(71, "one"), (72, "two")]
    assert case.stacks.next_at == math.inf
    assert os.fstat(case.stacks.descriptor(other)).st_size == 0


def test_what_came_too_late_is_in_no_later_answer(case):
    its = worker(71)
    for text in (b"one", b"two"):
        case.ask(its)
        case.write(its, text)
        case.stacks.hear(case.orders[-1][1]["serial"])
        case.write(its, b"late")
    assert case.answers == [(71, "one"), (71, "two")]


def test_one_that_ends_meanwhile_has_no_answer(case):
    its = worker(71)
    case.ask(its)
    case.stacks.gone(worker(72))
    assert case.answers == []
    case.stacks.gone(its)
    assert case.answers == [(71, "")]
    assert case.stacks.descriptor(its) == -1


def test_one_without_a_file_has_no_answer(case):
    case.stacks.ask(worker(71), lambda text: case.answers.append(text))
    assert (case.answers, case.orders) == ([""], [])


def test_files_are_handed_on_and_left(case):
    its, other = worker(71), worker(72)
    descriptors = [case.stacks.open(its), case.stacks.open(other)]
    assert case.stacks.open(its) == descriptors[0]
    case.stacks.leave(but=descriptors[1])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptors[0])
    case.stacks.adopt(other, descriptors[1])
    case.ask(other)
    case.write(other, b"one")
    case.stacks.hear(case.orders[-1][1]["serial"])
    assert case.answers == [(72, "one")]


def test_one_that_cannot_be_signalled_has_no_answer(case):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    case.ask(worker(process.pid, "starting"))
    wait_until(case.look)
    assert case.answers == [(process.pid, "")]


@pytest.mark.slow
@pytest.mark.skipif(not CAN_SIGNAL, reason="needs the signal, and its handler")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the threads' processor time")
@pytest.mark.parametrize("state", ["starting", "serving"])
def test_one_that_does_not_follow_the_order_gets_a_signal(case, state):
    """One that starts gets it at once, and no order."""
    with case.child(state=state) as child:
        began = time.monotonic()
        case.ask(child)
        assert len(case.orders) == (state == "serving")
        wait_until(case.look)
        assert state == "starting" or time.monotonic() - began >= PATIENCE
    ((pid, text),) = case.answers
    assert pid == child.pid
    (stack,) = by_thread(text).values()
    assert stack.splitlines()[0].endswith(" in busy")


@pytest.mark.slow
@pytest.mark.skipif(not CAN_SIGNAL, reason="needs the signal, and its handler")
def test_one_that_starts_writes_them_itself_if_it_runs_python_code(case):
    """With the lock: to look at frames that change would crash it now and then."""
    with case.child(IMPORTING, state="starting") as child:
        for number in range(300):
            case.ask(child)
            wait_until(lambda: case.look() and len(case.answers) > number)  # noqa: B023 - in this turn
    for _, text in case.answers:
        assert text.endswith("\0")
        (stack,) = by_thread(text).values()
        assert re.match(r'  File "<string>", line \d+ in (deep|busy)$', stack, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the threads' processor time")
def test_one_that_starts_and_is_stuck_in_a_call_gets_the_other_signal(case):
    with case.child(STUCK, state="starting") as child:
        case.ask(child)
        wait_until(case.look)
    ((_, text),) = case.answers
    (stack,) = by_thread(text).values()
    assert stack.splitlines()[0].endswith(" in busy")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the threads' processor time")
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "tgkill"), reason="needs glibc's tgkill")
def test_the_thread_that_runs_gets_the_signal_itself(case):
    """Nothing moves then while it writes: another thread would look at frames that change."""
    with case.child(ALONE) as child:
        for number in range(5):
            case.ask(child)
            wait_until(lambda: case.look() and len(case.answers) > number)  # noqa: B023 - in this turn
    for _, text in case.answers:
        assert re.search(r'^Current thread .*\n  File "<string>", line \d+ in compute$', text, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the threads' processor time")
def test_one_that_follows_the_signal_late_writes_into_no_other_answer(case):
    with case.child(state="starting") as late, case.child() as child:
        os.kill(late.pid, signal.SIGSTOP)
        case.ask(late)
        wait_until(case.look)
        case.ask(child)
        case.write(child, b"one\n")
        os.kill(late.pid, signal.SIGCONT)
        wait_until(lambda: os.fstat(case.stacks.descriptor(late)).st_size)
        case.write(child, b"two\n")
        case.stacks.hear(case.orders[-1][1]["serial"])
    assert case.answers == [(late.pid, ""), (child.pid, "one\ntwo\n")]


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
    with case.child(COMPUTING) as child:
        for number in range(3):
            case.ask(child)
            wait_until(lambda: case.look() and len(case.answers) > number)  # noqa: B023 - in this turn
    assert case.answers == [(child.pid, "")] * 3
