"""The faults of a run are found."""

from __future__ import annotations

import sys

import pytest

from bench.servers import measure, wrk
from bench.servers.scenarios import SCENARIOS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")


@pytest.mark.parametrize(
    ("name", "results", "faults"),
    [
        pytest.param("minimal", [(9, 16.0, "")], [], id="sound"),
        pytest.param(
            "minimal", [(9, 1.2, "")], ["leaves clients waiting: serves 1 of 16 at a time"], id="kept-out"
        ),
        pytest.param("connect", [(9, 1.2, "")], [], id="connecting-is-not-counted"),
        pytest.param("mix", [(9, 16.0, ""), (0, 0.0, "")], ["no answer for /sleep in 2 s"], id="no-answer"),
        pytest.param("minimal", [(9, 16.0, "9 non-2xx")], ["9 non-2xx"], id="from-wrk"),
    ],
)
def test_faults_are_named(name: str, results: list[tuple[int, float, str]], faults: list[str]) -> None:
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == name)
    given = [wrk.Result(count, 100.0, busy, 1.0, 2.0, words) for count, busy, words in results]
    assert list(measure._faults(scenario, given, seconds=2)) == faults
