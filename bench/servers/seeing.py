"""What metrics and the access log cost: `python -m bench.servers.seeing`.

All servers run at once and take turns with short bursts, so that other work on the machine disturbs all
alike. A figure is the processor time of a server's process tree, supervisor included, per answer. The ratio
to the server that counts and logs nothing is taken in each round, between neighbours in time, and the median
of the rounds' ratios counts: a disturbance spoils one of them. Two processes of the same server differ by
some percent, as their memory lies elsewhere. So all are started anew several times.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from bench.harness import child, proc, tables
from bench.harness.child import ROOT, Cores
from bench.servers import app, wrk
from bench.servers.checks import check, warm_up
from bench.servers.scenarios import Load, Request

COMMAND = "python -m bench.servers.seeing"
CLIENTS = 32
WARM_UP = 500  # requests
LOAD = Load(Request(), CLIENTS)
HEADINGS = ("", "µs", "ratio", "goal", "")


@dataclass(frozen=True)
class Kind:
    """A way to see what a server does. `FILE` in the options is the start of the names of its files."""

    name: str
    options: str
    goal: float | None = None


NO_LOG = "--no-access-log"
METRICS = "--ops-bind unix:FILE.sock"
LOG = "--access-log FILE.log --log-format combined"
KINDS = (
    Kind("nothing", NO_LOG),
    Kind("metrics", f"{NO_LOG} {METRICS}", 1.03),
    Kind("access log, combined", LOG, 1.05),
    Kind("access log, JSON", LOG.replace("combined", "json"), 1.10),
    Kind("metrics and log, combined", f"{METRICS} {LOG}"),
)


@dataclass(frozen=True)
class Server:
    """A running server; `log` is the file of its access log, if it has one."""

    kind: Kind
    pid: int
    port: int
    log: Path

    def burst(self, seconds: int) -> float:
        """Drive it with wrk; return the microseconds of processor time per answer."""
        before = proc.usage(self.pid).cpu
        (result,) = wrk.run([LOAD], self.port, seconds)
        if result.faults or not result.requests:
            raise click.ClickException(f"{self.kind.name}: {result.faults or 'no answer'}")
        spent = proc.usage(self.pid).cpu - before
        if self.log.exists():
            if not self.log.stat().st_size:
                raise click.ClickException(f"{self.kind.name}: no line in the log")
            os.truncate(self.log, 0)  # Else a long run fills the disk; the server appends.
        return spent / result.requests * 1e6


@contextlib.contextmanager
def servers(cores: Cores, folder: Path) -> Iterator[list[Server]]:
    """Start a server of each kind, with one worker, and warm it up."""
    with contextlib.ExitStack() as stack:
        found = []
        for number, kind in enumerate(KINDS):
            file, port = str(folder / str(number)), child.free_port()
            command = [sys.executable, "-m", "wsgiserve", f"{app.__name__}:application", "--workers", "1"]
            command += ["--bind", f"127.0.0.1:{port}"]
            command += [word.replace("FILE", file) for word in kind.options.split()]
            running = child.running(command, port, cores.server, ROOT, Path(f"{file}.out"))
            found.append(Server(kind, stack.enter_context(running).pid, port, Path(f"{file}.log")))
            check(port, LOAD.request, closes=False)
            warm_up(port, WARM_UP)
        yield found


def row(kind: Kind, times: Sequence[float], nothing: Sequence[float]) -> list[str]:
    """Return the figures of a kind: the medians of its rounds, and of their ratios to those of nothing."""
    ratio = statistics.median(time / base for time, base in zip(times, nothing, strict=True))
    missed = kind.goal is not None and ratio > kind.goal
    return [
        kind.name,
        tables.number(statistics.median(times), 2),
        tables.number(ratio, 3),
        tables.number(kind.goal, 2),
        "does not hold" if missed else "",
    ]


@click.command()
@click.option("--starts", default=5, show_default=True, help="Times that each server is started.")
@click.option("--rounds", default=3, show_default=True, help="Bursts of each server, for each start.")
@click.option("--seconds", default=1, show_default=True, help="Length of a burst.")
def main(starts: int, rounds: int, seconds: int) -> None:
    """Measure what metrics and the access log cost in the smallest request there is."""
    if sys.platform != "linux" or wrk.find() is None:
        raise click.ClickException("the benchmarks need Linux and wrk")
    cores = child.pick_cores()
    os.sched_setaffinity(0, {cores.load})
    bursts = []  # a row for each round
    for _ in range(starts):
        with tempfile.TemporaryDirectory(prefix="seeing-") as name, servers(cores, Path(name)) as found:
            bursts += [[server.burst(seconds) for server in found] for _ in range(rounds)]
    times = list(zip(*bursts, strict=True))
    rows = [HEADINGS, *(row(kind, its, times[0]) for kind, its in zip(KINDS, times, strict=True))]
    click.echo("\n".join(tables.aligned(rows)))


if __name__ == "__main__":
    main(prog_name=COMMAND)
