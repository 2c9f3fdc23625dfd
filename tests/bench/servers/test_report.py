"""The report has the figures, their ratios, and no path of this machine."""

from __future__ import annotations

import sys

import pytest

from bench.harness.child import ROOT
from bench.servers import report
from tests.bench.servers.figures import RUN

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")


def _row(text: str, name: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(name))
    return [part.strip() for part in line.split("  ") if part]


def test_ratios_are_to_the_floor_and_to_the_best_peer_that_counts() -> None:
    """bjoern has a fault, gunicorn-sync hardly any answers."""
    row = _row(report.terminal(RUN), "wsgiserve")
    assert row[1:6] == ["8.0", "1.60", "0.80", "90,000", "1.50"]


def test_missing_peer_is_a_row() -> None:
    assert _row(report.terminal(RUN), "waitress")[-1] == "not installed"


def test_scenario_is_compared_with_the_easier_one() -> None:
    assert "against minimal: 0.90 of its answers/s" in report.terminal(RUN)


def test_servers_without_work_are_a_table() -> None:
    text = report.terminal(RUN).partition(report.QUIET_TITLE)[2]
    assert _row(text, "wsgiserve")[1:] == ["0.0", "20.0", "95", "130"]
    assert _row(text, "waitress")[-1] == "not installed"


def test_page_names_no_path_of_this_machine() -> None:
    page = report.markdown(RUN, {"minimal": "a.svg", "mix": "b.svg"})
    assert "![Minimal GET, keep-alive](a.svg)" in page
    assert "python uwsgi --home VIRTUAL_ENV --pythonpath ." in page
    assert "-s bench/servers/wrk.lua http://127.0.0.1:8000/sleep" in page
    assert sys.prefix not in page
    assert str(ROOT) not in page


def test_page_says_first_who_is_ahead_how_often() -> None:
    page = report.markdown(RUN, {"minimal": "a.svg", "mix": "b.svg"})
    assert " ".join(page.splitlines()[2:4]) == (
        "In 9 comparisons with the best peer, which is not always the same one, wsgiserve is ahead in 5, "
        "level in 0 and behind in 4."
    )


def test_page_opens_with_the_targets_and_the_leads_of_peers() -> None:
    page = report.markdown(RUN, {"minimal": "a.svg", "mix": "b.svg"})
    titles = [line for line in page.splitlines() if line.startswith("## ")]
    assert titles[:3] == ["## Targets", "## Where a peer is ahead", "## Minimal GET, keep-alive"]
    ahead_of_us = page.partition(titles[1])[2].partition(titles[2])[0].strip().splitlines()
    assert ahead_of_us == [
        "In 4 of 9 comparisons with the best peer, which is not always the same one.",
        "",
        "- **Minimal GET, keep-alive.** p99: fastpysgi 0.25 ms, wsgiserve 0.50 ms (2.00 times that)",
        "- **16 fast beside 16 in a 50 ms sleep.** p99: fastpysgi 0.25 ms, "
        "wsgiserve 1.50 ms (6.00 times that)",
        "- **Idle.** memory: bjoern 10.0 MiB, wsgiserve 20.0 MiB (2.00 times that); "
        "first answer: bjoern 25 ms, wsgiserve 95 ms (3.80 times that)",
    ]
