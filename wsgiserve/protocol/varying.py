"""The lines that differ from one head of a connection to the next, where they stand side by side.

Proxies and client libraries add a request id, a trace or the client's address to each request, one behind
the other, and send all other lines as before. Two heads show which lines those are. From then on only they
are read, and the lines around them are compared with those of the last head: equal bytes mean the same.
For a browser's 12 fields and a new request id that is an eighth of the server's machine instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

Fields = dict[str, str]
ReadFew = Callable[[bytes], Fields | None]  # see ``fields.read_few``


class Varying(NamedTuple):
    """Where the lines stand: behind ``start`` bytes of lines that stay, and before ``end`` bytes of others.

    ``names`` are their CGI names; no other line has one of them.
    """

    start: int
    end: int
    names: tuple[str, ...]

    def read(self, lines: bytes, last: bytes, fields: Fields, read_few: ReadFew) -> Fields | None:
        """Read the fields of ``lines``, where ``last`` has ``fields``; None if other lines differ too."""
        start, end, names = self
        stop = len(lines) - end
        if lines[:start] != last[:start] or lines[stop:] != last[len(last) - end :]:
            return None
        few = read_few(lines[start:stop])
        return fields | few if few and tuple(few) == names else None


def find_varying(lines: bytes, last: bytes, fields: Fields, read_few: ReadFew) -> Varying | None:
    """Find the lines that differ in two heads; ``fields`` are those of ``lines``, which are right.

    None if other lines have the same names, or if a field is ignored: then their values do not stand alone.
    """
    start = lines.rfind(b"\n", 0, _common(lines, last)) + 1
    stop = len(lines) - _common(lines[start:][::-1], last[start:][::-1])
    stop = lines.find(b"\n", stop) + 1
    few = read_few(lines[start:stop])
    if not few or any(fields.get(name) != value for name, value in few.items()):
        return None
    return Varying(start, len(lines) - stop, tuple(few))


def _common(one: bytes, other: bytes) -> int:
    """Return how many bytes are equal at the beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
