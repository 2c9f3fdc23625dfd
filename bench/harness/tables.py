"""Format rows as a table, for the terminal or in Markdown; the first and last columns hold words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Row = Sequence[str]

NOTHING = "-"


def aligned(rows: Sequence[Row]) -> Iterator[str]:
    """Align the columns for the terminal; the first row holds the headings."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *figures, last in rows:
        middle = [text.rjust(width) for text, width in zip(figures, widths[1:-1], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *middle, last]).rstrip()


def markdown(rows: Sequence[Row]) -> Iterator[str]:
    """Write a Markdown table; the first row holds the headings."""
    headings, *others = (" | ".join(text.replace("|", "\\|") for text in row) for row in rows)
    yield f"| {headings} |"
    yield "|---|" + "---:|" * (len(rows[0]) - 2) + "---|"
    for row in others:
        yield f"| {row} |"


def number(value: float | None, digits: int) -> str:
    return NOTHING if value is None else f"{value:,.{digits}f}"
