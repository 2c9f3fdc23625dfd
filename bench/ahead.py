"""Who is ahead of whom, in words, computed from the run.

Compared are those that made no fault and gave at least a tenth of the most answers a second: who answers next
to nothing may well be cheap. Figures closer than two in a hundred are level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.contenders import FLOOR, OURS
from bench.measure import Cell
from bench.quiet import Quiet
from bench.tables import number

SERIOUS = 0.1
LEVEL = 0.02


@dataclass(frozen=True)
class Measure:
    """A column that is compared; `scale` divides what is stored into the unit that is shown."""

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
    Measure("memory", "rss", "less", " MiB", 1, 1 << 20),
    Measure("first answer", "start", "less", " ms"),
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
        """The name of who is ahead; empty if they are level."""
        less, more = sorted((self.ours, self.theirs))
        if more <= less * (1 + LEVEL):
            return ""
        we_lead = (self.ours == less) == (self.measure.better == "less")
        return OURS if we_lead else self.peer

    def sentence(self) -> str:
        """As "CPU: bjoern 11.6 µs, wsgiserve 24.4 µs (2.10 times that)", the better one first."""
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
    """Return the cells that others may be compared with."""
    sound = {name: cell for name, cell in cells.items() if cell.sound}
    most = max((cell.rate or 0 for name, cell in sound.items() if name != FLOOR), default=0)
    return {name: cell for name, cell in sound.items() if (cell.rate or 0) >= SERIOUS * most}


def compare(cells: Mapping[str, Cell]) -> list[Comparison]:
    """Compare wsgiserve with the best peer of one scenario in each column; [] where there is nothing to."""
    return _compare(serious(cells), MEASURES)


def compare_quiet(quiet: Mapping[str, Quiet]) -> list[Comparison]:
    """The same for servers without work."""
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
