"""Signals that are read, blocked and given back."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest

from wsgiserve.processes import signals

# Threads of other tests may be about to end; the forked children here run a few lines only.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

NAMES = ("SIGUSR2", "SIGTTIN", "SIGTTOU")


@pytest.fixture
def reader():
    before = {number: signal.getsignal(number) for number in signals.existing(NAMES)}
    reader = signals.SignalReader(NAMES)
    yield reader
    reader.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def is_readable(reader):
    return bool(select.select([reader], [], [], 0)[0])


def test_signals_are_read_in_order(reader):
    assert not is_readable(reader)
    assert reader.take() == []
    os.kill(os.getpid(), signal.SIGTTIN)
    os.kill(os.getpid(), signal.SIGUSR2)
    os.kill(os.getpid(), signal.SIGTTIN)
    assert is_readable(reader)
    assert reader.take() == [signal.SIGTTIN, signal.SIGUSR2, signal.SIGTTIN]
    assert not is_readable(reader)


def test_a_signal_to_a_forked_child_is_not_read_here(reader):
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGTTIN)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert reader.take() == []


def test_blocked_signals_come_later(reader):
    with signals.blocked():
        signal.raise_signal(signal.SIGUSR2)  # To this thread: a test run may have others.
        assert reader.take() == []
    assert reader.take() == [signal.SIGUSR2]


def test_a_forked_child_keeps_them_blocked_until_it_is_ready(reader):
    with signals.blocked():
        pid = os.fork()
    if pid == 0:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        signals.unblock()
        after = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        os._exit(int(not (signal.SIGUSR2 in mask and signal.SIGUSR2 not in after)))
    assert os.waitpid(pid, 0)[1] == 0
    assert signal.SIGUSR2 not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_restored_signals_have_their_default_meaning(reader):
    assert signal.getsignal(signal.SIGUSR2) is signals.ignore
    signals.restore(NAMES)
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL


def test_a_restored_sigint_raises():
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signals.ignore)
        signals.restore(("SIGINT",))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_program_that_is_executed_does_not_ignore_them():
    code = "import signal; print(signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL)"
    before = signal.signal(signal.SIGUSR2, signals.ignore)
    try:
        assert subprocess.check_output([sys.executable, "-S", "-c", code], text=True) == "True\n"
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_signals_that_the_system_lacks_are_left_out():
    assert signals.existing(("SIGTERM", "SIGNOTHING")) == [signal.SIGTERM]
