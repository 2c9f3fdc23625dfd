"""The calls on threads: which are due, which were written off, and where a thread is."""

from __future__ import annotations

import logging
import math
import sys
import threading

import pytest

from tests.server.client import SECONDS, wait_until
from tests.server.clock import Clock
from tests.server.threads.fakes import FakeExchange
from wsgiserve.server.errors import RequestTimeout
from wsgiserve.server.threads import calls as module
from wsgiserve.server.threads.calls import Call, Calls, place


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


# -- when something is due


def test_without_limits_nothing_is_ever_due(clock):
    calls = Calls()
    assert not calls.enter(FakeExchange(), 1)
    clock.now += 1e9
    assert calls.take_due() == ([], [])
    assert calls.due == math.inf


def test_first_call_makes_something_due_and_later_ones_nothing_earlier(clock):
    calls = Calls(slow_log=2, timeout=5)
    assert calls.enter(FakeExchange(), 1)
    assert calls.due == 1002
    clock.now += 1
    assert not calls.enter(FakeExchange(), 2)
    assert calls.due == 1002


def test_call_is_slow_once_and_then_overdue_once(clock):
    calls = Calls(slow_log=2, timeout=5)
    exchange = FakeExchange()
    calls.enter(exchange, 1)
    clock.now = 1001.9
    assert calls.take_due() == ([], [])
    clock.now = 1002
    [call], overdue = calls.take_due()
    assert (call.exchange, call.thread, call.age, overdue) == (exchange, 1, 2, [])
    assert calls.take_due() == ([], [])
    assert calls.due == 1005
    clock.now = 1006
    assert calls.take_due() == ([], [call])
    assert calls.take_due() == ([], [])
    assert calls.written_off == {1: call}
    assert calls.due == math.inf


def test_call_that_has_ended_is_not_due(clock):
    calls = Calls(slow_log=2, timeout=5)
    calls.enter(FakeExchange(), threading.get_ident())
    calls.leave()
    clock.now += 10
    assert calls.take_due() == ([], [])


def test_thread_learns_as_it_leaves_that_its_call_was_written_off(clock):
    calls = Calls(timeout=5)
    calls.enter(FakeExchange(), threading.get_ident())
    clock.now += 5
    calls.take_due()
    with pytest.raises(RequestTimeout):
        calls.leave()


def test_call_is_named_by_method_and_path():
    assert str(Call(FakeExchange(path="/report"), 1, 0.0)) == "GET /report"


# -- where a thread is, and whether an exception is raised there


class Held:
    """A thread that runs ``work(go_on)``, which loops in Python until ``go_on`` is set."""

    def __init__(self, work):
        self.go_on = threading.Event()
        self.error = None
        self._work = work
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            self._work(self.go_on)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def ended(self):
        self.thread.join(SECONDS)
        return not self.thread.is_alive()


def spin(go_on):
    while not go_on.is_set():
        pass


def acquire(go_on):
    """Be named as the functions in which a thread takes a lock."""
    while not go_on._flag:
        pass


class SpinningHandler(logging.Handler):
    def __init__(self, go_on):
        super().__init__()
        self.go_on = go_on

    def emit(self, record):
        spin(self.go_on)


def log_a_line(go_on):
    SpinningHandler(go_on).handle(logging.makeLogRecord({}))


def is_in(thread, name):
    """Whether a function with this name runs on a thread."""
    frame = sys._current_frames().get(thread.ident)
    while frame is not None and frame.f_code.co_name != name:
        frame = frame.f_back
    return frame is not None


def test_exception_is_raised_in_a_thread_that_runs_the_app():
    held = Held(spin)
    wait_until(lambda: is_in(held.thread, "spin"))
    Calls(timeout=1).interrupt(Call(FakeExchange(), held.thread.ident, 0.0))
    assert held.ended()
    assert isinstance(held.error, RequestTimeout)


@pytest.mark.parametrize(("work", "name"), [(acquire, "acquire"), (log_a_line, "emit")])
def test_no_exception_is_raised_where_a_lock_may_just_be_taken(work, name):
    held = Held(work)
    wait_until(lambda: is_in(held.thread, name))
    Calls(timeout=1).interrupt(Call(FakeExchange(), held.thread.ident, 0.0))
    held.go_on.set()
    assert held.ended()
    assert held.error is None


def test_no_exception_is_raised_in_a_thread_that_has_ended():
    held = Held(lambda go_on: None)
    assert held.ended()
    calls = Calls(timeout=1)
    calls.interrupt(Call(FakeExchange(), held.thread.ident, 0.0))
    assert place(held.thread.ident) == "the server, which sends or receives for it"


def test_place_names_the_lines_of_the_app_innermost_first():
    held = Held(spin)
    wait_until(lambda: is_in(held.thread, "spin"))
    lines = place(held.thread.ident).split(" < ")
    held.go_on.set()
    assert held.ended()
    names = [line.split()[-1] for line in lines]
    assert names[names.index("spin") :][:2] == ["spin", "_run"]
    assert lines[names.index("spin")].startswith(f"{__file__}:")


def test_interpreter_without_the_means_is_no_failure(monkeypatch):
    monkeypatch.setitem(sys.modules, "ctypes", None)
    assert Calls(timeout=1)._interrupt is None
