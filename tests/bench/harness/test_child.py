"""A server is started on its core, and killed after its turn."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bench.harness import child, proc

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")


def test_contender_that_cannot_start_says_why(tmp_path: Path) -> None:
    line = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    starting = child.running(line, child.free_port(), 0, tmp_path, tmp_path / "log")
    with pytest.raises(child.UnfitError, match="no such thing"), starting:
        pass


def test_contender_is_gone_after_its_turn(tmp_path: Path) -> None:
    port = child.free_port()
    line = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    core = min(os.sched_getaffinity(0))
    with child.running(line, port, core, tmp_path, tmp_path / "log") as running:
        assert os.sched_getaffinity(running.pid) == {core}
    assert proc.tree(running.pid) == []
