"""Errors of the operating system, as a store reports them."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest

from tests.files.conftest import call
from tests.files.disk.conftest import MIB, names
from tests.files.mounts import bindfs, require
from wsgiserve.files import Files, NotStored, Store
from wsgiserve.files.disk import errors
from wsgiserve.files.disk.errors import AWAY, REFUSALS, SERVER_FAULTS, one_outcome, refusals
from wsgiserve.files.seldom import Seldom
from wsgiserve.files.store import Unavailable


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
def test_a_fault_of_the_server_stays_an_os_error(store: Store, call: Callable[[Store], object]) -> None:
    store.save("a", BytesIO(b"1"))
    with lowered(resource.RLIMIT_NOFILE, 0), pytest.raises(OSError, match="Too many") as caught:
        call(store)
    assert caught.value.errno == errno.EMFILE


@pytest.fixture
def unprivileged(store_class: type[Store]) -> Iterator[Store]:
    """A store in a folder of another user; root drops its rights for the test."""
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


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EACCES, errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG])
def test_every_failure_to_read_looks_the_same(code: int) -> None:
    with pytest.raises(FileNotFoundError) as caught, one_outcome("a"):
        raise OSError(code, os.strerror(code), "/secret/path")
    assert str(caught.value) == "[Errno 2] No such file in the store: 'a'"


@pytest.mark.parametrize("code", SERVER_FAULTS - AWAY)
def test_a_fault_of_the_server_passes_both_translations(code: int) -> None:
    for translate in (one_outcome, refusals):
        with pytest.raises(OSError, match=r"\[Errno") as caught, translate("a"):
            raise OSError(code, os.strerror(code))
        assert caught.value.errno == code


@pytest.mark.parametrize("code", AWAY)
def test_a_folder_that_cannot_be_reached_is_unavailable(code: int) -> None:
    for translate in (one_outcome, refusals):
        with pytest.raises(Unavailable, match="cannot be reached now") as caught, translate("a"):
            raise OSError(code, os.strerror(code))
        assert caught.value.status == 503


@pytest.mark.parametrize(("code", "status"), [(code, status) for code, (status, _) in REFUSALS.items()])
def test_a_refusal_to_write_has_a_status(code: int, status: int) -> None:
    with pytest.raises(NotStored) as caught, refusals("a"):
        raise OSError(code, os.strerror(code))
    assert caught.value.status == status


@pytest.mark.slow
def test_every_request_for_a_folder_that_is_away_is_503(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("bindfs", "fusermount3")
    monkeypatch.setattr(errors, "_lines", Seldom(600))  # as of a server that has just started
    with bindfs(tmp_path) as (place, process):
        files = Files(place, upload=True, delete=True, listing=True)
        assert call(files, "PUT", "/a", body=b"1").status == 201
        process.kill()
        process.wait()
        for method, path in (("GET", "/a"), ("GET", "/"), ("GET", "/sub/"), ("PUT", "/a"), ("DELETE", "/a")):
            answer = call(files, method, path, body=b"2" if method == "PUT" else b"")
            assert (answer.status, b"cannot be reached now" in answer.body) == (503, True), (method, path)
    assert caplog.text.count("the folder of files cannot be reached: [Errno 107]") == 1
