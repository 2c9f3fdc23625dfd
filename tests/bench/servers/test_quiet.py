"""Servers without work are started and watched."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bench.harness.child import Cores
from bench.servers import quiet
from bench.servers.contenders import CONTENDERS, Contender

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")


@pytest.mark.slow
def test_idle_servers_are_started_and_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """wsgiserve, and a server that does not start."""
    monkeypatch.setattr(quiet, "STARTS", 1)
    monkeypatch.setattr(quiet, "SETTLE_SECONDS", 0.1)
    broken = Contender("broken", lambda launch: [sys.executable, "-c", "exit(1)"], lambda: "1")
    ours = next(contender for contender in CONTENDERS if contender.name == "wsgiserve")
    core = min(os.sched_getaffinity(0))
    found = quiet.watch([ours, broken], 0.2, Cores(core, core), tmp_path, lambda line: None)
    assert found["broken"].note.startswith("did not start")
    assert not found["wsgiserve"].note
    ours_found = found["wsgiserve"]
    assert None not in (ours_found.wakes, ours_found.memory, ours_found.start, ours_found.demo)
