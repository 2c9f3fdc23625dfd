"""The main command lists the names that it knows and refuses others. No test judges a figure."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner

from bench.__main__ import main
from bench.servers.contenders import CONTENDERS
from bench.servers.scenarios import SCENARIOS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")


def test_list_shows_every_name() -> None:
    result = CliRunner().invoke(main, ["--list"])
    assert result.exit_code == 0
    listed = {line.split(" ")[0] for line in result.output.splitlines() if line}
    assert listed == {contender.name for contender in CONTENDERS} | {scenario.name for scenario in SCENARIOS}


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    result = CliRunner().invoke(main, ["--contenders", "nobody"])
    assert result.exit_code == 2
    assert "unknown: nobody; known: floor, wsgiserve" in result.output
