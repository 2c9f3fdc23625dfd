"""The byte tables of the tests, sent to several servers: `python -m bench.servers.conformance`.

Each server runs one process with its default strictness, 64 threads where it has threads, and the app of
`recording`. The cases of wsgiserve's own limits are left out: each server has its own. A case that does not
agree is sent again with longer time-outs, so that a slow machine is not taken for a fault of the server.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from bench.harness import child
from bench.harness.child import ROOT
from bench.servers.conformance.exchange import Patience, exchange_all
from bench.servers.conformance.judge import Kind, judge
from bench.servers.conformance.page import Outcome, markdown
from bench.servers.conformance.recording import CALLS, Call, recorded
from bench.servers.contenders import CONTENDERS, Contender, Launch
from tests.protocol.cases import CASES, LIMITS, Case

COMPARED = [case for case in CASES if case not in LIMITS and not case.id.startswith("house-")]
APP = "bench.servers.conformance.recording:application"
SECOND_LOOK = Patience(answer=3.0, silence=1.0, end=5.0, gap=0.2)


@dataclass(frozen=True)
class Entrant:
    """A contender of the benchmarks, with further options."""

    contender: str
    title: str
    options: tuple[str, ...] = ()

    @property
    def known(self) -> Contender:
        return next(contender for contender in CONTENDERS if contender.name == self.contender)

    def command(self, port: int, scratch: Path) -> list[str]:
        launch = Launch(port, APP, self.known.threads, False, False, scratch)
        return [*self.known.command(launch), *self.options]


ENTRANTS = {
    "wsgiserve": Entrant("wsgiserve", "wsgiserve"),
    "gunicorn": Entrant("gunicorn-gthread-64", "gunicorn", ("--http-parser", "python")),
    "gunicorn-fast": Entrant("gunicorn-gthread-64", "gunicorn + h1c", ("--http-parser", "fast")),
    "waitress": Entrant("waitress-64", "waitress"),
    "granian": Entrant("granian-64", "granian"),
    "uwsgi": Entrant("uwsgi-64", "uWSGI"),
}


@click.command()
@click.option(
    "--servers", default=",".join(ENTRANTS), show_default=True, help="Servers, separated by commas."
)
@click.option("--output", type=click.Path(path_type=Path), help="Write the page to this file.")
def main(servers: str, output: Path | None) -> None:
    """Send the byte tables of the tests to wsgiserve and other servers, and compare."""
    names = [name.strip() for name in servers.split(",")]
    if unknown := [name for name in names if name not in ENTRANTS]:
        raise click.UsageError(f"unknown: {', '.join(unknown)}; known: {', '.join(ENTRANTS)}")
    if sys.platform != "linux":
        raise click.ClickException("a source address for each connection needs Linux")
    results, versions = {}, {}
    for name in names:
        entrant = ENTRANTS[name]
        version = entrant.known.version()
        if version is None:
            click.echo(f"{name}: not installed", err=True)
            continue
        outcomes = results[entrant.title] = run(entrant)
        versions[entrant.title] = version
        wrong = sum(outcome.verdict.kind is Kind.DIFFERS for outcome in outcomes)
        click.echo(f"{name}: {len(COMPARED)} cases, {wrong} differ", err=True)
    page = "\n".join(markdown(results, versions)) + "\n"
    if output:
        output.write_text(page)
    else:
        click.echo(page)


def run(entrant: Entrant) -> list[Outcome]:
    """Start the server, send every case to it, kill it."""
    port, core = child.free_port(), child.pick_cores().server
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        scratch = Path(name)
        calls = scratch / "calls"
        calls.touch()
        os.environ[CALLS] = str(calls)
        with child.running(entrant.command(port, scratch), port, core, ROOT, scratch / "log"):
            return compare(port, COMPARED, partial(recorded, calls))


def compare(port: int, cases: Sequence[Case], calls: Callable[[], list[Call]]) -> list[Outcome]:
    """Send and judge each case; send those that do not agree once more."""
    trios = exchange_all(port, cases, Patience(), calls, net=1)
    outcomes = [Outcome(case, trio, judge(case, trio)) for case, trio in zip(cases, trios, strict=True)]
    doubted = [number for number, out in enumerate(outcomes) if out.verdict.kind is not Kind.AGREES]
    again = exchange_all(port, [cases[number] for number in doubted], SECOND_LOOK, calls, net=2)
    for number, trio in zip(doubted, again, strict=True):
        outcomes[number] = Outcome(cases[number], trio, judge(cases[number], trio))
    return outcomes


if __name__ == "__main__":
    main(prog_name="python -m bench.servers.conformance")
