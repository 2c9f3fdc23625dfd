"""Compare wsgiserve with the best peer, in words.

Only contenders without a fault count, and only those with at least a tenth of the most answers per second: a
server that hardly answers can be cheap per answer. Figures that differ by less than 2 % are level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.harness.tables import number
from bench.servers.contenders import FLOOR, OURS
from bench.servers.measure import Cell
from bench.servers.quiet import Quiet

SERIOUS = 0.1
LEVEL = 0.02


@dataclass(frozen=True)
class Measure:
    """A column of the tables; a stored figure divided by `scale` is in `unit`."""

    name: str
    attribute: str
    better: Literal["less", "more"]
    unit: str = ""
    digits: int = 0
    scale: float = 1


MEASURES = [
    Measure("CPU", "cpu", "less", " µs", 1),
    Measure("answers/s", "rate", "more"),
    Measure("p99", "p99", "less", " ms", 2),
]
QUIET_MEASURES = [
    Measure("wake-ups a minute", "wakes", "less", "", 1),
    Measure("memory", "memory", "less", " MiB", 1, 1 << 20),
    Measure("first answer", "start", "less", " ms"),
    Measure("first answer of the demo", "demo", "less", " ms"),
]


@dataclass(frozen=True)
class Comparison:
    """wsgiserve's figure beside that of the best peer."""

    measure: Measure
    ours: float
    peer: str
    theirs: float

    @property
    def leader(self) -> str:
        """The name of the better one; empty if they are level."""
        less, more = sorted((self.ours, self.theirs))
        if more <= less * (1 + LEVEL):
            return ""
        we_lead = (self.ours == less) == (self.measure.better == "less")
        return OURS if we_lead else self.peer

    def sentence(self) -> str:
        """Say, better one first, as in "CPU: bjoern 11.6 µs, wsgiserve 24.4 µs (2.10 times that)"."""
        pair = [(self.peer, self.theirs), (OURS, self.ours)]
        if self.leader != self.peer:
            pair.reverse()
        (first, best), (second, other) = pair
        text = f"{self.measure.name}: {first} {self._show(best)}, {second} {self._show(other)}"
        if not self.leader:
            return f"{text} (level)"
        return f"{text} ({other / best:.2f} times that)" if best else text

    def _show(self, figure: float) -> str:
        return number(figure / self.measure.scale, self.measure.digits) + self.measure.unit


def serious(cells: Mapping[str, Cell]) -> dict[str, Cell]:
    """Return the cells that count in comparisons; see the module."""
    sound = {name: cell for name, cell in cells.items() if cell.sound}
    most = max((cell.rate or 0 for name, cell in sound.items() if name != FLOOR), default=0)
    return {name: cell for name, cell in sound.items() if (cell.rate or 0) >= SERIOUS * most}


def compare(cells: Mapping[str, Cell]) -> list[Comparison]:
    """Compare wsgiserve with the best peer of a scenario in each column; [] without a figure or a peer."""
    return _compare(serious(cells), MEASURES)


def compare_quiet(quiet: Mapping[str, Quiet]) -> list[Comparison]:
    """Compare wsgiserve with the best peer among servers without work."""
    return _compare({name: each for name, each in quiet.items() if not each.note}, QUIET_MEASURES)


def _compare(
    found: Mapping[str, Cell] | Mapping[str, Quiet], measures: Sequence[Measure]
) -> list[Comparison]:
    return [comparison for measure in measures for comparison in _with_best_peer(found, measure)]


def _with_best_peer(
    found: Mapping[str, Cell] | Mapping[str, Quiet], measure: Measure
) -> Iterator[Comparison]:
    figures = {name: getattr(entry, measure.attribute) for name, entry in found.items() if name != FLOOR}
    figures = {name: figure for name, figure in figures.items() if figure is not None}
    ours = figures.pop(OURS, None)
    if ours is not None and figures:
        best = (min if measure.better == "less" else max)(figures, key=lambda name: figures[name])
        yield Comparison(measure, ours, best, figures[best])
