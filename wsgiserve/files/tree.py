"""The entries of a folder in the order that people expect, and all entries below it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from wsgiserve.files.store import Entry, join

Order = Literal["name", "size", "date"]

_DIGITS = re.compile("([0-9]+)")


def ordered(entries: Iterable[Entry], by: Order = "name", *, descending: bool = False) -> list[Entry]:
    """Sort entries: folders first, entries of equal size or date by name, ``a2`` before ``a10``."""
    found = sorted(entries, key=_natural, reverse=descending and by == "name")
    if by == "size":
        found.sort(key=lambda entry: entry.size, reverse=descending)
    elif by == "date":
        found.sort(key=lambda entry: entry.modified or 0, reverse=descending)
    found.sort(key=lambda entry: entry.kind == "file")
    return found


def walk(entries: Callable[[str], list[Entry]], name: str) -> Iterator[tuple[str, Entry]]:
    """Yield (path from there, entry) for each entry below the folder ``name``, a folder before its contents.

    Folders that are links are left out, so that each file comes once and the walk ends. Entries that are
    removed meanwhile are left out too. ``entries`` is the method of a store; it raises ``FileNotFoundError``
    if ``name`` is not a folder.
    """
    # A list instead of recursion: a tree may be deeper than Python's stack.
    ahead = [("", entry) for entry in reversed(ordered(entries(name)))]
    while ahead:
        above, entry = ahead.pop()
        path = above + entry.name
        if entry.kind == "file":
            yield path, entry
        elif not entry.link:
            yield path, entry
            try:
                below = ordered(entries(join(name, path)))
            except FileNotFoundError:
                continue
            ahead += [(f"{path}/", each) for each in reversed(below)]


def _natural(entry: Entry) -> tuple[list[str | int], str]:
    parts: list[str | int] = list(_DIGITS.split(entry.name.casefold()))
    parts[1::2] = map(int, parts[1::2])
    return parts, entry.name
