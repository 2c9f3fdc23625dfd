"""Folders as .zip and .tar.gz: their members, and the memory they take."""

from __future__ import annotations

import io
import os
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from wsgiserve.files import Entry, Store, archive
from wsgiserve.files.archive import FORMATS, TooManyMembers, tar_stream, zip_stream

NAMES = ["b/", "b/empty/", "b/deep.txt", "b/photo.jpg", "a2.txt", "a10.txt", "ü <&>.txt"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    root = tmp_path / "shared"
    (root / "b" / "empty").mkdir(parents=True)
    for name in NAMES:
        if not name.endswith("/"):
            (root / name).write_bytes(name.encode() * 1000)
    (tmp_path / "outside.txt").write_text("secret")
    (root / "out").symlink_to(tmp_path / "outside.txt")
    (root / "circle").symlink_to(root)
    (root / ".hidden").write_text("secret")
    os.mkfifo(root / "fifo")
    return Store(root)


def unpacked(kind: str, packed: bytes) -> dict[str, bytes]:
    """Return the members by name, folders with a slash."""
    if kind == "zip":
        with zipfile.ZipFile(io.BytesIO(packed)) as found:
            assert found.testzip() is None
            return {name: found.read(name) for name in found.namelist()}
    members = {}
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        for member in tar:
            content = tar.extractfile(member)
            members[member.name + "/" * member.isdir()] = content.read() if content else b""
    return members


@pytest.mark.parametrize("kind", FORMATS)
def test_an_archive_has_the_files_of_the_store_and_no_others(store: Store, kind: str) -> None:
    members = unpacked(kind, b"".join(FORMATS[kind][1](store, "")))
    assert list(members) == NAMES
    for name, content in members.items():
        assert content == (b"" if name.endswith("/") else name.encode() * 1000)


@pytest.mark.parametrize("kind", FORMATS)
def test_paths_are_relative_to_the_packed_folder(store: Store, kind: str) -> None:
    members = unpacked(kind, b"".join(FORMATS[kind][1](store, "b")))
    assert list(members) == ["empty/", "deep.txt", "photo.jpg"]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_name_that_is_not_a_folder_is_not_found(store: Store, kind: str) -> None:
    for name in ("nowhere", "a2.txt", "out", ".hidden", "../shared"):
        with pytest.raises(FileNotFoundError):
            b"".join(FORMATS[kind][1](store, name))


@pytest.mark.parametrize("kind", FORMATS)
def test_the_members_keep_their_time(store: Store, kind: str) -> None:
    os.utime(store.directory / "a2.txt", (1_600_000_000, 1_600_000_000))
    os.utime(store.directory / "a10.txt", (0, 0))  # before a zip's first year
    packed = io.BytesIO(b"".join(FORMATS[kind][1](store, "")))
    if kind == "tar.gz":
        with tarfile.open(fileobj=packed) as tar:
            assert [tar.getmember(name).mtime for name in ("a2.txt", "a10.txt")] == [1_600_000_000, 0]
    else:
        with zipfile.ZipFile(packed) as found:
            assert found.getinfo("a2.txt").date_time[0] == 2020
            assert found.getinfo("a10.txt").date_time == (1980, 1, 1, 0, 0, 0)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_large_file_is_never_whole_in_memory(store: Store, kind: str) -> None:
    size = 64 << 20
    with (store.directory / "large.jpg").open("wb") as file:
        file.truncate(size)
    blocks = FORMATS[kind][1](store, "")
    tracemalloc.start()
    try:
        total = sum(map(len, blocks))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert total < size if kind == "tar.gz" else total > size  # a .jpg is not deflated once more


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_shrinks_cuts_the_archive(store: Store, kind: str) -> None:
    path = store.directory / "large.bin"
    path.write_bytes(os.urandom(4 << 20))
    blocks: Iterator[bytes] = FORMATS[kind][1](store, "")
    while len(next(blocks)) < 100_000:
        pass
    os.truncate(path, 0)
    with pytest.raises(OSError, match="shorter"):
        b"".join(blocks)


class Vanishing(Store):
    """A store whose a2.txt is removed as soon as it was listed."""

    def entries(self, name: str = "") -> list[Entry]:
        found = super().entries(name)
        (self.directory / "a2.txt").unlink(missing_ok=True)
        return found


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_file_that_is_removed_meanwhile_is_left_out(store: Store, kind: str) -> None:
    stream = archive._zip if kind == "zip" else tar_stream
    members = unpacked(kind, b"".join(stream(Vanishing(store.directory), "")))
    assert list(members) == [name for name in NAMES if name != "a2.txt"]


def test_a_zip_of_too_many_files_is_refused_before_it_begins(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MOST_MEMBERS", len(NAMES))
    b"".join(zip_stream(store, ""))
    monkeypatch.setattr(archive, "MOST_MEMBERS", len(NAMES) - 1)
    with pytest.raises(TooManyMembers, match=r"take it as \.tar\.gz"):
        zip_stream(store, "")
