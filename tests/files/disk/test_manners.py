"""File systems as they are: some lose files without a name, some have no hard links, some no locks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest

from tests.files.disk.conftest import names, read
from tests.files.mounts import bindfs, fat, require, run, under_faults, unmounted
from wsgiserve.files import NotStored, Store
from wsgiserve.files.disk.manners import Manners, find_out
from wsgiserve.files.store import HIDDEN
from wsgiserve.files.uploads import HOME


@contextmanager
def opened(path: Path) -> Iterator[int]:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield folder
    finally:
        os.close(folder)


def manners_of(path: Path, *, has_proc: bool = True) -> Manners:
    with opened(path) as folder:
        return find_out(folder, has_proc=has_proc)


def test_a_local_disk_keeps_files_without_a_name(tmp_path: Path) -> None:
    assert manners_of(tmp_path) == Manners(unnamed=True, lock="folder")
    assert os.listdir(tmp_path) == []


def test_without_proc_drafts_have_names(tmp_path: Path) -> None:
    assert manners_of(tmp_path, has_proc=False) == Manners(unnamed=False, lock="folder")
    assert os.listdir(tmp_path) == []


def test_what_a_killed_server_left_of_a_trial_is_removed(tmp_path: Path) -> None:
    (tmp_path / f"{HIDDEN}probe").touch()
    assert manners_of(tmp_path) == Manners(unnamed=True, lock="folder")
    assert os.listdir(tmp_path) == []


def test_a_store_finds_out_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert os.listdir(tmp_path) == []  # Nothing is tried at the start.
    store.save("a", BytesIO(b"1"))
    looked = os.stat(tmp_path).st_mtime_ns
    with pytest.raises(NotStored):
        store.save("b", BytesIO(b"1"), 2)
    assert os.stat(tmp_path).st_mtime_ns == looked  # The folder would show a trial.


@pytest.mark.slow
def test_on_juicefs_drafts_have_names_and_the_lock_is_a_file(shared_folder: Path) -> None:
    folder = shared_folder / "manners"
    folder.mkdir()
    assert manners_of(folder) == Manners(unnamed=False, lock="file")
    store = Store(folder)
    for number in range(20):
        assert store.save(f"{number}", BytesIO(b"x")).created
    assert names(folder) == sorted(map(str, range(20)))
    assert [read(store, name) for name in names(folder)] == [b"x"] * 20
    for number in range(20):
        store.remove(f"{number}", check=lambda version: None)
    Store(shared_folder).remove_folder("manners")  # Its lock is in it.
    assert not folder.exists()


@pytest.mark.slow
def test_a_file_system_without_unnamed_files(tmp_path: Path) -> None:
    require("bindfs", "fusermount3")
    with bindfs(tmp_path) as (place, _):
        assert manners_of(place) == Manners(unnamed=False, lock="file")
        assert names(place) == []
        store = Store(place)
        assert [store.save("a", BytesIO(content)).created for content in (b"1", b"22")] == [True, False]
        assert read(store, "a") == b"22"


@pytest.mark.slow
def test_uploads_are_refused_where_there_are_no_hard_links(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    require("fusefat", "mkfs.vfat", "fusermount3")
    with fat(tmp_path) as place:
        (place / "there").write_bytes(b"1")
        store = Store(place)
        with pytest.raises(NotStored, match="no hard links") as caught:
            store.save("a", BytesIO(b"1"))
        assert caught.value.status == 501
        assert caplog.text.count("uploads are refused: ") == 1
        assert os.listdir(place) == ["there"]
        assert read(store, "there") == b"1"
        store.remove("there")
        assert os.listdir(place) == []


@pytest.mark.slow
@pytest.mark.parametrize("place", ["local", "shared"])
def test_servers_that_find_out_at_once_do_not_disturb_one_another(
    tmp_path: Path, place: str, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path if place == "local" else request.getfixturevalue("shared_folder") / "at-once"
    folder.mkdir(exist_ok=True)
    expected = Manners(True, "folder") if place == "local" else Manners(False, "file")
    with ThreadPoolExecutor(16) as pool:
        assert {*pool.map(lambda _: manners_of(folder), range(32))} == {expected}
    assert names(folder) == []


@contextmanager
def small_disk(path: Path, options: str) -> Iterator[Callable[[str], None]]:
    """Mount a disk in memory; the function changes its options."""
    run("mount", "-t", "tmpfs", "-o", options, "wsgiserve-test", path)
    with unmounted(path):
        yield lambda changed: run("mount", "-o", f"remount,{changed}", path)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
@pytest.mark.parametrize(
    ("broken", "whole", "status", "reason"),
    [
        ("nr_inodes=1", "nr_inodes=100", 507, "The disk is full."),
        ("ro", "rw", 403, "The disk is read-only."),
    ],
    ids=["full", "read-only"],
)
def test_a_fault_that_may_pass_is_told_and_the_next_upload_tries_again(
    tmp_path: Path, broken: str, whole: str, status: int, reason: str
) -> None:
    with small_disk(tmp_path, broken) as change:
        store = Store(tmp_path)
        for _ in range(2):
            with pytest.raises(NotStored, match=reason) as caught:
                store.save("a", BytesIO(b"1"))
            assert caught.value.status == status
        change(whole)
        assert store.save("a", BytesIO(b"1")).created
        assert os.listdir(tmp_path) == ["a"]


PROGRAM = """
import sys
from io import BytesIO
from wsgiserve.files import NotStored, Store
from wsgiserve.files.uploads import Plan

def nothing(version):
    pass

store = Store(sys.argv[1])
for check in (None, None, nothing):
    try:
        print(store.save("a", BytesIO(b"x"), check=check).created)
    except NotStored as refusal:
        print(refusal.status, refusal)
try:
    token = store.uploads.create(Plan("c", 1, {}, {}, ""), check=None)
    store.uploads.append(token, 0, BytesIO(b"1"))
    print(store.uploads.finish(token, check=None).created)
    store.remove("c")
except NotStored as refusal:
    print(refusal.status, refusal)
store.make_folder("b")
store.remove_folder("b")
"""


def uploads_under(folder: Path, fault: str, *only: str) -> list[str]:
    """Create a file, replace it, do so under a condition, and in two requests, while a system call fails."""
    return under_faults(PROGRAM, folder, "-e", f"inject={fault}", *only)


@pytest.mark.slow
@pytest.mark.parametrize("error", ["ENOLCK", "EOPNOTSUPP"])
def test_without_locks_a_certain_version_cannot_be_replaced(tmp_path: Path, error: str) -> None:
    created, replaced, *refused = uploads_under(tmp_path, f"flock:error={error}")
    assert (created, replaced) == ("True", "False")
    assert [line[:48] for line in refused] == ["501 The file system of this folder has no locks:"] * 2
    assert names(tmp_path) == [HOME, "a"]


@pytest.mark.slow
def test_where_folders_have_no_locks_a_file_is_locked(tmp_path: Path) -> None:
    """As on NFS."""
    assert uploads_under(tmp_path, "flock:error=EBADF:when=1") == ["True", "False", "False", "True"]
    assert set(os.listdir(tmp_path)) == {"a", f"{HIDDEN}lock", HOME}


@pytest.mark.slow
def test_without_hard_links_nothing_is_left_behind(tmp_path: Path) -> None:
    lines = uploads_under(tmp_path, "linkat:error=EPERM")
    assert [line[:3] for line in lines] == ["501"] * 4
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_a_file_system_that_cannot_sync_folders(tmp_path: Path) -> None:
    only = ("-P", str(tmp_path), "-P", f"{tmp_path}/{HOME}")
    assert uploads_under(tmp_path, "fsync:error=EINVAL", *only) == ["True", "False", "False", "True"]
    assert names(tmp_path)[-1] == "a"


@pytest.mark.slow
def test_an_error_of_a_sync_is_not_taken_for_success(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="Input/output error"):
        uploads_under(tmp_path, "fsync:error=EIO", "-P", str(tmp_path))
