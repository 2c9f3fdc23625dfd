"""A server with workers under load and under every disturbance: `python -m bench.servers.chaos`.

The clients of `clients` check every byte. Meanwhile the server is told to reload and to re-execute itself.
Its processes are killed at every stage of a start, or frozen. They run out of descriptors, processes,
memory and disk, and the time of day jumps. Every so often all of that ends: then the server must be whole
again. In the end it is stopped under load, and must leave nothing behind. The app sets a switch interval of
a microsecond.

The exit code is 1 if a request was lost or answered wrong, or anything else was not as it should be. A
request may be cut only if the process that had it was killed or got too little memory (see `ledger`).
"""

from __future__ import annotations

import os
import random
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.servers.chaos import room
from bench.servers.chaos.clients import load
from bench.servers.chaos.disturbances import DISTURBANCES, Disturber
from bench.servers.chaos.ledger import OUTCOMES, Ledger
from bench.servers.chaos.service import Service, reached

STORM_SECONDS = 20.0  # of disturbances, then the server must be whole again
SHOWN = 15  # of the first faults, and of the last ones

# How often standard error says this.
LOGGED = {
    "reloads that served": r"reload: generation \d+ serves",
    "reloads refused": r"reload failed, generation",
    "reloads superseded": r"reload superseded",
    "re-execs refused": r"re-exec failed|re-exec: not now",
    "deaths of workers that served": r"worker \d+ (was killed|ended).*; another starts",
    "starts of workers that failed": r"a worker cannot start; next try",
    "connections given up by the server": r"serving it failed",
}
# What it must never say.
UNTOLD = {
    "the supervisor met what it did not expect": r"supervising failed",
    "a worker that had ended in good order is said to have cut requests": r"exit code 0; requests that",
    # A trial that lacks memory may fail as it imports our modules: that is Python's own traceback.
    "code of the server in the traceback of a start": (
        r'^  File ".*/wsgiserve/processes/[^"]*", line \d+, in (?!<module>)'
    ),
}


def storm(service: Service, disturber: Disturber, chance: random.Random, until: float) -> None:
    """Disturb the server for a while."""
    while time.monotonic() < until and service.is_alive:
        disturber.disturb()
        pause = time.monotonic() + chance.random() * 1.2
        while time.monotonic() < pause:
            disturber.look()
            time.sleep(0.02)


def lull(service: Service, disturber: Disturber, ledger: Ledger, descriptors: int) -> None:
    """Leave the server alone; it must become what it was."""
    disturber.calm()
    service.trim_log()
    if not service.is_alive:
        ledger.fault(f"the server has ended; it said last: {service.last_words()}")
    elif not service.settle():
        ledger.fault(f"the server is not whole again: {service.status()}")
    elif not service.answers():
        ledger.fault("the server does not say that it is ready")
    # Settled again each time: a signal may have waited for the end of a re-exec.
    elif not reached(lambda: service.settle() and service.descriptors() <= descriptors):
        ledger.fault(f"the supervisor has {service.descriptors()} descriptors, not {descriptors}")


def run(service: Service, ledger: Ledger, seed: int, seconds: float, only: Sequence[str]) -> Disturber:
    """Have the whole story happen."""
    chance = random.Random(seed)
    disturber = Disturber(service, ledger, chance, only)
    service.start()
    descriptors = service.descriptors()
    end = time.monotonic() + seconds
    with load(service.address, ledger, seed):
        while time.monotonic() < end and service.is_alive:
            storm(service, disturber, chance, min(end, time.monotonic() + STORM_SECONDS))
            lull(service, disturber, ledger, descriptors)
        ledger.ending = True
        code = service.stop()
    if code != 0:
        ledger.fault("the server did not end" if code is None else f"the server ended with code {code}")
    for what in service.left_behind():
        ledger.fault(f"left behind: {what}")
    for text, pattern in UNTOLD.items():
        if count := service.logged(pattern):
            ledger.fault(f"{text}: {count} times in the log")
    return disturber


def report(service: Service, ledger: Ledger, disturber: Disturber) -> None:
    """Print the counts."""
    rows: dict[str, int] = {"requests": ledger.requests.total()}
    rows |= {outcome: ledger.requests[outcome] for outcome in OUTCOMES}
    rows |= {name: service.logged(pattern) for name, pattern in LOGGED.items()}
    for code, count in sorted(disturber.reloads.items()):
        rows[f"reload commands with exit code {code}"] = count
    for name, count in rows.items():
        click.echo(f"{name:40} {count:>9,}")
    click.echo(f"\n{ledger.disturbances.total()} disturbances")
    for name, count in sorted(ledger.disturbances.items()):
        click.echo(f"  {name:38} {count:>9,}")
    for name, reason in service.skipped.items():
        click.echo(f"  {name:38}   skipped: {reason}")
    click.echo(f"\n{len(ledger.faults)} faults")
    for number, text in enumerate(ledger.faults):
        if min(number, len(ledger.faults) - 1 - number) < SHOWN:
            click.echo(f"  {text}")


@click.command()
@click.option("--seconds", default=600.0, show_default=True, help="How long to disturb it.")
@click.option("--seed", type=int, help="Repeat the choices of a run; by default others each time.")
@click.option("--workers", default=3, show_default=True, help="Worker processes.")
@click.option("--preload/--no-preload", default=False, show_default=True, help="Fork from a preloaded app.")
@click.option(
    "--only", multiple=True, type=click.Choice(tuple(DISTURBANCES)), help="Disturb in these ways only."
)
@click.option(
    "--log/--no-log", default=False, show_default=True, help="Show the server's standard error too."
)
@click.option("--folder", type=click.Path(path_type=Path), hidden=True)
def main(folder: Path | None, **options: Any) -> None:
    """Disturb a server under load in every way; count the requests, and say what is wrong."""
    if sys.platform != "linux":
        raise click.ClickException("this needs Linux")
    if folder is not None:
        raise SystemExit(one_run(folder, **options))
    with room.room() as folder:
        code = room.run_as_user(folder, sys.argv[1:]) if os.getuid() == 0 else None
        if code is None:
            code = one_run(folder, **options)
    raise SystemExit(code)


def one_run(
    folder: Path,
    seconds: float,
    seed: int | None,
    workers: int,
    preload: bool,
    only: tuple[str, ...],
    log: bool,
) -> int:
    """Start a server, disturb it, print what happened; return the exit code."""
    seed = random.randrange(1_000_000) if seed is None else seed
    options = ["--preload"] if preload else []
    repeat = shlex.join([*options, *(f"--only={name}" for name in only)])
    click.echo(f"--seed {seed} --seconds {seconds:g} --workers {workers} {repeat}")
    ledger = Ledger()
    service = Service(folder, workers, options, room.lacking(folder))
    try:
        report(service, ledger, run(service, ledger, seed, seconds, only))
    except RuntimeError as error:
        raise click.ClickException(str(error)) from None
    finally:
        if log:
            click.echo(service.errors.read_text(errors="replace"), err=True)
        service.clean_up()
    return 1 if ledger.faults else 0


if __name__ == "__main__":
    main(prog_name="python -m bench.servers.chaos")
