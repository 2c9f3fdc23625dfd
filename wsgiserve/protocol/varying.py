"""The lines that differ from one head of a connection to the next, where they stand side by side.

Proxies and client libraries add a request id, a trace or the client's address to each request, one behind
the other, and send all other lines as before. Two heads show which lines those are. From then on only they
are read, and the lines around them are compared with those of the last head: equal bytes mean the same.
Where it is one field that says nothing about connection and body, only its value is looked at.
"""

from __future__ import annotations

from collections.abc import Callable

from wsgiserve.protocol import grammar

Fields = dict[str, str]
ReadFew = Callable[[bytes], Fields | None]  # see ``fields.read_few``


class Varying:
    """Where the lines stand: behind ``before``, and before ``after``, which stay.

    ``count`` says how many lines vary, and ``names`` has their CGI names, without those that are ignored; no
    other line has one of them. Where it is one field that is its value and no more, only that is read: then
    ``name`` is its name, else None.
    """

    __slots__ = ("after", "before", "count", "name", "names")

    def __init__(self, lines: bytes, start: int, stop: int, few: Fields, marker: str) -> None:
        self.count = lines.count(b"\n", start, stop)
        self.names = tuple(few)
        self.name = self.names[0] if self.count == len(few) == 1 and marker not in few else None
        if self.name is not None:
            start, stop = lines.index(b":", start) + 1, stop - 2
        self.before, self.after = lines[:start], lines[stop:]

    def read(self, lines: bytes, fields: Fields, read_few: ReadFew) -> Fields | None:
        """Read the fields of ``lines``, where the last head had ``fields``; None if others differ too."""
        start, stop = len(self.before), len(lines) - len(self.after)
        if start > stop or not lines.startswith(self.before) or not lines.endswith(self.after):
            return None
        name = self.name
        if name is None:
            few = read_few(lines[start:stop]) if lines.count(b"\n", start, stop) == self.count else None
            return fields | few if few is not None and tuple(few) == self.names else None
        value = lines[start:stop].decode("latin-1")
        if not grammar.FIELD_VALUE.fullmatch(value):
            return None
        fields = fields.copy()
        fields[name] = value.strip(" \t")
        return fields


def find_varying(lines: bytes, last: bytes, fields: Fields, read_few: ReadFew, marker: str) -> Varying | None:
    """Find the lines that differ in two heads; ``fields`` are those of ``lines``, which are right.

    ``marker`` is the name that tells of fields that were removed. None if other lines have the same names.
    """
    start = lines.rfind(b"\n", 0, _common(lines, last)) + 1
    stop = len(lines) - _common(lines[start:][::-1], last[start:][::-1])
    stop = lines.find(b"\n", stop) + 1
    few = read_few(lines[start:stop]) if start < stop else None
    if few is None or any(fields.get(name) != value for name, value in few.items()):
        return None
    return Varying(lines, start, stop, few, marker)


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
