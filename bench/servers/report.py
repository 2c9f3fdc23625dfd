"""Write the targets and a table per scenario, for the terminal or as docs/benchmarks.md.

Ratios are taken within one run only. "Best peer" is the best figure among the contenders other than wsgiserve
and the floor that count in comparisons (`ahead.serious`).
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.harness import tables
from bench.harness.child import ROOT, Cores
from bench.harness.tables import Row, number
from bench.servers import ahead, quiet, targets, wrk
from bench.servers.app import SLEEP_SECONDS
from bench.servers.contenders import FLOOR, OURS, Contender
from bench.servers.measure import Cell, Table
from bench.servers.scenarios import Scenario

HEADINGS = (
    *("", "CPU µs", "/ floor", "/ best peer", "answers/s", "/ best peer", "p50 ms", "p99 ms"),
    *("memory MiB", ""),
)
QUIET_HEADINGS = ("", "wake-ups/min", "memory MiB", "first answer ms", "of the demo ms", "")
QUIET_TITLE = "Idle: wake-ups per minute, memory, time to first answer"

INTRODUCTION = """\
{standing}

wsgiserve beside other WSGI servers, measured in one run on one machine. Look at **CPU** first: the
microseconds of processor time that one answer costs the server. It is the bill, and it hardly depends on the
speed of the load generator. Answers/s are those of one core. p50 and p99 are the times within which half and
99 in 100 of the answers came.

Written by `python -m bench {arguments}`; run it to get your own figures. Compare figures within this
page only: another machine, or the same one on another day, gives others. What TLS costs stands in
[TLS](tls.md#what-it-costs), why a goal is not reached in [Speed](speed.md#what-is-not-reached-and-why).

How to read a row:

- **/ floor**: divided by the figure of a C program that sends fixed bytes and parses nothing. No server gets
  that low.
- **/ best peer**: divided by the figure of the best other server. Below 1 is better for CPU, above 1 for
  answers/s. A server that made an error, or gave less than a tenth of the most answers, is never the best.
- A name that ends in **-64** has 64 threads; the others have the server's default. wsgiserve has its default,
  at most 64, unless the title says otherwise.
- **memory**: the resident set of all processes after the load. A page that two processes use counts twice.
- The last column names errors, or says why there is no figure. *Leaves clients waiting*: some connections
  waited for most of the run, and the latencies are those of the others.
"""
QUIET_NOTE = """\
Wake-ups: the context switches per minute of all threads of all processes, counted over {seconds} s without a
connection, after one request and {settle:.0f} s of rest. All servers were watched at the same time.
Memory: at the end of that time, of all processes; a page that several share counts in parts. First answer:
from the creation of the process to the end of its first answer to a client that tries each millisecond; the
median of {starts} starts with warm caches, one server at a time. The demo is the project's own, which imports
werkzeug.
"""
SETTING = """\
- Machine: {processor}, {count} cores; {system} {kernel}; Python {python}
- Server on core {cores.server}, wrk on core {cores.load}; 16 connections unless the title says otherwise
- {rounds} round(s) of {seconds} s, or {longest} s where all clients sleep, the servers taking turns, and
  {more_rounds} more of the figures that the targets compare. Each figure had a fresh server; its answer was
  checked, and 200 requests preceded the measurement
- CPU and answers/s are the best of the rounds, since other work on the machine only makes them worse. All
  other figures are medians
- CPU is the user and system time of the server's whole process tree per answer of any load. Answers/s, p50
  and p99 are of the load named first
- Requests unfinished at the end do not count: of a 50 ms call, that is {uncounted:.1%} of the possible
- One process does the work, unless the title says otherwise. Limits that would keep a server out of a
  scenario are raised
"""


@dataclass(frozen=True)
class Run:
    """The options of a run and its figures; `quiet` is empty if servers without work were not watched."""

    contenders: Sequence[Contender]
    scenarios: Sequence[Scenario]
    rounds: int
    more_rounds: int
    seconds: int
    quiet_seconds: int
    cores: Cores
    table: Table
    quiet: Mapping[str, quiet.Quiet]
    arguments: Sequence[str]


def terminal(run: Run) -> str:
    judged = targets.judge(run.table, run.quiet)
    parts = [["Targets", *tables.aligned(list(targets.rows(judged)))], [*targets.summary(judged)]]
    for scenario in run.scenarios:
        cells = run.table[scenario.name]
        parts.append(
            [scenario.title, *tables.aligned(_rows(scenario, run)), *_sentences(ahead.compare(cells))]
        )
    if run.quiet:
        table = tables.aligned(_quiet_rows(run))
        parts.append([QUIET_TITLE, *table, *_sentences(ahead.compare_quiet(run.quiet))])
    return "\n\n".join("\n".join(lines) for lines in parts)


def markdown(run: Run, plots: dict[str, str]) -> str:
    """Write the page; `plots` has the path of each scenario's picture, relative to the page."""
    arguments = shlex.join(map(_portable, run.arguments))
    lines = ["# Benchmarks", "", INTRODUCTION.format(standing=_standing(run), arguments=arguments)]
    lines += ["## Targets", "", *_targets(run)]
    lines += ["", "## Where a peer is ahead", "", *_where_behind(run)]
    for scenario in run.scenarios:
        lines += ["", f"## {scenario.title}", "", *_bullets(ahead.compare(run.table[scenario.name]))]
        lines += ["", *tables.markdown(_rows(scenario, run))]
        lines += ["", f"![{scenario.title}]({plots[scenario.name]})"]
    if run.quiet:
        lines += ["", f"## {QUIET_TITLE}", "", *_bullets(ahead.compare_quiet(run.quiet))]
        lines += ["", *tables.markdown(_quiet_rows(run)), "", _quiet_note(run).rstrip()]
    lines += ["", "## How it was measured", "", _setting(run)]
    lines += ["## Versions", "", *_versions(run), "", "## Commands", "", *_commands(run)]
    return "\n".join(lines) + "\n"


# -- text of the page


def _targets(run: Run) -> Iterator[str]:
    judged = targets.judge(run.table, run.quiet)
    yield "The goals for wsgiserve, and its results in this run. Most are ratios of two figures below."
    yield ""
    yield from tables.markdown(list(targets.rows(judged)))
    yield ""
    for line in targets.summary(judged):
        yield f"- {line}"


def _comparisons(run: Run) -> list[tuple[str, list[ahead.Comparison]]]:
    found = [(scenario.title, ahead.compare(run.table[scenario.name])) for scenario in run.scenarios]
    return [*found, (QUIET_TITLE.partition(":")[0], ahead.compare_quiet(run.quiet))]


def _standing(run: Run) -> str:
    leaders = [each.leader for _, comparisons in _comparisons(run) for each in comparisons]
    ours, level = leaders.count(OURS), leaders.count("")
    return (
        f"In {len(leaders)} comparisons with the best peer, which is not always the same one, wsgiserve is\n"
        f"ahead in {ours}, level in {level} and behind in {len(leaders) - ours - level}."
    )


def _where_behind(run: Run) -> Iterator[str]:
    found = _comparisons(run)
    behind = [(title, [each for each in all_ if each.leader == each.peer]) for title, all_ in found]
    count = sum(len(comparisons) for _, comparisons in behind)
    compared = sum(len(comparisons) for _, comparisons in found)
    yield f"In {count} of {compared} comparisons with the best peer, which is not always the same one."
    if count:
        yield ""
    for title, comparisons in behind:
        if comparisons:
            yield f"- **{title}.** {'; '.join(_sentences(comparisons))}"


def _bullets(comparisons: Sequence[ahead.Comparison]) -> Iterator[str]:
    for comparison in comparisons:
        yield f"- {comparison.sentence()}"
    if not comparisons:
        yield "There is nothing to compare."


def _sentences(comparisons: Sequence[ahead.Comparison]) -> list[str]:
    return [comparison.sentence() for comparison in comparisons]


def _quiet_note(run: Run) -> str:
    return QUIET_NOTE.format(seconds=run.quiet_seconds, settle=quiet.SETTLE_SECONDS, starts=quiet.STARTS)


def _setting(run: Run) -> str:
    longest = max(scenario.duration(run.seconds) for scenario in run.scenarios)
    return SETTING.format(
        processor=_processor(),
        count=os.cpu_count(),
        system=platform.system(),
        kernel=_kernel(),
        python=platform.python_version(),
        cores=run.cores,
        rounds=run.rounds,
        more_rounds=run.more_rounds,
        seconds=run.seconds,
        longest=longest,
        uncounted=SLEEP_SECONDS / longest,
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _kernel() -> str:
    return platform.release().partition("-")[0]


def _versions(run: Run) -> Iterator[str]:
    for contender in run.contenders:
        yield f"- {contender.name}: {contender.version() or 'not installed'}"


def _commands(run: Run) -> Iterator[str]:
    first = run.scenarios[0]
    yield f"The commands that started the servers for *{first.title}*, in the checkout:"
    yield ""
    yield "```"
    for contender in run.contenders:
        words = run.table[first.name][contender.name].command
        yield shlex.join(_portable(word) for word in words)
    yield "```"
    yield ""
    yield "The loads; those of one scenario run at the same time:"
    yield ""
    yield "```"
    for scenario in run.scenarios:
        for load in scenario.loads:
            yield shlex.join(
                _portable(word) for word in wrk.command(load, 8000, scenario.duration(run.seconds))
            )
    yield "```"


def _portable(word: str) -> str:
    if word == sys.executable:
        return "python"
    if word == sys.prefix:
        return "VIRTUAL_ENV"
    if word == str(ROOT):
        return "."
    if word == str(wrk.SCRIPT):
        return str(wrk.SCRIPT.relative_to(ROOT))
    return Path(word).name if word.startswith("/") else word


# -- rows of the tables


def _rows(scenario: Scenario, run: Run) -> list[Row]:
    cells = run.table[scenario.name]
    floor = cells[FLOOR].cpu if FLOOR in cells else None
    peers = {name for name in cells if name in targets.PEERS}
    serious = [cell for name, cell in ahead.serious(cells).items() if name in peers]
    cpu = min((cell.cpu for cell in serious if cell.cpu), default=None)
    rate = max((cell.rate for cell in serious if cell.rate), default=None)
    against = run.table.get(scenario.against or "", {})
    rows: list[Row] = [HEADINGS]
    for name, cell in cells.items():
        figures = (
            number(cell.cpu, 1),
            number(_ratio(cell.cpu, floor), 2),
            number(_ratio(cell.cpu, cpu), 2),
            number(cell.rate, 0),
            number(_ratio(cell.rate, rate), 2),
            number(cell.p50, 2),
            number(cell.p99, 2),
            number(_ratio(cell.rss, 1 << 20), 1),
        )
        rows.append((name, *figures, _notes(scenario, cell, against.get(name))))
    return rows


def _quiet_rows(run: Run) -> list[Row]:
    rows: list[Row] = [QUIET_HEADINGS]
    for name, each in run.quiet.items():
        memory = number(_ratio(each.memory, 1 << 20), 1)
        starts = number(each.start, 0), number(each.demo, 0)
        rows.append((name, number(each.wakes, 1), memory, *starts, each.note))
    return rows


def _notes(scenario: Scenario, cell: Cell, other: Cell | None) -> str:
    return "; ".join(note for note in _all_notes(scenario, cell, other) if note)


def _all_notes(scenario: Scenario, cell: Cell, other: Cell | None) -> Iterator[str]:
    if scenario.possible and cell.rate:
        yield f"{cell.rate / scenario.possible:.2f} of the possible"
    if other and cell.rate and other.rate and cell.cpu and other.cpu:
        rate, cpu = cell.rate / other.rate, cell.cpu / other.cpu
        yield f"against {scenario.against}: {rate:.2f} of its answers/s, {cpu:.2f} of its CPU"
    if scenario.crowd and not scenario.crowd.welcome and cell.held is not None:
        yield f"{cell.held:,.0f} of {scenario.crowd.size:,} connections kept"
    if cell.per_connection is not None and scenario.crowd and scenario.crowd.welcome:
        yield f"{cell.per_connection / 1024:.1f} KiB each"
    yield cell.note


def _ratio(value: float | None, mark: float | None) -> float | None:
    return value / mark if value is not None and mark else None
