"""Drafts: whole files only, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import time
from io import BytesIO
from pathlib import Path

import pytest

from tests.files.disk.conftest import names
from wsgiserve.files import Store
from wsgiserve.files.disk.draft import Draft, locked, remove_leftovers
from wsgiserve.files.store import HIDDEN, NotStored


@pytest.mark.parametrize("unnamed", [True, False], ids=["unnamed", "hidden"])
@pytest.mark.parametrize("before", [None, b"old"], ids=["new", "replacing"])
def test_a_file_is_whole_the_moment_it_has_its_name(
    tmp_path: Path, unnamed: bool, before: bytes | None
) -> None:
    if before is not None:
        (tmp_path / "a").write_bytes(before)
    folder = os.open(tmp_path, os.O_RDONLY)
    with Draft(folder, unnamed=unnamed) as draft:
        draft.write_all(BytesIO(b"12345"))
        created, version = draft.publish("a")
        assert created is (before is None)
        assert version.size == 5
        assert (tmp_path / "a").read_bytes() == b"12345"
    os.close(folder)
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("unnamed", [True, False], ids=["unnamed", "hidden"])
def test_a_draft_that_is_not_published_leaves_nothing(tmp_path: Path, unnamed: bool) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    with Draft(folder, unnamed=unnamed) as draft:
        draft.write_all(BytesIO(b"12345"))
    os.close(folder)
    assert names(tmp_path) == []


@pytest.mark.parametrize("before", [None, b"old"], ids=["new", "replacing"])
def test_an_exception_of_the_check_keeps_the_old_file(tmp_path: Path, before: bytes | None) -> None:
    if before is not None:
        (tmp_path / "a").write_bytes(before)

    def refuse() -> None:
        raise PermissionError

    folder = os.open(tmp_path, os.O_RDONLY)
    with Draft(folder, unnamed=True) as draft:
        draft.write_all(BytesIO(b"new"))
        with pytest.raises(PermissionError):
            draft.publish("a", refuse)
    os.close(folder)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == ({"a": before} if before else {})


def age(path: Path) -> None:
    two_days_ago = time.time() - 2 * 24 * 60 * 60
    os.utime(path, (two_days_ago, two_days_ago))


def test_a_folder_that_holds_only_leftovers_is_emptied(tmp_path: Path) -> None:
    for leaf in ("lock", "replacing", "0123456789abcdef"):
        (tmp_path / f"{HIDDEN}{leaf}").touch()
    folder = os.open(tmp_path, os.O_RDONLY)
    before = os.listdir(tmp_path)
    remove_leftovers(folder)  # The draft is new: somebody may still write it.
    assert os.listdir(tmp_path) == before

    age(tmp_path / f"{HIDDEN}0123456789abcdef")
    (tmp_path / "a").touch()
    remove_leftovers(folder)
    assert len(os.listdir(tmp_path)) == 4

    (tmp_path / "a").unlink()
    remove_leftovers(folder)
    assert os.listdir(tmp_path) == []
    os.close(folder)


def test_a_folder_that_was_deleted_meanwhile_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.make_folder("sub")

    class Body(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            with contextlib.suppress(FileNotFoundError):
                store.remove_folder("sub")
            return super().read(size)

    with pytest.raises(NotStored, match="deleted meanwhile") as caught:
        store.save("sub/a", Body(b"1"))
    assert caught.value.status == 409


def test_the_lock_removes_a_hidden_name_that_a_crash_left_behind(tmp_path: Path) -> None:
    (tmp_path / f"{HIDDEN}replacing").touch()
    folder = os.open(tmp_path, os.O_RDONLY)
    with locked(folder):
        assert names(tmp_path) == []
    os.close(folder)
