"""The benchmark of frameworks runs, and leaves the rest of the page alone. No test judges a figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from click import ClickException
from click.testing import CliRunner

from bench.apps import frameworks
from bench.apps.frameworks import COMMAND, LOADS, TARGETS, judged, main
from bench.harness.sections import sections_of

PAGE = "# Benchmarks\n\nServers.\n\n## How it was measured\n\nSo.\n"


@pytest.fixture
def table() -> frameworks.Table:
    figures = {"raw WSGI": 1.0, "App": 4.0, "Falcon": 4.0, "Bottle": 8.0, "Flask": 39.0}
    return {load: dict(figures) for load in LOADS}


@pytest.mark.slow
def test_a_run_prints_and_writes_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOADS, "many", replace(LOADS["many"], routes=20))  # 500 take seconds to make.
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    result = CliRunner().invoke(main, ["--rounds", "1", "--calls", "3", "--output", str(page)])

    assert result.exit_code == 0, result.output
    assert "App, views take the request" in result.output
    written = page.read_text()
    assert "## Frameworks\n\nThe framework half beside others" in written
    assert f"python -m bench.apps.frameworks --rounds 1 --calls 3 --output {page}" in written
    assert written.replace(sections_of(written)[COMMAND] + "\n\n", "") == PAGE


def test_targets_are_judged_by_their_ratio(table: frameworks.Table) -> None:
    verdicts = {title: cells for title, *cells in judged(table)}

    assert verdicts["one path: App / Falcon"] == ["1.000", "≤ 1", "holds", "", "", ""]
    assert verdicts["one path: App / Bottle"][2] == "holds"
    assert verdicts["one path: App / Flask"] == ["0.103", "≤ 0.125", "holds", "≤ 0.1", "does not hold", ""]
    assert len(verdicts) == len(TARGETS) + 1


def test_a_framework_that_is_not_installed_is_left_out(table: frameworks.Table) -> None:
    for figures in table.values():
        del figures["Bottle"]

    assert not any("Bottle" in title for title, *_ in judged(table))


def test_an_app_with_a_wrong_answer_is_not_measured() -> None:
    def nothing(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response("404 Not Found", [])
        return [b"nothing"]

    with pytest.raises(ClickException, match="wrong: echo, one path: 404 Not Found, b'nothing'"):
        frameworks.measure({"wrong": lambda routes: nothing}, 1, 1)
