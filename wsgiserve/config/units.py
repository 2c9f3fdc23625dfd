"""Sizes and times as people write them: ``64KiB``, ``1G``, ``500ms``, ``5min``.

A plain number is bytes, or seconds. Units of sizes are powers of 1024, whether written ``k``, ``kB`` or
``KiB``; their case does not matter.
"""

from __future__ import annotations

import math
import re

_SIZES = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_TIMES = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = r"[-+]?[0-9]+(?:\.[0-9]+)?"

# For the JSON schema: no inline flags, which JavaScript's patterns lack.
SIZE = rf"^{_NUMBER} ?([kKmMgGtT]([iI]?[bB])?|[bB])?$"
TIME = rf"^{_NUMBER} ?(ms|s|m|min|h|d)?$"

SIZE_EXAMPLES = "500k, 64KiB or 1G"
TIME_EXAMPLES = "10s, 500ms or 5min"


def parse_size(text: str) -> int:
    """Return a number of bytes; ValueError if the text is no size."""
    value = _parse(SIZE, text)
    if value is None:
        raise ValueError(f"{text!r} is not a size such as {SIZE_EXAMPLES}")
    number, unit = value
    size = number * _SIZES[unit[:1].lower()]
    if size != int(size):
        raise ValueError(f"{text!r} is not a whole number of bytes")
    return int(size)


def parse_time(text: str) -> float:
    """Return a number of seconds; ValueError if the text is no time."""
    value = _parse(TIME, text)
    if value is None:
        raise ValueError(f"{text!r} is not a time such as {TIME_EXAMPLES}")
    number, unit = value
    # Rounded, because 3 * 0.001 is not 0.003.
    return round(number * _TIMES[unit], 9)


def _parse(pattern: str, text: str) -> tuple[float, str] | None:
    if not re.fullmatch(pattern, text, re.ASCII):
        return None
    number = re.match(_NUMBER, text)
    assert number is not None
    value = float(number[0])
    return None if math.isinf(value) else (value, text[number.end() :].strip())


def show_size(size: int) -> str:
    """Write a size with the largest unit that divides it."""
    for unit, name in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if size and size % unit == 0:
            return f"{size // unit}{name}"
    return str(size)


def show_time(seconds: float) -> str:
    """Write a time in seconds, or in milliseconds below one."""
    return f"{seconds * 1000:g}ms" if 0 < seconds < 1 else f"{seconds:.15g}s" if seconds else "0"
