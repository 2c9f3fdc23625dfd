"""The tables of servers and scenarios are consistent, and the commands follow them."""

from __future__ import annotations

import sys

import pytest

from bench.servers import measure
from bench.servers.contenders import CONTENDERS, Contender
from bench.servers.scenarios import BROWSER, SCENARIOS, Scenario

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")

SCENARIO_NAMES = [scenario.name for scenario in SCENARIOS]


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([contender.name for contender in CONTENDERS], id="contenders"),
        pytest.param(SCENARIO_NAMES, id="scenarios"),
    ],
)
def test_names_are_unique_and_fit_the_command_line(names: list[str]) -> None:
    assert len(set(names)) == len(names)
    assert not [name for name in names if "," in name or " " in name]


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_command_names_the_port_in_every_scenario(contender: Contender) -> None:
    lines = [measure.command(contender, scenario, port=54321) for scenario in SCENARIOS]
    assert all("54321" in " ".join(line) for line in lines)


def test_wsgiserve_is_started_with_default_options() -> None:
    ours = next(contender for contender in CONTENDERS if contender.name == "wsgiserve")
    line = measure.command(ours, SCENARIOS[0], port=54321)
    assert line[1:] == (
        *("-m", "wsgiserve", "bench.servers.app:application"),
        *("--bind", "127.0.0.1:54321", "--no-access-log"),
    )


@pytest.mark.parametrize(
    ("name", "threads"),
    [("wsgiserve", "512"), ("waitress-64", "--threads=512"), ("waitress", None)],
)
def test_scenario_changes_a_set_number_of_threads_only(name: str, threads: str | None) -> None:
    contender = next(contender for contender in CONTENDERS if contender.name == name)
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == "sleep-512")
    line = measure.command(contender, scenario)
    assert [word for word in line if "512" in word] == ([threads] if threads else [])


def test_scenario_of_several_processes_is_for_those_that_can_have_them() -> None:
    scenario = next(scenario for scenario in SCENARIOS if scenario.workers)
    for contender in CONTENDERS:
        line = " ".join(measure.command(contender, scenario))
        single = " ".join(measure.command(contender, SCENARIOS[0]))
        assert (line != single) == contender.forks
        if contender.version() is not None and contender.name != "floor":
            assert (measure.unfit(contender, scenario) == "runs one process") == (not contender.forks)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario_is_compared_with_an_earlier_one(scenario: Scenario) -> None:
    place = SCENARIO_NAMES.index(scenario.name)
    assert scenario.against is None or scenario.against in SCENARIO_NAMES[:place]


def test_browser_sends_twelve_headers_with_host() -> None:
    assert len({name.lower() for name, _ in BROWSER} | {"host"}) == 12
