"""The helper that gets certificates, as the supervisor runs it."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.acme.helpers import NO_CA, helpers_of
from tests.server.client import SECONDS
from wsgiserve.acme.settings import Settings
from wsgiserve.processes import certificates as module
from wsgiserve.processes.certificates import CertificateHelper
from wsgiserve.processes.children import Children, how_it_ended

pytestmark = pytest.mark.slow


class Case:
    """The part of a supervisor's loop that looks after the helper."""

    def __init__(self, settings):
        self.settings = settings
        self.children = Children()
        self.helper = CertificateHelper(self.children, settings)
        self.wanted = True

    def turn_until(self, condition):
        until = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < until
            now = time.monotonic()
            self.helper.keep(now, wanted=self.wanted)
            self.children.wait(min(self.helper.next_at, now + 0.01))
            for pid, code in self.children.reap():
                self.helper.ended(pid, how_it_ended(code), time.monotonic())

    def running(self):
        return helpers_of(self.settings)

    def end(self):
        self.wanted = False
        self.turn_until(lambda: self.helper.over)
        self.children.close()


@pytest.fixture
def case(tmp_path):
    settings = Settings(("shop.example",), NO_CA.directory, "", "", str(tmp_path), ("http-01",))
    settings.storage().open()
    case = Case(settings)
    yield case
    case.end()


def test_it_runs_while_it_is_wanted(case):
    case.wanted = False
    case.helper.keep(time.monotonic(), wanted=False)
    assert case.running() == []
    case.wanted = True
    case.turn_until(lambda: len(case.running()) == 1)
    case.wanted = False
    case.turn_until(lambda: case.helper.over)
    assert case.running() == []


def test_one_that_dies_is_started_again_after_a_pause(case, log):
    case.turn_until(lambda: len(case.running()) == 1)
    [pid] = case.running()
    os.kill(pid, signal.SIGKILL)
    case.turn_until(lambda: case.running() not in ([], [pid]))
    assert "the process that gets certificates was killed by SIGKILL; another starts in 1 s" in log.text


def test_a_refused_process_is_an_error_and_tried_again(case, log, monkeypatch):
    tries = []

    def refuse(settings, channel):
        tries.append(time.monotonic())
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(module, "start_helper", refuse)
    case.turn_until(lambda: len(tries) == 2)
    assert tries[1] - tries[0] > 0.9
    assert "cannot start: [Errno 11] Resource temporarily unavailable; another starts in 1 s" in log.text


def test_it_is_told_to_look_again(case):
    storage = case.settings.storage()
    case.helper.look()  # It does not run: it will look when it starts.
    case.turn_until(lambda: storage.read(storage.state))
    storage.publish(storage.state, {})
    case.helper.look()
    case.turn_until(lambda: storage.read(storage.state))
