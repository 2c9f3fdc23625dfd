"""The benchmark of frameworks runs, and leaves the rest of the page alone. No figure is judged here."""

from __future__ import annotations

from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from click import ClickException
from click.testing import CliRunner

from bench import frameworks
from bench.frameworks import COMMAND, LOADS, TARGETS, judged, main
from bench.sections import marked, sections_of, with_section

PAGE = "# Benchmarks\n\nServers.\n\n## How it was measured\n\nSo.\n"


@pytest.fixture
def table() -> frameworks.Table:
    figures = {"raw WSGI": 1.0, "App": 4.0, "Falcon": 4.0, "Bottle": 8.0, "Flask": 39.0}
    return {load: dict(figures) for load in LOADS}


def test_a_run_prints_and_writes_what_it_measured(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    result = CliRunner().invoke(main, ["--rounds", "1", "--calls", "3", "--output", str(page)])

    assert result.exit_code == 0, result.output
    assert "App, views take the request" in result.output
    written = page.read_text()
    assert "## Frameworks\n\nThe framework half beside others" in written
    assert f"python -m bench.frameworks --rounds 1 --calls 3 --output {page}" in written
    assert written.replace(sections_of(written)[COMMAND] + "\n\n", "") == PAGE


def test_a_section_is_put_in_the_place_of_the_old_one() -> None:
    other = with_section(PAGE, marked("python -m bench.other", ["other"]))
    once = with_section(other, marked(COMMAND, ["old"]))
    twice = with_section(once, marked(COMMAND, ["new"]))

    assert "old" in once
    assert twice == once.replace("old", "new")
    assert twice.index("Servers.") < twice.index("new") < twice.index("## How it was measured")
    assert sections_of(twice)["python -m bench.other"] == marked("python -m bench.other", ["other"])
    assert sections_of(PAGE) == {}


def test_targets_are_judged_by_their_ratio(table: frameworks.Table) -> None:
    verdicts = {title: cells for title, *cells in judged(table)}

    assert verdicts["one path: App / Falcon"] == ["1.000", "≤ 1", "holds", "", "", ""]
    assert verdicts["one path: App / Bottle"][2] == "holds"
    assert verdicts["one path: App / Flask"] == ["0.103", "≤ 0.125", "holds", "≤ 0.1", "does not hold", ""]
    assert len(verdicts) == len(TARGETS) + 1


def test_a_framework_that_is_not_there_is_left_out(table: frameworks.Table) -> None:
    for figures in table.values():
        del figures["Bottle"]

    assert not any("Bottle" in title for title, *_ in judged(table))


def test_what_answers_wrongly_is_not_measured() -> None:
    def nothing(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response("404 Not Found", [])
        return [b"nothing"]

    with pytest.raises(ClickException, match="wrong: echo, one path: 404 Not Found, b'nothing'"):
        frameworks.measure({"wrong": lambda routes: nothing}, 1, 1)
