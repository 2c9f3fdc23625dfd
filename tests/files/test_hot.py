"""The cache of files that were sent lately."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.files.conftest import SECOND, get, write
from tests.program import ROOT
from wsgiserve.files import Files
from wsgiserve.files import hot as cache


@pytest.fixture
def hot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Files]:
    """A file in the cache, although its status has just changed."""
    monkeypatch.setattr(cache, "_SETTLED_NS", -SECOND)
    path = tmp_path / "files" / "a"
    write(path, b"old")
    files = Files(path.parent)
    assert get(files, "/a").body == b"old"
    assert files._hot.get("/a", None) is not None
    return path, files


def test_a_file_that_has_just_changed_is_not_cached(tmp_path: Path) -> None:
    write(tmp_path / "a", b"1", age=0)
    files = Files(tmp_path)
    get(files, "/a")
    assert files._hot.get("/a", None) is None


def replaced(path: Path) -> None:
    write(path.with_name("next"), b"new")
    path.with_name("next").rename(path)


def rewritten_with_its_old_time(path: Path) -> None:
    status = path.stat()
    path.write_bytes(b"new")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def moved_out_and_linked(path: Path) -> None:
    path.rename(path.parent.parent / "outside")
    path.symlink_to(path.parent.parent / "outside")


@pytest.mark.parametrize(
    ("change", "body"),
    [
        (replaced, b"new"),
        (rewritten_with_its_old_time, b"new"),
        (moved_out_and_linked, None),
        (Path.unlink, None),
        (lambda path: path.chmod(0o600), b"old"),
    ],
    ids=["replaced", "rewritten", "moved-out-and-linked", "removed", "another-mode"],
)
def test_a_changed_file_is_not_sent_from_the_cache(
    hot: tuple[Path, Files], change: object, body: bytes | None
) -> None:
    path, files = hot
    change(path)  # type: ignore[operator]
    assert files._hot.get("/a", None) is None
    seen = get(files, "/a")
    assert (seen.status, seen.body) == (200, body) if body else seen.status == 404


def test_answers_from_the_cache_equal_answers_from_the_file(hot: tuple[Path, Files]) -> None:
    path, files = hot
    for fields in (
        [],
        ["Range: bytes=1-1"],
        ["Range: bytes=0-0,2-2"],
        ["If-None-Match: *"],
        ["Range: bytes=9-"],
    ):
        kept, fresh = get(files, "/a", *fields), get(Files(path.parent), "/a", *fields)
        assert kept.status == fresh.status
        if "multipart" not in kept.headers.get("content-type", ""):
            assert kept == fresh


def test_the_cache_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_SETTLED_NS", -SECOND)
    monkeypatch.setattr(cache, "_MOST_ENTRIES", 10)
    monkeypatch.setattr(cache, "_MOST_BYTES", 50)
    files = Files(tmp_path)
    for number in range(40):
        write(tmp_path / str(number), b"12345678")
        get(files, f"/{number}")
    assert len(files._hot._kept) == 6
    assert files._hot._bytes == 48
    assert get(files, "/0").body == b"12345678"


def test_threads_share_the_cache(tmp_path: Path) -> None:
    for number in range(5):
        write(tmp_path / str(number), b"%d" % number * 1000)
    files, wrong = Files(tmp_path), []

    def read() -> None:
        for turn in range(200):
            if get(files, f"/{turn % 5}").body != b"%d" % (turn % 5) * 1000:
                wrong.append(turn)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


FEW_DESCRIPTORS = """
import os, resource, sys
from pathlib import Path
from tests.files.conftest import call, get
from wsgiserve.files import Files, hot

hot._SETTLED_NS = -10**9
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
files = Files(sys.argv[1], upload=True)
for name in range(100):
    assert get(files, f"/{name}").status == 200, name
kept = files._hot._open
assert 0 < kept <= 4, kept
others = []
try:
    while True:
        others.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
assert get(files, "/0").status == 200
assert files._hot._open <= 1
while True:  # none to let go, and none left
    try:
        others.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        break
try:
    get(files, "/1")
except OSError:
    pass
for descriptor in others:
    os.close(descriptor)
assert get(files, "/1").status == 200
print("fine")
"""


def test_the_cache_lets_go_of_its_files_before_a_request_fails(tmp_path: Path) -> None:
    """With 64 descriptors for the process, as by ``ulimit -n 64``."""
    for number in range(100):
        write(tmp_path / str(number), bytes(cache._IN_MEMORY + 1))
    program = [sys.executable, "-c", FEW_DESCRIPTORS, str(tmp_path)]
    ended = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.returncode) == ("fine\n", 0), ended.stderr
