"""Uploads in several requests on a disk: what crashes, full disks and other programs leave."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.program import ROOT, without_coverage
from wsgiserve.files import NotStored, Store
from wsgiserve.files.disk.uploads import DiskUploads
from wsgiserve.files.store import InvalidName
from wsgiserve.files.uploads import HOME, LIFE, NotOurs, Plan


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def begin(store: Store, name: str = "a", length: int = 5) -> str:
    return store.uploads.create(Plan(name, length, {}, {}, ""), check=None)


def add(store: Store, token: str, offset: int, content: bytes) -> int:
    return store.uploads.append(token, offset, io.BytesIO(content))


def test_only_the_server_may_see_the_tokens(store: Store, tmp_path: Path) -> None:
    assert isinstance(store.uploads, DiskUploads)
    begin(store)
    assert stat.S_IMODE((tmp_path / HOME).stat().st_mode) == 0o700


def test_the_folder_is_made_with_the_first_upload(tmp_path: Path) -> None:
    store = Store(tmp_path / "new")
    with pytest.raises(FileNotFoundError):
        store.uploads.find("0" * 32)
    token = begin(store)
    assert add(store, token, 0, b"hello") == 5
    store.uploads.finish(token, check=None)
    assert (tmp_path / "new" / "a").read_bytes() == b"hello"


@pytest.mark.parametrize("name", ["../a", "", "a/../b", f"{HOME}/x", ".hidden", "a\\b"])
def test_a_name_that_cannot_be_a_file_is_refused(store: Store, name: str) -> None:
    with pytest.raises(InvalidName):
        begin(store, name)


def test_the_last_request_waits_for_one_that_comes_too_late(store: Store, tmp_path: Path) -> None:
    """The late one asks for a byte that is there already, and holds the lock while it finds that out."""
    token = begin(store)
    add(store, token, 0, b"hello")
    with (tmp_path / HOME / token).open("rb") as late, ThreadPoolExecutor(1) as pool:
        fcntl.flock(late, fcntl.LOCK_EX)
        finished = pool.submit(store.uploads.finish, token, check=None)
        with pytest.raises(TimeoutError):
            finished.result(0.1)
        fcntl.flock(late, fcntl.LOCK_UN)
        saved = finished.result(10)
    assert saved is not None
    assert saved.created
    assert (tmp_path / "a").read_bytes() == b"hello"


@pytest.mark.slow
def test_the_last_request_does_not_wait_forever(store: Store, tmp_path: Path) -> None:
    """A client may have sent all bytes of a chunked body, but not the end of it."""
    token = begin(store)
    add(store, token, 0, b"hello")
    with (tmp_path / HOME / token).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(NotStored) as refused:
            store.uploads.finish(token, check=None)
    assert refused.value.status == 423
    assert store.uploads.finish(token, check=None) is not None


def test_an_upload_that_another_process_holds_is_locked(store: Store, tmp_path: Path) -> None:
    token = begin(store)
    with open(tmp_path / HOME / token, "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(NotStored) as refused:
            add(store, token, 0, b"hello")
    assert refused.value.status == 423
    assert add(store, token, 0, b"hello") == 5


def test_a_crash_between_the_two_names_is_mended(store: Store, tmp_path: Path) -> None:
    token = begin(store)
    add(store, token, 0, b"hello")
    os.link(tmp_path / HOME / token, tmp_path / "a")

    def check(version: object) -> None:
        raise NotStored("the name is taken", 412)

    saved = store.uploads.finish(token, check=check)
    assert saved is not None
    with contextlib.closing(store.open("a")) as there:
        assert saved.version == there.version
    assert os.listdir(tmp_path / HOME) == [f"{token}.plan"]
    assert store.uploads.find(token).done
    assert store.uploads.finish(token, check=None) is None


def test_bytes_before_a_crash_in_the_middle_of_a_request_are_kept(store: Store, tmp_path: Path) -> None:
    token = begin(store)
    (tmp_path / HOME / token).write_bytes(b"he")  # as a killed server leaves it
    assert store.uploads.find(token).offset == 2
    add(store, token, 2, b"llo")
    store.uploads.finish(token, check=None)
    assert (tmp_path / "a").read_bytes() == b"hello"


def test_half_an_upload_is_none(store: Store, tmp_path: Path) -> None:
    """A server was killed between the two files of a new upload."""
    begin(store)
    token = "0" * 32
    (tmp_path / HOME / token).touch()
    with pytest.raises(FileNotFoundError):
        store.uploads.find(token)


def age(path: Path) -> None:
    moment = time.time() - LIFE.total_seconds() - 1
    os.utime(path, (moment, moment))


def test_uploads_that_were_given_up_are_removed(store: Store, tmp_path: Path) -> None:
    tokens = {name: begin(store, name) for name in ("old", "young", "half", "done")}
    home = tmp_path / HOME
    for name in ("old", "half", "done"):
        age(home / f"{tokens[name]}.plan")
    age(home / tokens["old"])
    add(store, tokens["half"], 0, b"he")  # Its plan is old, but bytes have come since.
    add(store, tokens["done"], 0, b"hello")
    store.uploads.finish(tokens["done"], check=None)
    with pytest.raises(FileNotFoundError):
        store.uploads.find(tokens["old"])
    with pytest.raises(FileNotFoundError):
        add(store, tokens["old"], 0, b"hello")
    fresh = begin(Store(tmp_path))
    left = {path.name.removesuffix(".plan") for path in home.iterdir()}
    assert left == {tokens["young"], tokens["half"], tokens["done"], fresh}
    age(home / f"{tokens['done']}.plan")
    begin(Store(tmp_path))
    assert not (home / f"{tokens['done']}.plan").exists()
    assert (tmp_path / "done").read_bytes() == b"hello"


def test_what_others_put_among_the_uploads_harms_no_new_one(store: Store, tmp_path: Path) -> None:
    begin(store)
    (tmp_path / HOME / "folder").mkdir()
    age(tmp_path / HOME / "folder")
    (tmp_path / HOME / "loop").symlink_to("loop")
    old = begin(store)
    age(tmp_path / HOME / f"{old}.plan")
    age(tmp_path / HOME / old)
    begin(Store(tmp_path))
    assert not (tmp_path / HOME / old).exists()
    assert (tmp_path / HOME / "folder").exists()


@pytest.mark.parametrize("kind", ["a file", "a link inside", "a link outside"])
def test_the_hidden_folder_is_no_link(store: Store, tmp_path: Path, kind: str) -> None:
    """Behind a link inside, everybody could read the tokens."""
    (tmp_path / "public").mkdir()
    if kind == "a file":
        (tmp_path / HOME).touch()
    else:
        (tmp_path / HOME).symlink_to("public" if kind == "a link inside" else "/")
    for act in (lambda: begin(store), lambda: store.uploads.find("0" * 32)):
        with pytest.raises(NotStored, match="is no folder"):
            act()
    assert os.listdir(tmp_path / "public") == []


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_something_else_in_the_place_of_the_bytes_is_refused(store: Store, tmp_path: Path, kind: str) -> None:
    token = begin(store)
    place = tmp_path / HOME / token
    place.unlink()
    if kind == "link":
        place.symlink_to(tmp_path)
    else:
        place.mkdir()
    for act in (store.uploads.find, lambda token: add(store, token, 0, b"hello")):
        with pytest.raises(NotOurs):
            act(token)


def test_a_folder_that_was_removed_meanwhile_is_named(store: Store, tmp_path: Path) -> None:
    store.make_folder("sub")
    token = begin(store, "sub/a")
    add(store, token, 0, b"hello")
    store.remove_folder("sub")
    with pytest.raises(InvalidName, match="no folder"):
        store.uploads.finish(token, check=None)
    store.make_folder("sub")
    store.uploads.finish(token, check=None)
    assert (tmp_path / "sub" / "a").read_bytes() == b"hello"


def test_a_link_in_the_place_of_the_bytes_is_not_followed(store: Store, tmp_path: Path) -> None:
    token = begin(store)
    (tmp_path / "other").write_bytes(b"keep")
    (tmp_path / HOME / token).unlink()
    (tmp_path / HOME / token).symlink_to(tmp_path / "other")
    with pytest.raises(NotOurs):
        add(store, token, 0, b"hello")
    assert (tmp_path / "other").read_bytes() == b"keep"


FULL = """
import io, resource, sys
from wsgiserve.files import NotStored, Store
from wsgiserve.files.uploads import Plan
store = Store(sys.argv[1])
token = store.uploads.create(Plan("a", 100_000, {}, {}, ""), check=None)
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, limit[1]))
try:
    store.uploads.append(token, 0, io.BytesIO(bytes(range(250)) * 400))
except NotStored as error:
    print(error.status)
resource.setrlimit(resource.RLIMIT_FSIZE, limit)
offset = store.uploads.find(token).offset
print(offset)
store.uploads.append(token, offset, io.BytesIO((bytes(range(250)) * 400)[offset:]))
store.uploads.finish(token, check=None)
"""


def test_a_full_disk_keeps_what_it_has(tmp_path: Path) -> None:
    out = run_python(FULL, tmp_path)
    assert out.split() == ["507", "70000"]
    assert (tmp_path / "a").read_bytes() == bytes(range(250)) * 400


EXPIRED = """
import io, os, subprocess, sys
from wsgiserve.files import NotStored, Store
from wsgiserve.files.uploads import HOME, Plan
folder = f"{sys.argv[1]}/disk"
os.mkdir(folder)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], check=True)
uploads = Store(folder).uploads
token = uploads.create(Plan("a", 1_000_000, {}, {}, ""), check=None)
def begin():
    Store(folder).uploads.create(Plan("b", 5, {}, {}, ""), check=None)
for act in (lambda: uploads.append(token, 0, io.BytesIO(bytes(1_000_000))), begin):
    try:
        act()
    except NotStored as error:
        print(error.status)
for name in os.listdir(f"{folder}/{HOME}"):
    os.utime(f"{folder}/{HOME}/{name}", (0, 0))
begin()
print(os.path.exists(f"{folder}/{HOME}/{token}"))
"""


def test_a_new_server_makes_room_on_a_full_disk(tmp_path: Path) -> None:
    out = run_python(EXPIRED, tmp_path, mounting(tmp_path))
    assert out.split() == ["507", "507", "False"]


READ_ONLY = """
import io, os, subprocess, sys
from wsgiserve.files import NotStored, Store
from wsgiserve.files.uploads import Plan
folder = sys.argv[1]
os.mkdir(f"{folder}/disk")
subprocess.run(["mount", "-t", "tmpfs", "none", f"{folder}/disk"], check=True)
uploads = Store(f"{folder}/disk").uploads
token = uploads.create(Plan("a", 5, {}, {}, ""), check=None)
uploads.append(token, 0, io.BytesIO(b"hello"))
subprocess.run(["mount", "-o", "remount,ro", f"{folder}/disk"], check=True)
print(uploads.find(token).offset)
for act in (
    lambda: uploads.append(token, 5, io.BytesIO(b"")),
    lambda: uploads.finish(token, check=None),
    lambda: uploads.remove(token),
    lambda: uploads.create(Plan("b", 5, {}, {}, ""), check=None),
):
    try:
        act()
    except NotStored as error:
        print(error.status)
"""


def test_a_disk_that_became_read_only_refuses_and_tells_offsets(tmp_path: Path) -> None:
    out = run_python(READ_ONLY, tmp_path, mounting(tmp_path))
    assert out.split() == ["5", "403", "403", "403", "403"]


MOUNTED = """
import io, os, subprocess, sys
from wsgiserve.files import Store
from wsgiserve.files.uploads import Plan
folder = sys.argv[1]
os.mkdir(f"{folder}/sub")
os.mkdir(f"{folder}/elsewhere")
subprocess.run(["mount", *sys.argv[2:], f"{folder}/sub"], check=True)
store = Store(folder)
token = store.uploads.create(Plan("sub/a", 5, {}, {}, ""), check=None)
store.uploads.append(token, 0, io.BytesIO(b"hello"))
print(store.uploads.finish(token, check=None).created, store.uploads.find(token).done)
print(os.listdir(f"{folder}/sub"), open(f"{folder}/sub/a").read())
"""


@pytest.mark.parametrize("mount", [["-t", "tmpfs", "none"], ["--bind", "elsewhere"]], ids=["tmpfs", "bind"])
def test_a_folder_that_is_mounted_gets_a_copy(tmp_path: Path, mount: list[str]) -> None:
    out = run_python(MOUNTED, tmp_path, mounting(tmp_path), mount)
    assert out.splitlines() == ["True True", "['a'] hello"]


def mounting(folder: Path) -> list[str]:
    """Return what to put before a command that mounts; skip the test where that is not possible."""
    apart = ["unshare", "--mount"]  # the mount is gone with the process
    try:
        subprocess.run([*apart, "mount", "-t", "tmpfs", "none", folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nothing can be mounted here")
    return apart


def run_python(code: str, folder: Path, before: Sequence[str] = (), after: Sequence[str] = ()) -> str:
    done = subprocess.run(
        [*before, sys.executable, "-c", code, folder, *after],
        cwd=folder,
        env=without_coverage() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
