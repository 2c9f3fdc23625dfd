"""An interpreter is asked before it is measured, and the table goes to the page. No test judges a figure."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bench.harness.child import ROOT
from bench.servers import wrk
from bench.servers.checks import check
from bench.servers.contenders import Launch
from bench.servers.measure import Cell
from bench.servers.pythons import COMPUTING, HEADINGS, LOADS, name_of, row, under

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")


def test_interpreter_tells_its_version() -> None:
    assert name_of(sys.executable).split(",")[0] == platform.python_version()


def test_interpreter_without_the_dependencies_is_refused(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(
        click.ClickException, match=r"python cannot run wsgiserve; install it there: .*No module"
    ):
        name_of(str(bare))


def test_interpreter_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="nothing: No such file"):
        name_of(str(tmp_path / "nothing"))


def test_server_is_started_by_the_given_interpreter(tmp_path: Path) -> None:
    launch = Launch(8000, "module:app", 64, access_log=False, one_shot=False, scratch=tmp_path)
    words = under("/opt/python").command(launch)
    assert words[:5] == ["/opt/python", "-m", "wsgiserve", "module:app", "--bind"]


def test_row_has_each_figure_the_ratio_and_the_faults() -> None:
    table = {load.name: {"python": Cell(cpu=8.04, rate=100.0)} for load in LOADS}
    table["two"]["python"] = Cell(cpu=9.0, rate=190.0, note="9 time-outs")
    assert row("3.11.2", table, "python") == [
        *("3.11.2", "8.0", "8.0", "8.0", "8.0", "100", "1.90", "9 time-outs"),
    ]
    assert len(HEADINGS) == 8


def test_row_without_answers_has_no_ratio() -> None:
    table = {load.name: {"python": Cell(note="did not start")} for load in LOADS}
    assert row("3.11.2", table, "python")[-2:] == ["-", "did not start"]


def test_computing_view_gives_the_answer_that_is_expected(hello_port: int) -> None:
    check(hello_port, COMPUTING, closes=False)
    assert COMPUTING.answer


@pytest.mark.slow
@pytest.mark.skipif(wrk.find() is None, reason="needs wrk")
def test_command_writes_its_section(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Benchmarks\n\n## How it was measured\n")
    arguments = ["--rounds", "1", "--seconds", "1", "--note", "On a laptop.", "--output", str(page)]
    run = subprocess.run(
        [sys.executable, "-m", "bench.servers.pythons", sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    written = page.read_text()
    assert "## Pythons\n" in written
    assert "On a laptop." in written
    assert f"| {name_of(sys.executable)} | " in written
    assert written.index("## Pythons") < written.index("## How it was measured")
