"""The better of two figures leads, unless they are level."""

from __future__ import annotations

import sys
from typing import Literal

import pytest

from bench.servers import ahead

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")


@pytest.mark.parametrize(
    ("ours", "theirs", "better", "leader"),
    [
        (1.0, 2.0, "less", "wsgiserve"),
        (2.0, 1.0, "less", "bjoern"),
        (2.0, 1.0, "more", "wsgiserve"),
        (1.0, 2.0, "more", "bjoern"),
        (1.0, 1.0, "less", ""),
        (1.015, 1.0, "less", ""),
        (0.0, 0.0, "less", ""),
        (0.0, 5.0, "less", "wsgiserve"),
    ],
)
def test_the_better_figure_leads(
    ours: float, theirs: float, better: Literal["less", "more"], leader: str
) -> None:
    comparison = ahead.Comparison(ahead.Measure("speed", "speed", better), ours, "bjoern", theirs)
    assert comparison.leader == leader
    assert comparison.sentence().startswith(f"speed: {leader or 'wsgiserve'} ")
