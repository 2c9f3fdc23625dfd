"""The figures as text: a table per scenario for the terminal, the same in Markdown for the docs.

A ratio is taken within one run only. "Best peer" is the best figure among the contenders that are
neither wsgiserve nor the floor and that made no fault in that scenario.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contenders import FLOOR, ROOT, Contender
from bench.measure import Cell, Cores, Table
from bench.scenarios import Scenario

HEADINGS = (
    *("", "CPU µs", "/ floor", "/ best peer", "answers/s", "/ best peer", "p50 ms", "p99 ms"),
    *("memory MiB", "first answer ms", ""),
)
NOTHING = "-"
Row = tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """What was asked for and what came of it."""

    contenders: Sequence[Contender]
    scenarios: Sequence[Scenario]
    rounds: int
    seconds: int
    cores: Cores
    table: Table
    arguments: Sequence[str]


@dataclass(frozen=True)
class _Marks:
    """What the cells of one scenario are compared with."""

    floor: float | None
    cpu: float | None
    rate: float | None


def terminal(run: Run) -> str:
    parts = []
    for scenario in run.scenarios:
        rows = [HEADINGS, *_rows(run, scenario)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [_aligned(row, widths) for row in rows]
        parts.append("\n".join([scenario.title, *lines]))
    return "\n\n".join(parts)


def markdown(run: Run, plots: dict[str, str]) -> str:
    """Write the page; `plots` gives each scenario's picture, relative to the page."""
    lines = ["# Benchmarks", "", *_preface(run), ""]
    for scenario in run.scenarios:
        lines += [f"## {scenario.title}", "", *_markdown_table(_rows(run, scenario)), ""]
        lines += [f"![{scenario.title}]({plots[scenario.name]})", ""]
    lines += ["## Versions", "", *_versions(run), "", "## Commands", "", *_commands(run)]
    return "\n".join(lines) + "\n"


def _preface(run: Run) -> Iterator[str]:
    yield f"Written by `python -m bench {shlex.join(run.arguments)}`; run it to get your own."
    yield ""
    yield f"- Machine: {_processor()}, {os.cpu_count()} cores; {platform.system()} {_kernel()};"
    yield f"  Python {platform.python_version()}"
    yield f"- Server on core {run.cores.server}, wrk on core {run.cores.load}; 16 connections where"
    yield "  nothing else is said"
    yield f"- Medians over {run.rounds} round(s) of {run.seconds} s, contenders taking turns"
    yield "- CPU: microseconds of processor time, user and system, of the server's whole process"
    yield "  tree for one answer of any load; answers/s, p50 and p99: of the first-named load"
    yield "- / floor: against a C program that sends fixed bytes and parses nothing; / best peer:"
    yield "  against the best figure of the others that made no fault. CPU: less is better;"
    yield "  answers/s: more is better"
    yield "- Memory: resident set of the process tree after the load, shared pages in each"
    yield "- First answer: from the creation of the process"
    yield "- A name that ends in -64 has 64 threads; without, the server's own default"


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
    yield "As started for the first scenario listed, from the checkout:"
    yield ""
    yield "```"
    for contender in run.contenders:
        line = run.table[run.scenarios[0].name][contender.name].command
        yield shlex.join(_portable(word) for word in line)
    yield "```"


def _portable(word: str) -> str:
    if word == sys.executable:
        return "python"
    if word == sys.prefix:
        return "VIRTUAL_ENV"
    if word == str(ROOT):
        return "."
    return Path(word).name if word.startswith("/") else word


def _markdown_table(rows: list[Row]) -> Iterator[str]:
    yield "| " + " | ".join(HEADINGS) + " |"
    yield "|---|" + "---:|" * (len(HEADINGS) - 2) + "---|"
    for row in rows:
        yield "| " + " | ".join(text.replace("|", "\\|") for text in row) + " |"


def _aligned(row: Row, widths: list[int]) -> str:
    first, *figures, note = row
    middle = [text.rjust(width) for text, width in zip(figures, widths[1:-1], strict=True)]
    return "  ".join([first.ljust(widths[0]), *middle, note]).rstrip()


def _rows(run: Run, scenario: Scenario) -> list[Row]:
    cells = run.table[scenario.name]
    marks = _marks(run.contenders, cells)
    against = run.table.get(scenario.against or "", {})
    return [
        _row(name, cell, marks, _notes(scenario, cell, against.get(name))) for name, cell in cells.items()
    ]


def _marks(contenders: Sequence[Contender], cells: dict[str, Cell]) -> _Marks:
    peers = [cells[contender.name] for contender in contenders if contender.is_peer]
    sound = [cell for cell in peers if cell.rate and not cell.note]
    return _Marks(
        floor=cells[FLOOR].cpu if FLOOR in cells else None,
        cpu=min((cell.cpu for cell in sound if cell.cpu), default=None),
        rate=max((cell.rate for cell in sound if cell.rate), default=None),
    )


def _row(name: str, cell: Cell, marks: _Marks, notes: str) -> Row:
    return (
        name,
        _number(cell.cpu, 1),
        _number(_ratio(cell.cpu, marks.floor), 2),
        _number(_ratio(cell.cpu, marks.cpu), 2),
        _number(cell.rate, 0),
        _number(_ratio(cell.rate, marks.rate), 2),
        _number(cell.p50, 2),
        _number(cell.p99, 2),
        _number(_ratio(cell.rss, 1 << 20), 1),
        _number(cell.start, 0),
        notes,
    )


def _notes(scenario: Scenario, cell: Cell, other: Cell | None) -> str:
    return "; ".join(note for note in _all_notes(scenario, cell, other) if note)


def _all_notes(scenario: Scenario, cell: Cell, other: Cell | None) -> Iterator[str]:
    if scenario.possible and cell.rate:
        yield f"{cell.rate / scenario.possible:.2f} of the possible"
    if other and cell.rate and other.rate and cell.cpu and other.cpu:
        rate, cpu = cell.rate / other.rate, cell.cpu / other.cpu
        yield f"against {scenario.against}: {rate:.2f} of its answers/s, {cpu:.2f} of its CPU"
    if scenario.crowd and cell.held is not None:
        yield f"{cell.held:,.0f} of {scenario.crowd.size:,} connections kept"
    if cell.per_connection is not None:
        yield f"{cell.per_connection / 1024:.1f} KiB each"
    yield cell.note


def _ratio(value: float | None, mark: float | None) -> float | None:
    return value / mark if value is not None and mark else None


def _number(value: float | None, digits: int) -> str:
    return NOTHING if value is None else f"{value:,.{digits}f}"
