"""The helper beside a server of one process."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from tests.acme.helpers import NO_CA, helpers_of
from tests.server.client import wait_until
from wsgiserve.acme import attendant as module
from wsgiserve.acme.attendant import Attendant

pytestmark = pytest.mark.slow


def failing(settings, channel):
    raise BlockingIOError(11, "Resource temporarily unavailable")


def test_the_helper_is_started_again_until_it_is_stopped(settings_for, caplog):
    settings = settings_for(NO_CA)
    attendant = Attendant(settings)
    attendant.start()
    try:
        wait_until(lambda: len(helpers_of(settings)) == 1)
        [pid] = helpers_of(settings)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: helpers_of(settings) not in ([], [pid]))
    finally:
        attendant.stop()
    wait_until(lambda: not helpers_of(settings))
    assert "the process that gets certificates was killed by signal 9; another starts in 1 s" in caplog.text


def test_a_child_that_the_app_forks_does_not_keep_the_helper(settings_for):
    settings = settings_for(NO_CA)
    attendant = Attendant(settings)
    attendant.start()
    wait_until(lambda: len(helpers_of(settings)) == 1)
    ours, theirs = socket.socketpair()
    # Real forks of apps do the same: only the hooks at a fork run, and then the child waits.
    code = fork_and_wait(theirs, ours)
    theirs.close()
    attendant.stop()
    wait_until(lambda: not helpers_of(settings))
    ours.close()
    assert os.waitpid(code, 0)[1] == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def fork_and_wait(sock, other):
    pid = os.fork()
    if pid == 0:
        other.close()
        sock.recv(1)
        os._exit(0)
    return pid


def test_a_system_without_processes_is_asked_again(settings_for, monkeypatch, caplog):
    monkeypatch.setattr(module, "start_helper", failing)
    attendant = Attendant(settings_for(NO_CA))
    attendant.start()
    wait_until(lambda: "cannot start: " in caplog.text)
    assert "Resource temporarily unavailable; another starts in 1 s" in caplog.text
    attendant.stop()
