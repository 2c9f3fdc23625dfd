"""The store on a disk: saving, replacing, listing, and races."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.files.conftest import write
from tests.files.disk.conftest import MIB, Faulty, held, names, read, try_read
from tests.files.mounts import under_faults
from wsgiserve.files import InvalidName, NotStored
from wsgiserve.files.disk.store import Store


@pytest.mark.parametrize("content", [b"", b"text\n", bytes(range(256)), b"\r\n\x00\xff" * MIB], ids=len)
def test_a_saved_file_is_read_back_byte_for_byte(store: Store, content: bytes) -> None:
    assert store.save("a.bin", BytesIO(content)).created is True
    assert read(store, "a.bin") == content
    assert names(store.directory) == ["a.bin"]


def test_saving_again_replaces(store: Store) -> None:
    assert store.save("a", BytesIO(b"old, and longer")).created is True
    assert store.save("a", BytesIO(b"new")).created is False
    assert read(store, "a") == b"new"
    assert names(store.directory) == ["a"]


def test_an_open_file_keeps_its_content_when_it_is_replaced(store: Store) -> None:
    store.save("a", BytesIO(b"old"))
    stored = store.open("a")
    store.save("a", BytesIO(b"new"))
    with stored.file:
        assert stored.file.read() == b"old"


def test_the_folder_is_created_at_the_first_save(tmp_path: Path, store_class: type[Store]) -> None:
    store = store_class(tmp_path / "deep" / "files")
    with pytest.raises(FileNotFoundError):
        store.open("a")
    assert names(tmp_path) == []
    assert store.save("a", BytesIO(b"1")).created is True
    assert read(store, "a") == b"1"


def test_a_relative_directory_does_not_move_with_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("files")
    store.save("a", BytesIO(b"1"))
    monkeypatch.chdir("/")
    assert read(store, "a") == b"1"


def test_the_folder_itself_may_be_a_link_that_is_switched(tmp_path: Path, store_class: type[Store]) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a").write_text(version)
    (tmp_path / "files").symlink_to("v1")
    store = store_class(tmp_path / "files")
    assert read(store, "a") == b"v1"
    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").rename(tmp_path / "files")
    assert read(store, "a") == b"v2"


def test_a_save_uses_existing_folders_and_makes_none(store: Store) -> None:
    (store.directory / "sub").mkdir()
    assert store.save("sub/a", BytesIO(b"1")).created is True
    assert read(store, "sub/a") == b"1"
    with pytest.raises(InvalidName, match="there is no folder 'other'"):
        store.save("other/a", BytesIO(b"1"))
    assert names(store.directory) == ["sub", "sub/a"]


def test_a_new_file_has_the_mode_that_the_umask_gives(store: Store) -> None:
    store.save("a", BytesIO(b"1"))
    (store.directory / "as-made-by-open").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in store.directory.iterdir()}
    assert len(modes) == 1


def test_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    program = """if True:
        import resource, sys
        from wsgiserve.files import Store
        class Zeros:
            left = 1024
            def read(self, size):
                self.left -= 1
                return bytes(256 * 1024) if self.left >= 0 else b""
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        store, before = Store(sys.argv[1]), peak()
        store.save("zeros", Zeros(), 256 * 1024 * 1024)
        sys.stdout.write(str(peak() - before))
    """
    shown = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "files"],
        capture_output=True,
        check=True,
    )
    assert int(shown.stdout) < 8 * 1024  # KiB, of the 256 MiB that went through


@pytest.mark.parametrize("before", [None, b"old"], ids=["new", "replacing"])
@pytest.mark.parametrize(
    "error", [ConnectionResetError(), ValueError("cut off"), KeyboardInterrupt()], ids=repr
)
def test_a_body_that_raises_leaves_nothing(store: Store, error: BaseException, before: bytes | None) -> None:
    if before is not None:
        store.save("a", BytesIO(before))
    there, before_that = names(store.directory), held(store.directory)
    with pytest.raises(type(error)) as caught:
        store.save("a", Faulty(error))
    assert caught.value is error
    assert names(store.directory) == there
    assert try_read(store, "a") == before
    assert held(store.directory) == before_that


@pytest.mark.parametrize("length", [0, 4, 6, 10**12])
def test_a_body_with_another_length_than_announced_leaves_nothing(store: Store, length: int) -> None:
    with pytest.raises(NotStored, match=f"{length} bytes were announced and 5 arrived") as caught:
        store.save("a", BytesIO(b"hello"), length)
    assert caught.value.status == 400
    assert names(store.directory) == []
    assert store.save("a", BytesIO(b"hello"), 5).created is True


@pytest.mark.slow
def test_of_racing_creators_exactly_one_created(store: Store) -> None:
    for turn in range(10):
        barrier = threading.Barrier(20)

        def create(number: int, name: str = f"a{turn}", barrier: Any = barrier) -> bool:
            barrier.wait()
            return store.save(name, BytesIO(b"%d" % number)).created

        with ThreadPoolExecutor(20) as threads:
            created = list(threads.map(create, range(20)))
        assert created.count(True) == 1
        assert int(read(store, f"a{turn}")) in range(20)
    assert names(store.directory) == sorted(f"a{turn}" for turn in range(10))


@pytest.mark.slow
def test_readers_see_the_old_content_or_the_new_never_a_mix(store: Store) -> None:
    contents = [bytes([number]) * 700_000 for number in range(4)]
    store.save("a", BytesIO(contents[0]))
    done = threading.Event()

    def watch() -> set[bytes]:
        seen = set()
        while not done.is_set():
            seen.add(read(store, "a"))
        return seen

    with ThreadPoolExecutor(4) as threads:
        readers = [threads.submit(watch) for _ in range(4)]
        try:
            for turn in range(40):
                assert store.save("a", BytesIO(contents[turn % 4])).created is False
        finally:
            done.set()
        seen = set().union(*(reader.result() for reader in readers))
    assert seen <= set(contents)
    assert len(seen) > 1


def test_while_a_body_arrives_there_is_no_file(store: Store, tmp_path: Path) -> None:
    seen: dict[str, list[str]] = {}

    class Watching(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            seen["names"] = os.listdir(store.directory)
            return super().read(size)

    store.save("a", Watching(b"1"))
    visible = [name for name in seen["names"] if try_read(store, name) is not None]
    assert visible == []
    assert all(name.startswith(".wsgiserve-") for name in seen["names"])


def test_entries_are_the_files_and_folders_that_can_be_opened(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root / "a.txt", b"hello")
    write(root / "sub" / "b", b"1")
    write(tmp_path / "outside", b"1")
    write(root / ".hidden", b"1")
    write(root / "nul.txt", b"1")
    os.mkfifo(root / "fifo")
    (root / "inside").symlink_to("a.txt")
    (root / "folder").symlink_to("sub")
    (root / "leads-outside").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to("loop")
    entries = Store(root).entries()
    assert sorted((entry.name, entry.kind, entry.size) for entry in entries) == [
        ("a.txt", "file", 5),
        ("folder", "folder", 0),
        ("inside", "file", 5),
        ("sub", "folder", 0),
    ]
    assert [entry.name for entry in Store(root).entries("folder")] == ["b"]
    for name in ("a.txt", "missing", "..", "fifo", ".hidden", "leads-outside"):
        with pytest.raises(FileNotFoundError):
            Store(root).entries(name)
    assert Store(tmp_path / "not-there-yet").entries() == []


READING = """
import sys
from wsgiserve.files import Store
try:
    print(Store(sys.argv[1]).open("a").content())
except FileNotFoundError:
    print("missing")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("times", "expected"), [(2, "b'new'"), (None, "missing")])
def test_a_file_is_opened_again_while_another_server_replaces_it(
    tmp_path: Path, times: int | None, expected: str
) -> None:
    (tmp_path / "a").write_bytes(b"new")
    fault = "inject=openat:error=ESTALE" + (f":when=1..{times}" if times else "")
    assert under_faults(READING, tmp_path, "-P", "a", "-e", fault) == [expected]
