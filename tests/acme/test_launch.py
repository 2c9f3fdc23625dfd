"""Starting the helper: when again, and with which modules."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from tests.acme.helpers import NO_CA
from tests.server.client import wait_until
from wsgiserve.acme.launch import FIRST_PAUSE, LONGEST_PAUSE, STABLE, pause_after, start_helper
from wsgiserve.acme.schedule import State


def test_a_helper_that_dies_again_and_again_is_started_ever_later():
    pause, pauses = 0.0, []
    for _ in range(8):
        pause = pause_after(pause, 0.5)
        pauses.append(pause)
    assert pauses[:4] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, 8 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    assert pause_after(LONGEST_PAUSE, STABLE) == FIRST_PAUSE


@pytest.mark.slow
def test_modules_of_the_app_do_not_stand_in_the_helper_s_way(settings_for, tmp_path, monkeypatch):
    """Neither in the current folder nor in PYTHONPATH, where an app of Acme Corporation may lie."""
    settings = settings_for(NO_CA)
    (tmp_path / "acme.py").write_text("raise SystemExit('the app was imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ours, theirs = socket.socketpair()
    with ours, theirs, start_helper(settings, theirs) as process:
        theirs.close()
        storage = settings.storage()
        wait_until(lambda: State.of(storage.read(storage.state)).failures == 1)
        process.send_signal(signal.SIGINT)  # As Ctrl+C does to all processes of a terminal.
        ours.send(b"\n")
        assert process.poll() is None
        ours.close()
        assert process.wait(10) == 0
    assert os.listdir(storage.answers) == []
