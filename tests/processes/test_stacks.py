"""The worker's side of stacks on demand."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.program import ROOT, without_coverage
from wsgiserve.processes import stacks


@pytest.fixture
def file():
    descriptor = stacks.open_file()
    yield descriptor
    os.close(descriptor)


def written(file):
    return os.pread(file, 100_000, 0).decode()


def printed(script):
    """Return what a program prints that goes well."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=without_coverage(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_an_order_writes_the_stacks_from_the_beginning_of_an_emptied_file(file):
    for _ in range(2):
        os.truncate(file, 0)
        assert stacks.write(file, {"until": time.monotonic() + 60})
        assert written(file).startswith(("Thread", "Current thread"))
        assert written(file).count("Current thread") == 1
    assert "in test_an_order_writes_the_stacks_from" in written(file)


def test_an_order_that_comes_too_late_writes_nothing(file):
    assert not stacks.write(file, {"until": time.monotonic()})
    assert written(file) == ""


def test_without_an_ops_endpoint_there_is_nothing_to_write_to():
    stacks.heed_signals(-1)
    assert not stacks.write(-1, {"until": time.monotonic() + 60})


SIGNALLED = """
import os, signal, sys
from wsgiserve.processes import stacks
file = stacks.open_file()
os.kill(os.getpid(), stacks.SIGNAL)  # Not prepared: it does no harm.
stacks.heed_signals(file)
def in_here():
    os.kill(os.getpid(), stacks.SIGNAL)
in_here()
sys.stdout.write(os.pread(file, 100000, 0).decode())
"""


@pytest.mark.skipif(not stacks.CAN_SIGNAL, reason="needs the signal, and its handler")
def test_a_signal_writes_them_and_does_no_harm_before():
    assert "in in_here" in printed(SIGNALLED)


STARTS = """
import os, signal, sys
from wsgiserve.processes import stacks
file = stacks.open_file()
os.kill(os.getpid(), stacks.STARTERS_SIGNAL)  # Not prepared: it does no harm.
stacks.heed_signals(file)
def in_here():
    os.kill(os.getpid(), stacks.STARTERS_SIGNAL)
in_here()
size = os.fstat(file).st_size
stacks.started()
in_here()
assert os.fstat(file).st_size == size
signal.signal(stacks.STARTERS_SIGNAL, own := lambda number, frame: None)
stacks.started()
assert signal.getsignal(stacks.STARTERS_SIGNAL) is own
sys.stdout.write(os.pread(file, 100000, 0).decode())
"""


@pytest.mark.skipif(not stacks.CAN_SIGNAL, reason="needs the signal, and its handler")
def test_a_worker_that_starts_writes_them_on_a_signal_until_it_has_started():
    stacks_of_it = printed(STARTS)
    assert "in in_here" in stacks_of_it
    assert stacks_of_it.endswith("\n\0")
