"""The supervisor's side of ``--preload``, with templates that the test plays itself."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

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
        self.templates = Templates(self.children, self.lost, self.gone)
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

    def lost(self, worker, reason):
        self.events.append(("lost", worker.number, reason))

    def gone(self, worker, code):
        self.events.append(("gone", worker.number, code))
        self.templates.forget(worker)

    def start(self, number, generation=1):
        worker = Worker(number, generation)
        ours, theirs = socket.socketpair()
        self.socks += ours, theirs
        self.templates.fork(worker, Birth(theirs, [], Scoreboard(), number), ours)
        return worker

    def say(self, template=0, **message):
        self.forked[template].send(**message)
        self.children.wait(time.monotonic() + SECONDS)

    def end(self):
        self.templates.close()
        self.sleeper.kill()
        self.sleeper.wait()
        self.children.close()
        for closed in (*self.socks, *self.forked):
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
    for number in (1, 2):
        orders, (descriptor,) = case.forked[0].receive_with_descriptors()
        assert orders == [{"order": "fork", "number": number}]
        os.close(descriptor)
    assert all(map(case.templates.has, workers))


def test_a_worker_that_was_forked_has_its_process_id(case):
    worker = case.start(1)
    case.say(event="ready")
    case.say(event="born", number=1, pid=77)
    assert worker.pid == 77


def test_the_end_of_a_worker_is_told_by_its_template(case):
    worker = case.start(1)
    case.say(event="born", number=1, pid=77)
    assert not case.templates.is_orphan(worker)
    case.say(event="gone", pid=77, code=-9)
    case.say(event="gone", pid=78, code=0)  # of a child of the app
    assert case.events == [("gone", 1, -9)]
    assert not case.templates.has(worker)


def test_a_fork_that_the_system_refuses_is_a_lost_worker(case):
    case.start(1)
    case.say(event="refused", number=1, reason="no memory")
    assert case.events == [("lost", 1, "the system refuses another process: no memory")]


def test_an_app_that_cannot_be_imported_loses_all_workers_with_its_reason(case):
    case.start(1)
    case.start(2)
    case.say(event="failed", reason="their traceback")
    assert case.events == []
    case.forked[0].close()
    case.children.wait(time.monotonic() + SECONDS)
    assert case.events == [("lost", 1, "their traceback"), ("lost", 2, "their traceback")]


def test_a_template_that_dies_orphans_its_workers_and_loses_the_others(case):
    first, _ = case.start(1), case.start(2)
    case.forked[0].send(event="born", number=1, pid=77)  # Not read yet when the template is reaped.
    case.templates.reaped(case.sleeper.pid, "was killed by SIGKILL")
    assert case.events == [("lost", 2, "wsgiserve: the template was killed by SIGKILL")]
    assert first.pid == 77
    assert case.templates.is_orphan(first)


def test_the_end_of_another_process_is_no_template_s(case):
    worker = case.start(1)
    case.templates.reaped(case.sleeper.pid + 1, "ended")
    assert case.events == []
    assert not case.templates.is_orphan(worker)


def test_a_template_is_kept_for_its_generation_and_while_its_workers_live(case):
    worker = case.start(1)
    case.say(event="ready")
    case.say(event="born", number=1, pid=77)
    case.templates.keep({1, 0})
    case.templates.keep({2, 0})
    assert not case.templates.is_orphan(worker)
    case.say(event="gone", pid=77, code=0)
    case.templates.keep({2, 0})
    assert case.forked[0].sock.recv(1000).startswith(b'{"order": "fork"')
    assert case.forked[0].sock.recv(1000) == b"", "the template has nothing to do any more"
    assert case.sleeper.poll() is None


def test_a_template_that_still_imports_is_terminated_with_its_generation(case):
    case.start(1)
    case.templates.keep({2, 0})
    assert case.events == [("lost", 1, "wsgiserve: the template has ended")]
    assert case.sleeper.wait(SECONDS) == -signal.SIGTERM


def test_workers_of_a_template_before_a_re_exec_are_orphans(case):
    worker = Worker(1, 1, pid=77)
    assert not case.templates.has(worker)
    case.templates.adopt(worker)
    assert case.templates.has(worker)
    assert case.templates.is_orphan(worker)
