"""The app gives the answers that the scenarios expect."""

from __future__ import annotations

import sys

import pytest

from bench.servers.checks import check
from bench.servers.scenarios import SCENARIOS, Load

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")

LOADS = [
    (scenario.name, load)
    for scenario in SCENARIOS
    if scenario.app == "bench.servers.app:application"
    for load in scenario.loads
]


@pytest.mark.parametrize("load", [load for _, load in LOADS], ids=[name for name, _ in LOADS])
def test_app_gives_the_answer_that_the_scenario_expects(hello_port: int, load: Load) -> None:
    check(hello_port, load.request, closes=False)
    assert load.request.answer
