"""Draw an SVG per scenario: processor time beside answers per second, a bar per contender.

The background is transparent, lines and letters are mid-grey: readable on light and on dark pages.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.servers.contenders import FLOOR, OURS
from bench.servers.measure import Cell
from bench.servers.report import Run
from bench.servers.scenarios import Scenario

GREY = "#808080"
COLOURS = {OURS: "#e8710a", FLOOR: "#808080"}
PEER = "#4285c8"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "bench",  # so that the same figures give the same file
    "font.size": 9,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), GREY),
}


def draw(run: Run, directory: Path) -> dict[str, Path]:
    """Write the pictures into `directory`, created if missing; return their paths by scenario."""
    directory.mkdir(parents=True, exist_ok=True)
    return {
        scenario.name: _figure(scenario, run.table[scenario.name], directory) for scenario in run.scenarios
    }


def _figure(scenario: Scenario, cells: dict[str, Cell], directory: Path) -> Path:
    # Imported here: a run that only prints needs no matplotlib.
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    path = directory / f"{scenario.name}.svg"
    with pyplot.rc_context(STYLE):
        figure, (left, right) = pyplot.subplots(
            1, 2, figsize=(9, 0.6 + 0.28 * len(cells)), sharey=True, layout="constrained"
        )
        _bars(left, cells, lambda cell: cell.cpu, "CPU µs per answer (less is better)", 1)
        _bars(right, cells, lambda cell: cell.rate, "answers/s (more is better)", 0)
        left.invert_yaxis()
        figure.savefig(path, transparent=True, metadata={"Date": None})
        pyplot.close(figure)
    return path


def _bars(
    axes: Any,
    cells: dict[str, Cell],
    value: Callable[[Cell], float | None],
    title: str,
    digits: int,
) -> None:
    bars = axes.barh(
        list(cells),
        [value(cell) or 0 for cell in cells.values()],
        color=[COLOURS.get(name, PEER) for name in cells],
    )
    figures = [value(cell) for cell in cells.values()]
    texts = ["-" if figure is None else f"{figure:,.{digits}f}" for figure in figures]
    axes.bar_label(bars, texts, padding=3)
    axes.set_title(title, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.18)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter("{x:,.0f}")
