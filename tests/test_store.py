"""The store: what it keeps, what it refuses, and that nothing outside is ever touched."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsgiserve.files import InvalidName, NotStored, Store
from wsgiserve.files.disk.draft import Draft

SECRET = b"the sentinel outside"
MIB = 1024 * 1024


class PortableStore(Store):
    """The store as it works where the kernel does not tell the path of a descriptor."""

    has_proc = False


@pytest.fixture(params=[Store, PortableStore], ids=["proc", "portable"])
def store_class(request: pytest.FixtureRequest) -> type[Store]:
    return request.param


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder beside the store's, whose sentinel must come out of each test unharmed."""
    folder = tmp_path / "files-outside"  # its path begins with the store's, as a string
    folder.mkdir()
    (folder / "secret").write_bytes(SECRET)
    yield folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"secret": SECRET}


@pytest.fixture
def store(tmp_path: Path, store_class: type[Store]) -> Store:
    (tmp_path / "files").mkdir()
    return store_class(tmp_path / "files")


def read(store: Store, name: str) -> bytes:
    stored = store.open(name)
    with stored.file:
        content = stored.file.read()
        assert stored.size == len(content)
        return content


def names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def held(directory: Path) -> list[str]:
    """What is open beneath a folder; other descriptors come and go with what other tests left behind."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            pass  # That of the listing itself.
    return sorted(link for link in links if link.startswith(str(directory)))


class Faulty(RawIOBase):
    """A body that raises after its first bytes."""

    def __init__(self, error: BaseException) -> None:
        self.chunks: list[bytes | BaseException] = [b"x" * 300_000, error]

    def read(self, size: int = -1) -> bytes:
        chunk = self.chunks.pop(0)
        if isinstance(chunk, BaseException):
            raise chunk
        return chunk


# What is saved can be opened


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


def test_folders_that_exist_are_used_and_none_is_made(store: Store) -> None:
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


# Names


GOOD_NAMES = [
    "a",
    "a b",
    ".well-known",
    "-rf",
    "console.log",
    "a:b",
    "~",
    "%2e%2e",
    "a;b&c|d'e\"f<g>",
    "naïve.txt",
    "日本語",
    "\u202eright-to-left",
    "x" * 255,
]


@pytest.mark.parametrize("name", GOOD_NAMES, ids=ascii)
def test_ordinary_and_odd_names_are_files(store: Store, name: str) -> None:
    assert store.save(name, BytesIO(b"1")).created is True
    assert read(store, name) == b"1"
    assert names(store.directory) == [name]


BAD_NAMES = {
    "empty": ("", "empty"),
    "dot": (".", "a part"),
    "dot-dot": ("..", "a part"),
    "traversal": ("../files-outside/secret", "a part"),
    "traversal-inside": ("sub/../../files-outside/secret", "a part"),
    "traversal-that-returns": ("sub/../a", "a part"),
    "dot-inside": ("sub/./a", "a part"),
    "backslash": ("..\\files-outside\\secret", "a backslash"),
    "backslash-alone": ("a\\b", "a backslash"),
    "absolute": ("/etc/passwd", "a part"),
    "two-slashes": ("//etc/passwd", "a part"),
    "slash-inside": ("sub//a", "a part"),
    "trailing-slash": ("a/", "a part"),
    "nul": ("a\0b", "a control character"),
    "newline": ("a\nb", "a control character"),
    "escape": ("\x1b[2J", "a control character"),
    "delete": ("a\x7f", "a control character"),
    "c1-control": ("a\x85", "a control character"),
    "surrogate": ("a\udcff", "not UTF-8"),
    "high-surrogate": ("a\ud800", "not UTF-8"),
    "replaced-bytes": ("a\ufffd", "not UTF-8"),
    "long": ("x" * 256, "too long"),
    "long-in-bytes": ("ü" * 128, "too long"),
    "long-parent": ("x" * 256 + "/a", "no folder"),
    "long-path": ("sub/" * 2000 + "a", "no folder"),
    "dotfile": (".env", "hidden here"),
    "dotfile-in-folder": ("sub/.env", "hidden here"),
    "dotted-folder": (".git/config", "hidden here"),
    "dots": ("...", "hidden here"),
    "device": ("NUL", "a device"),
    "device-with-suffix": ("com1.txt", "a device"),
    "device-in-folder": ("sub/aux .c", "a device"),
    "device-stream": ("con:x", "a device"),
    "draft": (".wsgiserve-0123456789abcdef", "are taken"),
    "draft-in-folder": ("sub/.wsgiserve-0123456789abcdef", "are taken"),
    "folder": ("sub", "it is a folder"),
    "below-a-file": ("file/a", "no folder"),
    "missing-parent": ("other/a", "no folder"),
    "fifo": ("fifo", "a link or a device"),
    "link-inside": ("link-inside", "a link or a device"),
    "link-outside": ("link-outside", "a link or a device"),
    "link-dangling": ("link-dangling", "a link or a device"),
    "link-loop": ("link-loop", "a link or a device"),
    "below-link-outside": ("folder-outside/secret", "no folder"),
    "below-link-up": ("folder-up/files-outside/secret", "no folder"),
    "below-link-absolute": ("folder-root/etc/passwd", "no folder"),
}


@pytest.fixture
def furnished(store: Store, outside: Path) -> Store:
    """Fill the store with a file, a folder, and everything that leads elsewhere."""
    folder = store.directory
    (folder / "file").write_bytes(b"inside")
    (folder / "sub").mkdir()
    os.mkfifo(folder / "fifo")
    (folder / "link-inside").symlink_to("file")
    (folder / "link-outside").symlink_to(outside / "secret")
    (folder / "link-dangling").symlink_to(outside / "missing")
    (folder / "link-loop").symlink_to("link-loop")
    (folder / "folder-inside").symlink_to("sub")
    (folder / "folder-outside").symlink_to(outside)
    (folder / "folder-up").symlink_to("..")
    (folder / "folder-root").symlink_to("/")
    return store


@pytest.mark.parametrize(("name", "reason"), BAD_NAMES.values(), ids=BAD_NAMES)
def test_a_name_that_cannot_be_a_file_is_refused_with_the_reason(
    furnished: Store, name: str, reason: str
) -> None:
    before = names(furnished.directory)
    with pytest.raises(InvalidName, match=reason) as caught:
        furnished.save(name, Faulty(AssertionError("the body was read")))
    assert caught.value.status == 400
    assert names(furnished.directory) == before
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", [name for name, _ in BAD_NAMES.values()], ids=BAD_NAMES)
def test_opening_anything_but_a_file_inside_has_one_outcome(furnished: Store, name: str) -> None:
    if name == "link-inside":
        assert read(furnished, name) == b"inside"
        return
    before = held(furnished.directory)
    with pytest.raises(FileNotFoundError) as caught:
        furnished.open(name)
    assert str(caught.value) == f"[Errno 2] No such file in the store: {name!r}"
    assert caught.value.__suppress_context__
    assert held(furnished.directory) == before


def test_links_that_stay_inside_are_followed(furnished: Store) -> None:
    assert furnished.save("folder-inside/a", BytesIO(b"1")).created is True
    assert read(furnished, "sub/a") == read(furnished, "folder-inside/a") == b"1"


def test_a_folder_outside_is_like_a_folder_that_is_not_there(furnished: Store, outside: Path) -> None:
    """Else the answers would tell which folders there are outside."""
    reasons = set()
    for parent in ("folder-outside", "folder-outside/none", "folder-root/etc", "folder-root/none"):
        with pytest.raises(InvalidName) as caught:
            furnished.save(f"{parent}/a", BytesIO(b"1"))
        reasons.add(str(caught.value).replace(parent, "PARENT"))
    assert reasons == {"The name 'PARENT/a' cannot be a file: there is no folder 'PARENT'."}


def test_a_device_is_not_opened(store: Store) -> None:
    (store.directory / "null").symlink_to("/dev/null")
    (store.directory / "terminal").symlink_to("/dev/tty")
    for name in ("null", "terminal"):
        with pytest.raises(FileNotFoundError):
            store.open(name)


def test_a_file_that_is_swapped_for_a_link_while_it_is_read_never_leads_outside(
    store: Store, outside: Path
) -> None:
    """One thread swaps file and link as fast as it can; readers get the file or nothing."""
    (store.directory / "real").write_bytes(b"inside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for make in (lambda p: p.symlink_to(outside / "secret"), lambda p: p.hardlink_to(real)):
                make(store.directory / "next")
                (store.directory / "next").rename(store.directory / "a")

    real = store.directory / "real"
    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        seen = {try_read(store, "a") for _ in range(3000)}
    finally:
        stop.set()
        swapper.join()
    assert SECRET not in seen
    assert b"inside" in seen


def try_read(store: Store, name: str) -> bytes | None:
    try:
        return read(store, name)
    except FileNotFoundError:
        return None


PARTS = st.one_of(
    st.sampled_from(
        ["", ".", "..", "a", "sub", "link", "up", "secret", "files", "files-outside", "\\", "\0"]
    ),
    st.text(max_size=8),
    st.characters().map(str),
)
ANY_NAME = st.one_of(
    st.lists(PARTS, max_size=6).map("/".join),
    st.lists(PARTS, max_size=6).map("\\".join),
    st.text(alphabet=st.characters(), max_size=300),
    st.text(alphabet="./\\%2eEfF\0", max_size=20),
)


@pytest.mark.parametrize("kind", [Store, PortableStore], ids=["proc", "portable"])
@settings(max_examples=300, deadline=None)
@given(name=ANY_NAME, content=st.binary(max_size=20))
def test_whatever_the_name_nothing_outside_is_read_or_written(
    kind: type[Store], name: str, content: bytes
) -> None:
    with tempfile.TemporaryDirectory() as base:
        home, out = Path(base, "files"), Path(base, "files-outside")
        for folder in (home, home / "sub", out):
            folder.mkdir()
        (out / "secret").write_bytes(SECRET)
        (home / "link").symlink_to(out)
        (home / "up").symlink_to("..")
        store = kind(home)

        assert try_read(store, name) is None
        try:
            created = store.save(name, BytesIO(content)).created
        except InvalidName:
            created = False
        if created:
            assert read(store, name) == content
            assert (home / name).read_bytes() == content
            assert store.save(name, BytesIO(b"2")).created is False
        assert names(out) == ["secret"]
        assert (out / "secret").read_bytes() == SECRET
        assert sorted(os.listdir(base)) == ["files", "files-outside"]


# All or nothing


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
def test_a_body_of_another_length_than_announced_leaves_nothing(store: Store, length: int) -> None:
    with pytest.raises(NotStored, match=f"{length} bytes were announced and 5 arrived") as caught:
        store.save("a", BytesIO(b"hello"), length)
    assert caught.value.status == 400
    assert names(store.directory) == []
    assert store.save("a", BytesIO(b"hello"), 5).created is True


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


def test_while_a_body_arrives_there_is_nothing_to_open(store: Store, tmp_path: Path) -> None:
    seen: dict[str, list[str]] = {}

    class Watching(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            seen["names"] = os.listdir(store.directory)
            return super().read(size)

    store.save("a", Watching(b"1"))
    visible = [name for name in seen["names"] if try_read(store, name) is not None]
    assert visible == []
    assert all(name.startswith(".wsgiserve-") for name in seen["names"])


# The disk and its permissions


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_507_and_leaves_nothing(small_disk: Path, store_class: type[Store]) -> None:
    store = store_class(small_disk)
    for size in (300_000, 8 * MIB):
        with pytest.raises(NotStored, match="The disk is full") as caught:
            store.save("a", BytesIO(bytes(size)))
        assert caught.value.status == 507
        assert names(small_disk) == []
    assert store.save("a", BytesIO(b"fits")).created is True


@contextlib.contextmanager
def lowered(limit: int, value: int) -> Iterator[None]:
    """Lower a soft limit of this process."""
    soft, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(limit, (soft, hard))


def test_a_file_too_large_for_the_disk_is_507(store: Store) -> None:
    with lowered(resource.RLIMIT_FSIZE, 1000), pytest.raises(NotStored, match="larger") as caught:
        store.save("a", BytesIO(bytes(100_000)))
    assert caught.value.status == 507
    assert names(store.directory) == []


@pytest.mark.parametrize(
    "call",
    [lambda store: store.open("a"), lambda store: store.save("sub/a", BytesIO(b"2"))],
    ids=["open", "save"],
)
def test_a_fault_of_ours_is_told_as_such(store: Store, call: Callable[[Store], object]) -> None:
    store.save("a", BytesIO(b"1"))
    with lowered(resource.RLIMIT_NOFILE, 0), pytest.raises(OSError, match="Too many") as caught:
        call(store)
    assert caught.value.errno == errno.EMFILE


@pytest.fixture
def unprivileged(store_class: type[Store]) -> Iterator[Store]:
    """Yield a store in a folder of another user: root gives its rights up for the test."""
    with tempfile.TemporaryDirectory() as base:
        os.chmod(base, 0o755)
        (Path(base) / "files").mkdir()
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        yield store_class(Path(base) / "files")
        if is_root:
            os.seteuid(0)
        (Path(base) / "files").chmod(0o755)


def test_without_permission_to_write_it_is_403(unprivileged: Store) -> None:
    if os.geteuid() != 65534:
        unprivileged.directory.chmod(0o555)
    with pytest.raises(NotStored, match="may not write here") as caught:
        unprivileged.save("a", BytesIO(b"1"))
    assert caught.value.status == 403


def test_an_unreadable_file_is_like_a_missing_one(unprivileged: Store) -> None:
    user, secret = os.geteuid(), unprivileged.directory / "a"
    if user == 65534:
        os.seteuid(0)
    secret.write_bytes(b"1")
    secret.chmod(0)
    os.seteuid(user)
    with pytest.raises(FileNotFoundError, match="No such file in the store"):
        unprivileged.open("a")
