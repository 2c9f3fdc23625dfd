"""The supervisor's side of ``--preload``, with templates that the test plays itself."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.processes.terms import terms
from tests.server.client import SECONDS
from wsgiserve.processes import templates
from wsgiserve.processes.channel import Channel
from wsgiserve.processes.children import Children
from wsgiserve.processes.facts import Worker
from wsgiserve.processes.spawn import Birth
from wsgiserve.processes.templates import Templates
from wsgiserve.server.scoreboard import Scoreboard


class Case:
    """``templates`` as the supervisor has them; ``forked`` are the channels of the templates it forked."""

    def __init__(self):
        self.children = Children()
        self.templates = Templates(
            self.children, self.connect, self.lost, self.gone, lambda worker: (None, -1)
        )
        self.channels = {}
        self.forked = []
        self.events = []
        self.socks = []
        self.sleeper = subprocess.Popen(
            [sys.executable, "-S", "-c", "import time; time.sleep(1000)"], stdout=subprocess.DEVNULL
        )

    def fork(self, ours, birth):
        """Stand in for the fork: play the template, whose process only sleeps."""
        assert birth.is_template
        self.forked.append(Channel(birth.sock.dup()))
        return self.sleeper.pid

    def connect(self, worker, start):
        def ended():
            self.templates.hung_up(worker)

        self.channels[worker] = self.children.connect(start, self.events.append, ended)

    def lost(self, worker, reason):
        if worker in self.channels:
            self.children.hang_up(self.channels[worker])
        self.events.append(("lost", worker.number, reason))
        self.templates.forget(worker)

    def gone(self, worker, code):
        self.events.append(("gone", worker.number, code))
        self.templates.forget(worker)

    def start(self, number, generation=1):
        worker = Worker(number, generation, terms())
        self.templates.fork(worker, lambda theirs: Birth(theirs, [], Scoreboard(), number))
        return worker

    def say(self, template=0, **message):
        self.forked[template].send(**message)
        self.turn()

    def turn(self):
        self.children.wait(time.monotonic() + SECONDS)

    def order(self, template=0):
        """Take an order as the template does; return the number and the worker's end of its channel."""
        (order,), (descriptor,) = self.forked[template].receive_with_descriptors()
        assert order["order"] == "fork"
        return order["number"], socket.socket(fileno=descriptor)

    def born(self, worker, pid=77):
        """Have a worker ordered and forked; return its end of its channel."""
        number, sock = self.order()
        assert number == worker.number
        self.say(event="born", number=number, pid=pid)
        self.socks.append(sock)
        return sock

    def hang_up(self, sock):
        """End a worker's channel."""
        sock.close()
        self.turn()

    def die(self, template=0):
        """End a template's channel, and its process."""
        self.forked[template].close()
        self.turn()

    def end(self):
        self.sleeper.kill()
        self.sleeper.wait()
        for template in list(self.templates._templates.values()):
            self.templates._let_go(template)
        self.children.close()
        for closed in (*self.socks, *self.forked, *self.channels.values()):
            closed.close()


@pytest.fixture
def case(monkeypatch):
    case = Case()
    monkeypatch.setattr(templates, "fork", case.fork)
    yield case
    case.end()


def test_workers_of_a_generation_have_one_template(case):
    workers = [case.start(1), case.start(2)]
    case.start(3, generation=2)
    assert len(case.forked) == 2
    assert all(map(case.templates.has, workers))
    assert case.channels == {}, "nothing is sent to a template that imports the app"


def test_orders_are_sent_one_by_one(case):
    first, second = case.start(1), case.start(2)
    case.say(event="ready")
    case.born(first, pid=77)
    case.born(second, pid=78)
    assert (first.pid, second.pid) == (77, 78)
    third = case.start(3)
    case.born(third, pid=79)
    assert case.events == []


def test_the_end_of_a_worker_is_told_by_its_template(case):
    worker = case.start(1)
    case.say(event="ready")
    sock = case.born(worker)
    case.hang_up(sock)
    assert case.events == [], "its template will tell"
    case.say(event="gone", number=1, code=-9)
    assert case.events == [("gone", 1, -9)]
    assert not case.templates.has(worker)


def test_a_fork_that_the_system_refuses_is_a_lost_worker_and_the_next_one_is_ordered(case):
    case.start(1)
    second = case.start(2)
    case.say(event="ready")
    case.order()[1].close()
    case.say(event="refused", number=1, reason="no memory")
    assert case.events == [("lost", 1, "wsgiserve: the system refuses another process: no memory")]
    case.born(second)


def test_an_app_that_cannot_be_imported_loses_all_workers_with_its_reason(case):
    case.start(1)
    case.start(2)
    case.say(event="failed", reason="their traceback")
    assert case.events == []
    case.die()
    assert case.events == [("lost", 1, "their traceback"), ("lost", 2, "their traceback")]


def test_a_template_that_dies_orphans_its_workers_and_loses_the_others(case):
    first, _ = case.start(1), case.start(2)
    case.say(event="ready")
    number, sock = case.order()
    case.forked[0].send(event="born", number=number, pid=77)  # Not read yet when the template is reaped.
    case.templates.reaped(case.sleeper.pid, "was killed by SIGKILL")
    assert case.events == [("lost", 2, "wsgiserve: the template was killed by SIGKILL")]
    assert first.pid == 77
    case.hang_up(sock)
    assert case.events[1:] == [("gone", 1, None)]


@pytest.mark.parametrize("order", ["channel first", "template first"])
def test_a_worker_without_template_and_channel_has_ended(case, order):
    worker = case.start(1)
    case.say(event="ready")
    sock = case.born(worker)
    if order == "channel first":
        case.hang_up(sock)
        case.die()
    else:
        case.die()
        assert case.events == []
        case.hang_up(sock)
    assert case.events == [("gone", 1, None)]


def test_a_worker_that_is_being_forked_when_its_template_dies_is_lost(case):
    """It may live, but nobody knows it: its channel is closed, which ends it."""
    case.start(1)
    case.say(event="ready")
    _, sock = case.order()
    case.die()
    assert case.events == [("lost", 1, "wsgiserve: the template has ended")]
    sock.close()


def test_the_end_of_another_process_is_no_template_s(case):
    case.start(1)
    case.templates.reaped(case.sleeper.pid + 1, "ended")
    assert case.events == []
    case.templates.keep({1})
    assert not case.templates.over


def test_a_worker_that_is_not_needed_is_not_ordered(case):
    first, second = case.start(1), case.start(2)
    case.templates.cancel(first)
    assert case.events == [("lost", 1, "")]
    case.say(event="ready")
    case.templates.cancel(second)
    assert case.events[1:] == [], "the order was sent"
    case.born(second)


def test_a_template_is_kept_for_its_generation_and_while_its_workers_live(case):
    worker = case.start(1)
    case.say(event="ready")
    case.born(worker)
    case.templates.keep({1, 0})
    case.templates.keep({2, 0})
    case.say(event="gone", number=1, code=0)
    assert not case.templates.over
    case.templates.keep({2, 0})
    assert case.forked[0].receive_with_descriptors()[0] is None, "the template has nothing to do any more"
    assert not case.templates.over
    case.templates.reaped(case.sleeper.pid, "ended with exit code 0")
    assert case.templates.over


def test_a_template_that_does_not_end_is_killed(case):
    case.start(1)
    case.templates.cancel(next(iter(case.templates._workers)))
    case.templates.keep(())
    until = case.templates.next_at
    assert until <= time.monotonic() + templates.END_SECONDS
    case.templates.kill_late(until - 1)
    assert case.sleeper.poll() is None
    case.templates.kill_late(until)
    assert case.sleeper.wait(SECONDS) == -signal.SIGKILL
    assert case.templates.next_at == until + templates.END_SECONDS


def test_workers_of_a_template_before_a_re_exec_are_orphans(case):
    worker = Worker(1, 1, terms(), pid=77)
    assert not case.templates.has(worker)
    case.templates.adopt(worker)
    assert case.templates.has(worker)
    case.templates.hung_up(worker)
    assert case.events == [("gone", 1, None)]


def test_a_channel_to_a_worker_that_cannot_be_opened_is_a_lost_worker(case):
    def refuse(worker, start):
        raise OSError(24, "Too many open files")

    case.start(1)
    case.templates._connect = refuse
    case.say(event="ready")
    reason = "wsgiserve: the system refuses another process: [Errno 24] Too many open files"
    assert case.events == [("lost", 1, reason)]


def test_a_template_whose_end_was_missed_is_over_when_it_is_to_be_killed(case):
    case.start(1)
    case.templates.cancel(next(iter(case.templates._workers)))
    case.templates.keep(())
    case.sleeper.kill()
    case.sleeper.wait()  # Reaped, and nobody tells the templates.
    assert not case.templates.over
    case.templates.kill_late(case.templates.next_at)
    assert case.templates.over
