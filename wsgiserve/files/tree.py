"""Entries of a folder in the order that people expect, and all that is below a folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from wsgiserve.files.store import Entry, join

if TYPE_CHECKING:
    from wsgiserve.files.disk.store import Store

Order = Literal["name", "size", "date"]

_DIGITS = re.compile("([0-9]+)")


def ordered(entries: Iterable[Entry], by: Order = "name", *, descending: bool = False) -> list[Entry]:
    """Sort entries: folders first, equals by name, ``a2`` before ``a10``."""
    found = sorted(entries, key=_natural, reverse=descending and by == "name")
    if by == "size":
        found.sort(key=lambda entry: entry.size, reverse=descending)
    elif by == "date":
        found.sort(key=lambda entry: entry.modified, reverse=descending)
    found.sort(key=lambda entry: entry.kind == "file")
    return found


def walk(store: Store, name: str) -> Iterator[tuple[str, Entry]]:
    """Yield what is below the folder ``name``, as (path from there, entry), a folder before its contents.

    Folders that are links are left out: each file comes once, and the walk ends. So is what was removed
    meanwhile; but that ``name`` is no folder is a ``FileNotFoundError``.
    """
    # Not by recursion: a tree may be deeper than Python's stack.
    ahead = [("", entry) for entry in reversed(ordered(store.entries(name)))]
    while ahead:
        above, entry = ahead.pop()
        path = above + entry.name
        if entry.kind == "file":
            yield path, entry
        elif not entry.link:
            yield path, entry
            try:
                below = ordered(store.entries(join(name, path)))
            except FileNotFoundError:
                continue
            ahead += [(f"{path}/", each) for each in reversed(below)]


def _natural(entry: Entry) -> tuple[list[str | int], str]:
    parts: list[str | int] = list(_DIGITS.split(entry.name.casefold()))
    parts[1::2] = map(int, parts[1::2])
    return parts, entry.name
