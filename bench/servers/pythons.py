"""What wsgiserve costs under several Pythons: `python -m bench.servers.pythons PYTHON...`.

A figure of an interpreter says more about how it was built than about its version, so give optimised ones.
Each is the path of a Python that has the dependencies of wsgiserve; the package itself comes from this
checkout. The interpreters take turns, and the best round of each counts, as in `measure`.

A computing view shows whether two calls run at the same time. With the GIL, two clients get as many answers
a second as one; without it, up to twice as many, if there are two cores and nothing else uses them.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from bench.harness import child, sections, tables
from bench.harness.child import ROOT
from bench.servers import app, wrk
from bench.servers.contenders import CONTENDERS, OURS, Contender, Launch
from bench.servers.measure import Table, measure
from bench.servers.scenarios import SCENARIOS, Load, Request, Scenario

COMMAND = "python -m bench.servers.pythons"
PER_REQUEST = ("minimal", "browser", "browser-id", "post-1k")
COMPUTING = Request("/compute", answer=b"%d" % app.MOST_STEPS)
# Measured on all cores, in one process.
ONE = Scenario("one", "one client that computes", Load(COMPUTING, 1), workers=1)
TWO = Scenario("two", "two clients that compute", Load(COMPUTING, 2), workers=1)
LOADS = [*(scenario for scenario in SCENARIOS if scenario.name in PER_REQUEST), ONE, TWO]
HEADINGS = [
    "",
    *(f"{name}, µs" for name in PER_REQUEST),
    "computing, answers/s",
    "with two clients, times that",
    "",
]
ABOUT = """
import platform, sys
import wsgiserve.cli
free = not getattr(sys, "_is_gil_enabled", lambda: True)()
print(platform.python_version() + (", free-threaded" if free else ""))
"""
INTRODUCTION = """\
The same code under several Pythons: the server's processor time for a request, and the answers a second of a
view that computes for some 4 ms, with one client and with two. The best round counts."""


@click.command()
@click.argument("pythons", nargs=-1, required=True, metavar="PYTHON...")
@click.option("--rounds", default=5, show_default=True, help="Rounds; the best counts.")
@click.option("--seconds", default=2, show_default=True, help="Load per figure and round.")
@click.option("--note", default="", help="A sentence about this run, for the page.")
@click.option(
    "--output", type=click.Path(path_type=Path, exists=True), help="Write a section into this page."
)
def main(pythons: Sequence[str], rounds: int, seconds: int, note: str, output: Path | None) -> None:
    """Measure wsgiserve under each PYTHON, the path of an interpreter."""
    if sys.platform != "linux" or wrk.find() is None:
        raise click.ClickException("the benchmarks need Linux and wrk")
    names = {python: name_of(python) for python in pythons}
    turn = [(under(python), load) for load in LOADS for python in pythons]
    with tempfile.TemporaryDirectory(prefix="pythons-") as scratch:
        table = measure([turn] * rounds, seconds, child.pick_cores(), Path(scratch), _tell)
    rows = [HEADINGS, *(row(names[python], table, python) for python in pythons)]
    click.echo("\n".join(tables.aligned(rows)))
    if output:
        command = f"{COMMAND} --rounds {rounds} --seconds {seconds} --output docs/benchmarks.md PYTHON..."
        section = sections.marked(COMMAND, _section(command, note, rows))
        output.write_text(sections.with_section(output.read_text("utf-8"), section), "utf-8")


def name_of(python: str) -> str:
    """Ask an interpreter for its version; refuse one that cannot run wsgiserve."""
    try:
        asked = subprocess.run([python, "-c", ABOUT], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError as error:
        raise click.ClickException(f"{python}: {error.strerror}") from error
    if asked.returncode:
        last = (asked.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise click.ClickException(f"{python} cannot run wsgiserve; install it there: {last}")
    return asked.stdout.strip()


def under(python: str) -> Contender:
    """Return wsgiserve as a contender that runs under this interpreter."""
    (ours,) = (contender for contender in CONTENDERS if contender.name == OURS)

    def command(launch: Launch) -> list[str]:
        return [python, *ours.command(launch)[1:]]

    return dataclasses.replace(ours, name=python, command=command)


def row(name: str, table: Table, python: str) -> list[str]:
    """Return the figures of one interpreter, and its faults."""
    cells = {load.name: table[load.name][python] for load in LOADS}
    one, two = cells[ONE.name].rate, cells[TWO.name].rate
    return [
        name,
        *(tables.number(cells[name].cpu, 1) for name in PER_REQUEST),
        tables.number(one, 0),
        tables.number(two / one if one and two else None, 2),
        "; ".join(dict.fromkeys(cell.note for cell in cells.values() if cell.note)),
    ]


def _section(command: str, note: str, rows: Sequence[tables.Row]) -> Iterator[str]:
    yield from ("## Pythons", "", INTRODUCTION, f"Written by `{command}`, on {os.cpu_count()} cores.")
    yield from ([note] if note else [])
    yield ""
    yield from tables.markdown(rows)


def _tell(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main(prog_name=COMMAND)
