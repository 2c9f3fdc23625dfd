"""Folders as .zip and .tar.gz: their members, and the memory they take."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from webtest import TestApp

from tests.lacking import lacking
from tests.privileges import bound_by_modes
from wsgiserve.files import Entry, Files, Store, archive
from wsgiserve.files.archive import FORMATS, Packing, TooManyMembers, tar_stream, zip_stream

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


@pytest.fixture
def deep(store: Store) -> str:
    """A file whose path is longer than a program may open (PATH_MAX), in a folder whose path is not."""
    whole, rest = divmod(4090 - len(os.fsencode(store.directory)), 251)
    parts = ["d" * 250] * whole + ["d" * (rest - 1)] * (rest > 1)
    folder = os.open(store.directory, os.O_RDONLY)
    for part in parts:
        os.mkdir(part, dir_fd=folder)
        below = os.open(part, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    leaf = "e" * 250
    os.close(os.open(leaf, os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
    return "/".join([*parts, leaf])


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
    assert list(members) == [*(name for name in NAMES if name != "a2.txt"), "LEFT-OUT.txt"]
    assert b"'a2.txt': it was removed, or cannot be opened" in members["LEFT-OUT.txt"]


@pytest.mark.parametrize("kind", FORMATS)
def test_the_last_member_names_what_was_left_out(store: Store, kind: str, deep: str) -> None:
    (store.directory / "LEFT-OUT.txt").write_text("mine")
    (store.directory / "b" / "con.txt").write_text("reserved")
    (store.directory / "back\\slash").write_text("not portable")
    with open(os.fsencode(store.directory) + b"/latin-\xe9", "w") as file:
        file.write("not UTF-8")
    members = unpacked(kind, b"".join(FORMATS[kind][1](store, "")))
    *_, last = members
    assert last == "LEFT-OUT1.txt"
    assert members["LEFT-OUT.txt"] == b"mine"
    head, *lines = members[last].decode().splitlines()
    assert head == "This archive is without:"
    told = dict(line.split(": ", 1) for line in lines)
    assert told.pop(repr(deep)) == "it was removed, or cannot be opened"
    assert told == {
        "'b/con.txt'": "it is a device on some systems",
        r"'back\\slash'": "it has a control character, a backslash, or is not UTF-8",
        r"'latin-\udce9'": "it has a control character, a backslash, or is not UTF-8",
    }


def test_an_unreadable_file_is_named_as_left_out(store: Store) -> None:
    (store.directory / "a2.txt").chmod(0)
    members = unpacked("zip", bound_by_modes(lambda: b"".join(zip_stream(store, ""))))
    assert b"'a2.txt': it may not be read by the server" in members["LEFT-OUT.txt"]


def test_few_of_many_names_that_were_left_out_are_named(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_MOST_NAMED", 2)
    for number in range(5):
        (store.directory / f"con.{number}").write_text("")
    members = unpacked("zip", b"".join(zip_stream(store, "")))
    assert members["LEFT-OUT.txt"].decode().splitlines()[-1] == "and 3 more"


def test_a_zip_can_be_read_while_it_arrives(store: Store) -> None:
    """The end of a member is known from its head, or from its deflated bytes."""
    packed = b"".join(zip_stream(store, ""))
    place, names = 0, []
    while packed[place : place + 4] == b"PK\x03\x04":
        flags, method = struct.unpack_from("<HH", packed, place + 6)
        size, _, name, extra = struct.unpack_from("<IIHH", packed, place + 18)
        names.append(packed[place + 30 : place + 30 + name].decode())
        place += 30 + name + extra + size
        if flags & 8:  # the size stands behind the member
            assert (method, size) == (8, 0), names[-1]
            inflater = zlib.decompressobj(-15)
            inflater.decompress(packed[place:])
            place = len(packed) - len(inflater.unused_data) + 16
    assert names == NAMES
    assert packed[place : place + 4] == b"PK\x01\x02"


@pytest.mark.slow
def test_jar_unpacks_a_zip_from_its_standard_input(store: Store, tmp_path: Path) -> None:
    if shutil.which("jar") is None:
        lacking("jar is not on the PATH (Debian package default-jdk-headless)")
    (tmp_path / "out").mkdir()
    unpack = ["jar", "x"]
    packed = b"".join(zip_stream(store, ""))
    subprocess.run(unpack, cwd=tmp_path / "out", input=packed, check=True, timeout=60)
    assert (tmp_path / "out" / "b" / "deep.txt").read_bytes() == b"b/deep.txt" * 1000
    assert (tmp_path / "out" / "b" / "empty").is_dir()


class FarFuture(Store):
    """A store with a file of a time that ``time.gmtime`` refuses, which some file systems keep."""

    def entries(self, name: str = "") -> list[Entry]:
        times = {"a2.txt": 2.0**56, "a10.txt": -(2.0**56)}
        found = super().entries(name)
        return [entry._replace(modified=times.get(entry.name, entry.modified)) for entry in found]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_time_beyond_all_calendars_spoils_nothing(store: Store, kind: str) -> None:
    assert list(unpacked(kind, b"".join(FORMATS[kind][1](FarFuture(store.directory), "")))) == NAMES


def test_few_archives_are_made_at_a_time(store: Store) -> None:
    files = TestApp(Files(store, listing=True, archive=True))
    taken = [Packing(lambda: iter([])) for _ in range(archive.MOST_AT_ONCE)]
    try:
        assert files.get("/?archive=zip", status=503).headers["Retry-After"] == "5"
    finally:
        for each in taken:
            each.close()
            each.close()
    for _ in range(archive.MOST_AT_ONCE + 1):
        files.get("/?archive=zip")
        files.head("/?archive=tar.gz")
        files.get("/nowhere/?archive=zip", status=404)
    assert archive._room._value == archive.MOST_AT_ONCE  # type: ignore[attr-defined]


def test_a_zip_of_too_many_files_is_refused_before_it_begins(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MOST_MEMBERS", len(NAMES))
    b"".join(zip_stream(store, ""))
    monkeypatch.setattr(archive, "MOST_MEMBERS", len(NAMES) - 1)
    with pytest.raises(TooManyMembers, match=r"take it as \.tar\.gz"):
        zip_stream(store, "")
