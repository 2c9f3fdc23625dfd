"""Stops are measured, and failed requests reported."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from bench.servers import drain
from bench.servers.contenders import CONTENDERS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")


@pytest.mark.slow
def test_stop_is_measured(tmp_path: Path) -> None:
    """The kernel has accepted connections that the server has not when it gets SIGTERM."""
    ours = next(contender for contender in CONTENDERS if contender.name == "wsgiserve")
    seen, end = drain.measure(ours, "held", 0, tmp_path)
    assert (seen, end) == ({"answered": drain.HELD}, "0")


def test_lost_requests_are_reported() -> None:
    seen = Counter({"answered": 3000, "lost, kept": 2, "refused": 7})
    ends = Counter({"0": 9, "signal 9": 1})
    assert drain._row("x 1", "blue", 10, seen, ends)[3:] == [
        "3,000",
        "2 on kept ones",
        "0 (9 times), signal 9 (1 times)",
    ]
    assert drain._row("x 1", "told", 10, seen, ends)[4] == "2 on kept ones, 7 refused"
