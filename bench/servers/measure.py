"""Measure each contender in each scenario, in several rounds, each time on a freshly started server.

The server and the load generator run on different cores. Contenders take turns within a scenario, and each
round repeats the whole table, so other work on the machine disturbs all alike. The processor time per answer
is that of the server's process tree, divided by the answers to all loads in the same time.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.harness import child, proc
from bench.harness.child import ROOT, Cores
from bench.servers import crowd, wrk
from bench.servers.checks import check, warm_up
from bench.servers.contenders import Contender, Launch
from bench.servers.scenarios import Scenario

WARM_UP = 200
# Other work on the machine can only add processor time and reduce answers, so these two come from the round
# with the best figure. All others are medians.
UNDISTURBED: dict[str, Callable[[list[float]], float]] = {"cpu": min, "rate": max}
SERVED = 0.5  # of the clients must have a request in progress on average, or the server ignores some
FEWEST = 10  # answers: with fewer the processor time per answer means nothing


@dataclass(frozen=True)
class Sample:
    """One contender in one scenario in one round; units as in `Cell`."""

    cpu: float | None
    rate: float
    p50: float | None
    p99: float | None
    rss: float
    held: int | None
    per_connection: float | None
    faults: str


@dataclass(frozen=True)
class Cell:
    """One contender in one scenario, over all rounds: the least CPU, the most answers, else the median.

    cpu: microseconds per answer; rate: answers a second of the measured load; p50, p99: milliseconds;
    rss: bytes at the end; held: connections of the crowd that are still open; per_connection: bytes that
    each of them added. `note` names the fault, or the reason for the lack of figures.
    """

    cpu: float | None = None
    rate: float | None = None
    p50: float | None = None
    p99: float | None = None
    rss: float | None = None
    held: float | None = None
    per_connection: float | None = None
    note: str = ""
    command: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether there were answers and no fault."""
        return bool(self.rate) and not self.note


Turn = Sequence[tuple[Contender, Scenario]]  # one round, in this order
Table = dict[str, dict[str, Cell]]  # scenario, contender
Outcome = Sample | str


def measure(
    schedule: Sequence[Turn],
    seconds: int,
    cores: Cores,
    scratch: Path,
    tell: Callable[[str], None],
) -> Table:
    """Fill every cell of the table; a failure becomes the note of its cell."""
    os.sched_setaffinity(0, {cores.load})
    outcomes: dict[tuple[Contender, Scenario], list[Outcome]] = {}
    for number, turn in enumerate(schedule, 1):
        for contender, scenario in turn:
            outcome = _cell(contender, scenario, seconds, cores, scratch)
            outcomes.setdefault((contender, scenario), []).append(outcome)
            tell(f"{number}/{len(schedule)} {scenario.name} {contender.name}: {_brief(outcome)}")
    table: Table = {}
    for (contender, scenario), found in outcomes.items():
        cell = _over_rounds(found, command(contender, scenario))
        table.setdefault(scenario.name, {})[contender.name] = cell
    return table


def command(
    contender: Contender, scenario: Scenario, port: int = 8000, scratch: Path = Path()
) -> tuple[str, ...]:
    threads = contender.threads and (scenario.threads or contender.threads)
    log, workers = scenario.access_log, scenario.workers or 1
    launch = Launch(port, scenario.app, threads, log, scenario.one_shot, scratch, workers)
    return tuple(contender.command(launch))


def unfit(contender: Contender, scenario: Scenario) -> str:
    """Say why this contender cannot run this scenario; empty if it can."""
    if contender.version() is None:
        return "not installed"
    if contender.name == "floor" and not scenario.floor:
        return "calls no app"
    if scenario.access_log and not contender.logs:
        return "has no access log"
    if scenario.workers and not contender.forks:
        return "runs one process"
    return ""


def _cell(contender: Contender, scenario: Scenario, seconds: int, cores: Cores, scratch: Path) -> Outcome:
    if reason := unfit(contender, scenario):
        return reason
    port = child.free_port()
    words = list(command(contender, scenario, port, scratch))
    try:
        core = None if scenario.workers else cores.server
        with child.running(words, port, core, ROOT, scratch / "log") as running:
            return _sample(running, scenario, scenario.duration(seconds))
    except (child.UnfitError, ValueError) as error:
        return str(error)


def _sample(running: child.Running, scenario: Scenario, seconds: int) -> Sample:
    for load in scenario.loads:
        check(running.port, load.request, scenario.one_shot)
    warm_up(running.port, WARM_UP)
    alone = proc.usage(running.pid)
    with ExitStack() as stack:
        sockets = []
        if scenario.crowd:
            address = ("127.0.0.1", running.port)
            sockets = stack.enter_context(scenario.crowd.behave(address, scenario.crowd.size))
            # This answer comes after the server has accepted the crowd, so the accepting is not measured.
            check(running.port, scenario.load.request, scenario.one_shot)
        before = proc.usage(running.pid)
        results = wrk.run(scenario.loads, running.port, seconds)
        after = proc.usage(running.pid)
        held = crowd.alive(sockets)
    total = sum(result.requests for result in results)
    main = results[0]
    return Sample(
        cpu=(after.cpu - before.cpu) * 1e6 / total if total >= FEWEST else None,
        rate=main.rate,
        p50=main.p50,
        p99=main.p99,
        rss=after.rss,
        held=held if scenario.crowd else None,
        per_connection=(before.rss - alone.rss) / held if held == len(sockets) > 0 else None,
        faults="; ".join([*_faults(scenario, results, seconds), *_unwelcome(scenario, held)]),
    )


def _faults(scenario: Scenario, results: Sequence[wrk.Result], seconds: int) -> Iterator[str]:
    for load, result in zip(scenario.loads, results, strict=True):
        of = "" if load is scenario.load else f" for {load.request.path}"
        if not result.requests:
            yield f"no answer{of} in {seconds} s"
        elif result.busy < SERVED * load.clients and not scenario.one_shot:
            served = max(1, round(result.busy))
            yield f"leaves clients waiting{of}: serves {served} of {load.clients} at a time"
        if result.faults:
            yield result.faults + of


def _unwelcome(scenario: Scenario, held: int) -> Iterator[str]:
    if scenario.crowd and scenario.crowd.welcome and held < scenario.crowd.size:
        yield f"keeps {held:,} of {scenario.crowd.size:,} connections"


def _over_rounds(outcomes: list[Outcome], words: tuple[str, ...]) -> Cell:
    samples = [outcome for outcome in outcomes if isinstance(outcome, Sample)]
    notes = [outcome if isinstance(outcome, str) else outcome.faults for outcome in outcomes]
    note = next((note for note in notes if note), "")
    if not samples:
        return Cell(note=note, command=words)

    def over_rounds(name: str) -> float | None:
        values = [value for sample in samples if (value := getattr(sample, name)) is not None]
        return UNDISTURBED.get(name, statistics.median)(values) if values else None

    names = ("cpu", "rate", "p50", "p99", "rss", "held", "per_connection")
    return Cell(**{name: over_rounds(name) for name in names}, note=note, command=words)


def _brief(outcome: Outcome) -> str:
    if isinstance(outcome, str):
        return outcome
    figures = [f"{outcome.rate:,.0f}/s"]
    if outcome.cpu is not None:
        figures.append(f"{outcome.cpu:.1f} µs")
    if outcome.p99 is not None:
        figures.append(f"p99 {outcome.p99:.2f} ms")
    return ", ".join([*figures, outcome.faults]).removesuffix(", ")
