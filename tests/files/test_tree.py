"""The order of entries, and all entries below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from wsgiserve.files.disk.store import Store
from wsgiserve.files.store import Entry
from wsgiserve.files.tree import ordered, walk


def test_entries_of_equal_size_or_date_are_sorted_by_name(tmp_path: Path) -> None:
    for name in ("c", "a10", "a9"):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (1, 1))
    entries = Store(tmp_path).entries()
    for by in ("size", "date"):
        for descending in (False, True):
            found = ordered(entries, by, descending=descending)
            assert [entry.name for entry in found] == ["a9", "a10", "c"]


def names(found: Iterable[Entry]) -> list[str]:
    return [entry.name for entry in found]


def test_folders_come_first_and_numbers_are_sorted_by_value() -> None:
    entries = [
        Entry("a10", "file", 1, 3.0),
        Entry("B", "file", 3, 2.0),
        Entry("a9", "file", 2, 1.0),
        Entry("z", "folder", 0, 0.0),
    ]
    assert names(ordered(entries)) == ["z", "a9", "a10", "B"]
    assert names(ordered(entries, descending=True)) == ["z", "B", "a10", "a9"]
    assert names(ordered(entries, "size")) == ["z", "a10", "a9", "B"]
    assert names(ordered(entries, "date", descending=True)) == ["z", "a10", "B", "a9"]


def test_the_walk_goes_through_each_folder_once_and_follows_no_links(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    for name in ("a", "b/c/d", "b/e"):
        (tmp_path / name).touch()
    (tmp_path / "b" / "circle").symlink_to(tmp_path)
    store = Store(tmp_path)
    assert [path for path, _ in walk(store.entries, "")] == ["b", "b/c", "b/c/d", "b/e", "a"]
    assert [path for path, _ in walk(store.entries, "b")] == ["c", "c/d", "e"]
    with pytest.raises(FileNotFoundError):
        next(walk(store.entries, "a"))
