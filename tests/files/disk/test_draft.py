"""Drafts: whole files only, and nothing left behind."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import pytest

from tests.files.disk.conftest import names
from wsgiserve.files.disk.draft import Draft, locked
from wsgiserve.files.store import HIDDEN


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


def test_the_lock_removes_a_hidden_name_that_a_crash_left_behind(tmp_path: Path) -> None:
    (tmp_path / f"{HIDDEN}replacing").touch()
    folder = os.open(tmp_path, os.O_RDONLY)
    with locked(folder):
        assert names(tmp_path) == []
    os.close(folder)
