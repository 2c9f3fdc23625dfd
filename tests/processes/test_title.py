"""The names of processes, by the real ``setproctitle``."""

from __future__ import annotations

import sys

import pytest

from tests.processes.programs import serving, who
from tests.server.client import wait_until
from wsgiserve.processes.title import set_title


def title(pid):
    with open(f"/proc/{pid}/cmdline") as file:
        return file.read().rstrip("\0")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="titles are read from /proc")
def test_processes_are_named_after_their_role_and_the_app(folder):
    with serving(folder, "app", "--preload") as (program, port):
        worker, template, _ = who(port)
        assert title(program.process.pid) == "wsgiserve: supervisor [app]"
        assert title(template) == "wsgiserve: template [app]"
        wait_until(lambda: title(worker) == "wsgiserve: worker 1 [app]")
        assert program.stop()[0] == 0


def test_without_the_package_nothing_happens(monkeypatch):
    monkeypatch.setitem(sys.modules, "setproctitle", None)
    assert set_title("worker", "app") is None
