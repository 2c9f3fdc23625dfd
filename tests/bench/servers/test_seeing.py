"""Servers with metrics and logs take turns; the table has the rounds' ratios. No test judges a figure."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.harness.child import ROOT
from bench.servers import wrk
from bench.servers.seeing import KINDS, Kind, row

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")


def test_ratio_is_the_median_of_the_rounds() -> None:
    """The machine is slow in the second round, and something disturbs the third."""
    nothing, times = [10.0, 20.0, 10.0], [10.2, 20.4, 17.0]
    assert row(Kind("metrics", "", 1.03), times, nothing) == ["metrics", "17.00", "1.020", "1.03", ""]


def test_missed_goal_is_named() -> None:
    assert row(Kind("metrics", "", 1.03), [11.0], [10.0])[-1] == "does not hold"
    assert row(Kind("both", ""), [11.0], [10.0])[-2:] == ["-", ""]


@pytest.mark.slow
@pytest.mark.skipif(wrk.find() is None, reason="needs wrk")
def test_command_prints_a_row_for_each_kind() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bench.servers.seeing", "--starts", "2", "--rounds", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    headings, first, *others = run.stdout.splitlines()
    assert headings.split() == ["µs", "ratio", "goal"]
    assert first.split()[0::2] == ["nothing", "1.000"]
    for line, kind in zip(others, KINDS[1:], strict=True):
        assert line.startswith(kind.name)
        time, ratio = line.removeprefix(kind.name).split()[:2]
        assert float(time) > 0
        assert float(ratio) > 0
