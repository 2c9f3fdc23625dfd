"""Entity tags and dates of files."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.files.conftest import LONG_AGO, SECOND, call, get, write
from wsgiserve.files import Files
from wsgiserve.files.store import Version
from wsgiserve.files.validators import settle, validators_of


def test_a_tag_is_the_same_on_every_replica(tmp_path: Path) -> None:
    for replica in ("one", "two/deep"):
        write(tmp_path / replica / "a", b"same")
        os.utime(tmp_path / replica / "a", ns=(1, LONG_AGO * 10**9 + 7))
    tags = {get(Files(tmp_path / replica), "/a").headers["etag"] for replica in ("one", "two/deep")}
    assert len(tags) == 1


@pytest.mark.parametrize(
    ("modified", "now", "weak"),
    [
        (7 * SECOND + 1, 7 * SECOND + 2, True),
        (7 * SECOND + 1, 7 * SECOND + 30_000_000, False),
        (7 * SECOND, 8 * SECOND, True),  # The file system may count in units of two seconds.
        (7 * SECOND, 9 * SECOND, False),
        (9 * SECOND + 1, 7 * SECOND, True),  # From the future.
    ],
)
def test_a_tag_is_weak_until_the_tick_of_the_clock_is_over(modified: int, now: int, weak: bool) -> None:
    assert validators_of(Version(modified, 1), now_ns=now).etag.startswith("W/") is weak


@pytest.mark.parametrize(
    ("changed", "weak"),
    [(7 * SECOND + 1, False), (8 * SECOND - 1, True), (8 * SECOND + 1, True)],  # now, and by a clock ahead
)
def test_a_time_in_the_future_makes_no_tag_weak_for_long(changed: int, weak: bool) -> None:
    version = Version(99 * SECOND, 1, changed)
    assert validators_of(version, now_ns=8 * SECOND).etag.startswith("W/") is weak


def test_a_file_from_the_future_is_resumed_replaced_and_deleted(tmp_path: Path) -> None:
    write(tmp_path / "a", b"hello", age=-86400)
    files = Files(tmp_path, upload=True, delete=True)
    tag = settled_tag(files, "/a")
    part = get(files, "/a", f"If-Range: {tag}", "Range: bytes=1-2")
    assert (part.status, part.body) == (206, b"el")
    assert call(files, "PUT", "/a", (("If-Match", tag),), body=b"new").status == 200
    os.utime(tmp_path / "a", (time.time() + 86400,) * 2)
    tag = settled_tag(files, "/a")
    assert call(files, "DELETE", "/a", (("If-Match", tag),)).status == 204


def settled_tag(files: Files, path: str) -> str:
    """Return the tag once it is strong; a file that was just written has a weak one."""
    deadline = time.monotonic() + 20
    while (tag := get(files, path).headers["etag"]).startswith("W/"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return tag


def test_last_modified_is_never_in_the_future() -> None:
    assert validators_of(Version(9 * SECOND, 1), now_ns=7 * SECOND).modified == 7


def test_a_date_of_this_second_is_no_strong_validator(tmp_path: Path) -> None:
    """RFC 9110 §8.8.2.2: the file may have changed twice in it."""
    write(tmp_path / "a", b"hello", age=0)
    files = Files(tmp_path)
    date = get(files, "/a").headers["last-modified"]
    assert get(files, "/a", f"If-Range: {date}", "Range: bytes=0-1").status == 200


def test_a_settled_version_has_a_strong_tag() -> None:
    version = settle(Version(time.time_ns() | 1, 5))
    assert not validators_of(version).etag.startswith("W/")
    assert validators_of(version, "gzip").etag != validators_of(version).etag
