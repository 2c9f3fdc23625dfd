"""Byte ranges (RFC 9110 §14): the bytes of a representation that a ``Range`` field asks for.

* A field with another unit, bad syntax, or a last position before the first is ignored, as §14.2 allows: the
  client gets the whole.
* Ranges are sorted, and ranges that overlap or touch are joined (§15.3.7.2). So no byte is sent twice. A
  field with more than ``MAX_RANGES`` ranges is ignored (§17.15): no client needs so many.
* Numbers may have any length (§14.1.2). They are compared with the size, and never sent back.
"""

from __future__ import annotations

import re

Bounds = tuple[int, int]
"""The position of the first byte, and the position after the last byte. At least one byte."""

MAX_RANGES = 16

# §14.1.1: int-range and suffix-range. [0-9], because \d also means digits of other scripts.
_SPEC = re.compile(r"([0-9]+)-([0-9]*)|-([0-9]+)")
# A longer number is beyond the end of any file, and int() refuses very long ones.
_MAX_DIGITS = 19


def select(field: str, size: int) -> list[Bounds] | None:
    """Return the spans that ``field`` asks for, of a file of ``size`` bytes, in ascending order.

    An empty list means 416: the ranges are valid, but none can be satisfied. None means: ignore the field.
    """
    specs = _parse(field)
    if specs is None:
        return None
    spans = [span for first, last, suffix in specs if (span := _resolve(first, last, suffix, size))]
    if not spans and not size and any(suffix and suffix.strip("0") for _, _, suffix in specs):
        return None  # §14.1.2: "-5" is satisfiable even of no bytes, but Content-Range has no form for that.
    return coalesce(spans)


def coalesce(spans: list[Bounds]) -> list[Bounds]:
    """Sort spans, and join those that overlap or touch."""
    joined: list[Bounds] = []
    for start, stop in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined


def content_range(span: Bounds, size: int) -> str:
    """Render Content-Range for a part (§14.4)."""
    return f"bytes {span[0]}-{span[1] - 1}/{size}"


def _parse(field: str) -> list[tuple[str, str, str]] | None:
    """Return (first, last, suffix) of each range, '' for an absent number; None if the field is ignored."""
    unit, equals, rest = field.partition("=")
    if unit.lower() != "bytes" or not equals:  # §14.1: unit names are case-insensitive
        return None
    if rest.count(",") > 4 * MAX_RANGES:
        return None
    specs = []
    for element in rest.split(","):
        if not (element := element.strip(" \t")):
            continue  # §5.6.1.2: a recipient accepts empty list elements
        match = _SPEC.fullmatch(element)
        if match is None:
            return None
        first, last, suffix = match.groups("")
        if last and _number(last) < _number(first):
            return None
        specs.append((first, last, suffix))
    return specs if 0 < len(specs) <= MAX_RANGES else None


def _resolve(first: str, last: str, suffix: str, size: int) -> Bounds | None:
    if suffix:
        start, stop = size - min(_number(suffix), size), size
    else:
        start, stop = _number(first), min(_number(last) + 1, size) if last else size
    return (start, stop) if start < stop else None


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS
