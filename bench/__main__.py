"""The cost of an answer, beside other servers: `python -m bench`. Needs Linux and wrk.

The row of a server that is not installed says so.
"""

from __future__ import annotations

import math
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TypeVar

import click

from bench.harness import child, sections
from bench.servers import contenders as field
from bench.servers import crowd, measure, quiet, report, scenarios, targets, wrk

Named = TypeVar("Named", field.Contender, scenarios.Scenario)
OVERHEAD_SECONDS = 0.4  # to start, check, warm up and kill one server
OPENING_SECONDS = 0.0002  # to open one connection of a crowd


@click.command()
@click.option("--contenders", default="", help="Servers to measure, separated by commas; all by default.")
@click.option(
    "--scenarios", "loads", default="", help="Scenarios to run, separated by commas; all by default."
)
@click.option(
    "--rounds", type=click.IntRange(1), default=3, show_default=True, help="Rounds of all scenarios."
)
@click.option(
    "--more-rounds",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Further rounds, only of the figures that the targets use.",
)
@click.option(
    "--seconds", type=click.IntRange(1), default=3, show_default=True, help="Load per figure and round."
)
@click.option(
    "--idle-seconds",
    type=click.IntRange(0),
    default=60,
    show_default=True,
    help="Watch servers without work for this long, all at once; 0 skips that.",
)
@click.option(
    "--list", "listing", is_flag=True, help="List servers with their versions, and scenarios; run nothing."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Write the results to this Markdown page, with pictures beside it.",
)
def main(
    contenders: str,
    loads: str,
    rounds: int,
    more_rounds: int,
    seconds: int,
    idle_seconds: int,
    listing: bool,
    output: Path | None,
) -> None:
    """Measure wsgiserve and its peers on this machine."""
    servers = _chosen(field.CONTENDERS, contenders)
    chosen = _chosen(scenarios.SCENARIOS, loads)
    if listing:
        _list(servers, chosen)
        return
    if sys.platform != "linux" or wrk.find() is None:
        raise click.ClickException("the benchmarks need Linux and wrk")
    run = _run(servers, chosen, rounds, more_rounds, seconds, idle_seconds)
    print(report.terminal(run))
    if output:
        _write(run, output)


def _chosen(table: list[Named], names: str) -> list[Named]:
    known = {entry.name: entry for entry in table}
    wanted = [name.strip() for name in names.split(",")] if names else list(known)
    if unknown := [name for name in wanted if name not in known]:
        raise click.UsageError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    return [known[name] for name in wanted]


def _list(servers: Sequence[field.Contender], loads: Sequence[scenarios.Scenario]) -> None:
    for contender in servers:
        print(f"{contender.name:20} {contender.version() or 'not installed'}")
    print()
    for scenario in loads:
        print(f"{scenario.name:20} {scenario.title}")


def _run(
    servers: Sequence[field.Contender],
    loads: Sequence[scenarios.Scenario],
    rounds: int,
    more_rounds: int,
    seconds: int,
    idle_seconds: int,
) -> report.Run:
    pairs = [(server, load) for load in loads for server in servers]
    compared = [pair for pair in pairs if targets.compares(*pair)]
    schedule = [pairs] * rounds + [compared] * more_rounds
    minutes = sum(_minutes(turn, seconds) for turn in schedule)
    if idle_seconds:
        minutes += quiet.minutes(servers, idle_seconds)
    _tell(f"about {math.ceil(minutes)} min")
    began = time.monotonic()
    signal.signal(signal.SIGTERM, _leave)
    crowd.raise_descriptor_limit()
    cores = child.pick_cores()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        scratch = Path(name)
        (scratch / "files").mkdir()
        (scratch / "files" / "16k").write_bytes(scenarios.DEMO_FILE)
        field.compile_floor(scratch)
        table = measure.measure(schedule, seconds, cores, scratch, _tell)
        idle = quiet.watch(servers, idle_seconds, cores, scratch, _tell) if idle_seconds else {}
    _tell(f"took {(time.monotonic() - began) / 60:.1f} min")
    return report.Run(
        servers,
        loads,
        rounds,
        more_rounds,
        seconds,
        idle_seconds,
        cores,
        table,
        idle,
        arguments=sys.argv[1:],
    )


def _minutes(pairs: measure.Turn, seconds: int) -> float:
    fit = [load for server, load in pairs if not measure.unfit(server, load)]
    crowds = sum(load.crowd.size for load in fit if load.crowd)
    overhead = len(fit) * OVERHEAD_SECONDS + crowds * OPENING_SECONDS
    measured = sum(load.duration(seconds) for load in fit)
    return (measured + overhead) / 60


def _write(run: report.Run, output: Path) -> None:
    # Imported here: only the pictures need matplotlib.
    from bench.servers import plots

    pictures = plots.draw(run, output.with_suffix(""))
    names = {name: f"{path.parent.name}/{path.name}" for name, path in pictures.items()}
    page = report.markdown(run, names)
    for section in sections.sections_of(output.read_text("utf-8") if output.exists() else "").values():
        page = sections.with_section(page, section)
    output.write_text(page, "utf-8")
    _tell(f"wrote {output} and {len(pictures)} pictures")


def _leave(number: int, frame: FrameType | None) -> None:
    """Raise an exception, so that every `finally` runs and no server stays behind."""
    raise SystemExit(128 + number)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(prog_name="python -m bench")
