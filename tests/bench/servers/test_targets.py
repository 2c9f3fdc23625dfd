"""Targets are judged by the figures of a run; missing figures are explained."""

from __future__ import annotations

import itertools
import sys

import pytest

from bench.servers import measure, quiet, targets
from bench.servers.contenders import CONTENDERS
from bench.servers.scenarios import SCENARIOS
from tests.bench.servers.figures import QUIET, TABLE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")


@pytest.mark.parametrize("target", targets.TARGETS, ids=lambda target: target.title)
def test_target_has_a_figure_when_all_took_part(target: targets.Target) -> None:
    """All figures are 4, so a ratio of two is 1; memory is 4 KiB or 4 MiB."""
    cell = measure.Cell(4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4096.0)
    table: measure.Table = {}
    for contender, scenario in itertools.product(CONTENDERS, SCENARIOS):
        if targets.compares(contender, scenario):
            table.setdefault(scenario.name, {})[contender.name] = cell
    at_rest = {contender.name: quiet.Quiet(4.0, 4 << 20, 4.0, 4.0) for contender in CONTENDERS}
    judged = targets._judge(target, targets.Figures(table, at_rest))
    assert judged.figure in (1.0, 4.0, 4 / 1280, 4 / 10240)
    assert not judged.note
    assert {judged.first, judged.then} <= {"holds", "does not hold", ""}
    assert judged.first or judged.then


def test_limits_are_a_sign_and_a_number() -> None:
    limits = [limit for target in targets.TARGETS for limit in (target.first, target.then) if limit]
    assert len(limits) == 53
    assert all(sign in targets.SIGNS and float(number) for sign, number in map(str.split, limits))


def judged(table: measure.Table, title: str) -> targets.Judged:
    return next(each for each in targets.judge(table, QUIET) if each.target.title.startswith(title))


def test_target_is_judged_in_both_columns() -> None:
    floor = judged(TABLE, "Minimal: CPU, times the floor")
    assert (floor.figure, floor.first, floor.then) == (1.6, "holds", "does not hold")


def test_best_of_several_leaves_out_faults_and_says_so() -> None:
    row = judged(TABLE, "Minimal: CPU, times that of the better")
    assert (row.figure, row.first, row.note) == (0.8, "holds", "without bjoern (9 non-2xx)")


@pytest.mark.parametrize(
    ("table", "title", "note"),
    [
        pytest.param(TABLE, "Browser", "browser was not run", id="no-scenario"),
        pytest.param(
            TABLE, "Beside 16 slow: answers/s, times gr", "granian-64 (did not take part)", id="no-peer"
        ),
        pytest.param(
            TABLE | {"mix": {"wsgiserve": measure.Cell(rate=9.0, p99=0.5, note="9 time-outs")}},
            "Beside 16 slow: p99, ms",
            "wsgiserve (9 time-outs)",
            id="a-fault-of-ours",
        ),
    ],
)
def test_target_without_a_figure_says_why(table: measure.Table, title: str, note: str) -> None:
    row = judged(table, title)
    assert (row.figure, row.note) == (None, note)
    assert "no figure" in (row.first, row.then)


def test_targets_are_summed_up() -> None:
    first, then = targets.summary(targets.judge(TABLE, QUIET))
    assert first.startswith(
        "First: 5 of 23 targets hold. Do not hold: Beside 16 slow: p99, ms. Without a figure: "
    )
    assert then.startswith(
        "Then: 2 of 30 targets hold. Do not hold: Minimal: CPU, times the floor's; First answer"
    )
