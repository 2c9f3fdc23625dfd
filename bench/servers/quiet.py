"""Measure servers without work: the time of a start, the wake-ups per minute, the memory.

First the starts, one server at a time, contenders taking turns. Then all run at once, answer two requests,
settle, and are watched over the same minute: a server that sleeps does not disturb the others.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.harness import child, proc
from bench.harness.child import ROOT, Cores
from bench.servers import measure
from bench.servers.checks import check
from bench.servers.contenders import Contender
from bench.servers.scenarios import Request, Scenario

STARTS = 5  # after one that does not count: it fills the caches of files and compiled modules
SETTLE_SECONDS = 5.0
START_SECONDS = 0.25  # of one contender, on average
HELLO = Scenario("quiet", "Idle", floor=True)
DEMO = Scenario("quiet-demo", "Idle, with the demo", app="app:application")


@dataclass(frozen=True)
class Quiet:
    """One contender: `wakes` per minute, `memory` in bytes, milliseconds to the first answer.

    `start` is with the app of the load, `demo` with the project's demo.
    """

    wakes: float | None = None
    memory: float | None = None
    start: float | None = None
    demo: float | None = None
    note: str = ""


def minutes(contenders: Sequence[Contender], seconds: int) -> float:
    """Estimate the duration of `watch`."""
    return (seconds + SETTLE_SECONDS + len(contenders) * (2 * STARTS + 3) * START_SECONDS) / 60


def watch(
    contenders: Sequence[Contender],
    seconds: float,
    cores: Cores,
    scratch: Path,
    tell: Callable[[str], None],
) -> dict[str, Quiet]:
    """Measure every contender; a failure becomes its note."""
    tell(f"idle: {STARTS} starts of each, then {seconds:g} s of watching all")
    fit = [contender for contender in contenders if not measure.unfit(contender, HELLO)]
    starts = [_start_once(fit, HELLO, cores, scratch) for _ in range(STARTS + 1)]
    demos = [_start_once(fit, DEMO, cores, scratch) for _ in range(STARTS + 1)]
    with ExitStack() as stack:
        pids, notes = {}, {}
        for contender in fit:
            try:
                pids[contender.name] = stack.enter_context(_started(contender, HELLO, cores, scratch)).pid
            except child.UnfitError as error:
                notes[contender.name] = str(error)
        time.sleep(SETTLE_SECONDS)
        wakes = _wakes_a_minute(pids, seconds)
        memory = {name: proc.memory(pid) for name, pid in pids.items()}
    return {
        contender.name: Quiet(
            wakes=wakes.get(contender.name),
            memory=memory.get(contender.name),
            start=_median([turn.get(contender.name) for turn in starts[1:]]),
            demo=_median([turn.get(contender.name) for turn in demos[1:]]),
            note=measure.unfit(contender, HELLO) or notes.get(contender.name, ""),
        )
        for contender in contenders
    }


def _start_once(
    contenders: Sequence[Contender], scenario: Scenario, cores: Cores, scratch: Path
) -> dict[str, float]:
    """Start and kill one contender after the other; return the milliseconds of each start."""
    milliseconds = {}
    for contender in contenders:
        if measure.unfit(contender, scenario):
            continue
        try:
            with _started(contender, scenario, cores, scratch) as running:
                milliseconds[contender.name] = running.start * 1000
        except child.UnfitError:
            pass  # `watch` notes it when it starts the server again.
    return milliseconds


@contextmanager
def _started(
    contender: Contender, scenario: Scenario, cores: Cores, scratch: Path
) -> Iterator[child.Running]:
    port = child.free_port()
    words = list(measure.command(contender, scenario, port, scratch))
    with child.running(words, port, cores.server, ROOT, scratch / f"log-{contender.name}") as running:
        if scenario is HELLO:
            check(port, Request(), closes=False)
        yield running


def _wakes_a_minute(pids: dict[str, int], seconds: float) -> dict[str, float]:
    before = {name: (time.monotonic(), proc.switches(pid)) for name, pid in pids.items()}
    time.sleep(seconds)
    wakes = {}
    for name, (began, counts) in before.items():
        now = proc.switches(pids[name])
        wakes[name] = proc.wake_ups(counts, now) * 60 / (time.monotonic() - began)
    return wakes


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
