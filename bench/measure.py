"""The run itself: rounds over scenarios over contenders, a fresh server for every cell.

Server and load generator sit on different cores. Contenders take turns within a scenario and the
whole is repeated in rounds, so a disturbance of the machine hits all alike. Processor time is that of
the server's whole process tree, over the answers that all loads together got in the same time.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import crowd, proc, server, wrk
from bench.contenders import ROOT, Contender, Launch
from bench.scenarios import Scenario

WARM_UP = 200
# What else the machine does adds to a server's processor time and takes from its answers, not the reverse.
# So these are of the round that was disturbed least; all else is a median.
UNDISTURBED: dict[str, Callable[[list[float]], float]] = {"cpu": min, "rate": max}
SERVED = 0.5  # of the clients are to be amid a request on the average; connecting is no part of one
FEWEST = 10  # answers; what fewer cost says nothing about one


@dataclass(frozen=True)
class Sample:
    """One cell of one round; see `Cell` for the units."""

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
    """What the rounds come to: the least CPU, the most answers, else the median.

    cpu: microseconds per answer; rate: answers a second of the measured load; p50, p99: milliseconds;
    rss: bytes at the end; held, per_connection: the crowd's connections still there and the bytes each
    added. `note` says what went wrong, or why there is no figure at all.
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
        """Whether it was answered, and without fault."""
        return bool(self.rate) and not self.note


@dataclass(frozen=True)
class Cores:
    server: int
    load: int


Turn = Sequence[tuple[Contender, Scenario]]  # what is measured in a round, in this order
Table = dict[str, dict[str, Cell]]  # scenario, contender
Outcome = Sample | str


def pick_cores() -> Cores:
    """Take the last allowed core for the server, the first, where interrupts land, for the load."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(server=allowed[-1], load=allowed[0])


def measure(
    schedule: Sequence[Turn],
    seconds: int,
    cores: Cores,
    scratch: Path,
    tell: Callable[[str], None],
) -> Table:
    """Fill every cell; a contender that fails one leaves a note there and goes on."""
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
    launch = Launch(port, scenario.app, threads, scenario.access_log, scenario.one_shot, scratch)
    return tuple(contender.command(launch))


def unfit(contender: Contender, scenario: Scenario) -> str:
    """Say why this pair makes no sense, or nothing."""
    if contender.version() is None:
        return "not installed"
    if contender.name == "floor" and not scenario.floor:
        return "calls no app"
    if scenario.access_log and not contender.logs:
        return "has no access log"
    return ""


def _cell(contender: Contender, scenario: Scenario, seconds: int, cores: Cores, scratch: Path) -> Outcome:
    if reason := unfit(contender, scenario):
        return reason
    port = server.free_port()
    line = list(command(contender, scenario, port, scratch))
    try:
        with server.running(line, port, cores.server, ROOT, scratch / "log") as running:
            return _sample(running, scenario, scenario.duration(seconds))
    except (server.UnfitError, ValueError) as error:
        return str(error)


def _sample(running: server.Running, scenario: Scenario, seconds: int) -> Sample:
    for load in scenario.loads:
        server.check(running.port, load.request, scenario.one_shot)
    server.warm_up(running.port, WARM_UP)
    alone = proc.usage(running.pid)
    with ExitStack() as stack:
        sockets = []
        if scenario.crowd:
            address = ("127.0.0.1", running.port)
            sockets = stack.enter_context(scenario.crowd.behave(address, scenario.crowd.size))
            # Who comes last is answered once all the others were accepted, which is no part of the load.
            server.check(running.port, scenario.load.request, scenario.one_shot)
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


def _over_rounds(outcomes: list[Outcome], line: tuple[str, ...]) -> Cell:
    samples = [outcome for outcome in outcomes if isinstance(outcome, Sample)]
    notes = [outcome if isinstance(outcome, str) else outcome.faults for outcome in outcomes]
    note = next((note for note in notes if note), "")
    if not samples:
        return Cell(note=note, command=line)

    def over_rounds(name: str) -> float | None:
        values = [value for sample in samples if (value := getattr(sample, name)) is not None]
        return UNDISTURBED.get(name, statistics.median)(values) if values else None

    names = ("cpu", "rate", "p50", "p99", "rss", "held", "per_connection")
    return Cell(**{name: over_rounds(name) for name in names}, note=note, command=line)


def _brief(outcome: Outcome) -> str:
    if isinstance(outcome, str):
        return outcome
    figures = [f"{outcome.rate:,.0f}/s"]
    if outcome.cpu is not None:
        figures.append(f"{outcome.cpu:.1f} µs")
    if outcome.p99 is not None:
        figures.append(f"p99 {outcome.p99:.2f} ms")
    return ", ".join([*figures, outcome.faults]).removesuffix(", ")
