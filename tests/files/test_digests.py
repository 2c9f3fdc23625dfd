"""Fields of RFC 9530, and the cache of digests."""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.client import Client
from wsgiserve import Server
from wsgiserve.files import Files, digests
from wsgiserve.files.digests import FileDigests, announced, is_wanted, render

EMPTY = hashlib.sha256(b"").digest()


@given(st.binary(min_size=32, max_size=32))
def test_a_rendered_digest_is_read_back(digest: bytes) -> None:
    assert announced(render(digest)) == {"sha256": digest}


@pytest.mark.parametrize(
    ("field", "digests"),
    [
        (f"md5=:AAAA:, {render(EMPTY)};a=1", {"sha256": EMPTY}),
        ("md5=:AAAA:", {}),
        ("sha-256=:AAAA:", None),
        ("sha-256=1", None),
        ("sha-256", None),
        ("", None),
    ],
)
def test_unknown_algorithms_are_ignored_and_malformed_fields_are_none(
    field: str, digests: dict[str, bytes] | None
) -> None:
    assert announced(field) == digests


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("sha-256=1", True),
        ("md5=2, sha-256=10", True),
        ("sha-256=0", False),
        ("sha-512=1", False),
        ("", False),
    ],
)
def test_a_positive_preference_wants_a_digest(field: str, wanted: bool) -> None:
    assert is_wanted(field) is wanted


def stay() -> bool:
    return False


def test_the_cache_keeps_only_the_latest_digests() -> None:
    known, read = FileDigests(), Counter[int]()

    def blocks(version: int) -> Iterator[bytes]:
        read[version] += 1
        yield b"%d" % version

    for version in [*range(2000), *range(2000 - 1024, 2000), 0]:
        found = known.of(version, 4, partial(blocks, version), stay)
        assert found == hashlib.sha256(b"%d" % version).digest()
    assert read[0] == 2
    assert sum(read.values()) == 2001


class Large:
    """A large file whose first block is read when the test lets it."""

    size = digests._SMALL + 1

    def __init__(self) -> None:
        self.reading, self.go_on = threading.Event(), threading.Event()
        self.read = 0

    def blocks(self) -> Iterator[bytes]:
        self.read += 1
        self.reading.set()
        assert self.go_on.wait(20)
        yield b"large"


def asking(
    known: FileDigests, large: Large, gone: Callable[[], bool], count: int
) -> tuple[list[Any], list[Any]]:
    """Let threads ask for the digest of a file; return the threads and what they got, so far."""
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(known.of("v", large.size, large.blocks, gone)))
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    return threads, found


def test_requests_for_one_version_share_one_computation_and_few_wait() -> None:
    known, large = FileDigests(), Large()
    first, found = asking(known, large, stay, digests._AT_ONCE)
    assert large.reading.wait(20)
    deadline = time.monotonic() + 20
    while known._room._value:  # type: ignore[attr-defined]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert known.of("v", large.size, large.blocks, stay) is None  # one more than may wait
    assert known.of("small", 1, lambda: [b"s"], stay) == hashlib.sha256(b"s").digest()
    large.go_on.set()
    for thread in first:
        thread.join(20)
    assert found == [hashlib.sha256(b"large").digest()] * digests._AT_ONCE
    assert large.read == 1


def test_a_client_that_has_left_waits_for_no_digest_and_stops_its_computation() -> None:
    known, large, left = FileDigests(), Large(), threading.Event()
    first, _ = asking(known, large, stay, 1)
    assert large.reading.wait(20)
    others, found = asking(known, large, left.is_set, 3)
    left.set()
    for thread in others:
        thread.join(20)
    assert found == [None] * 3
    large.go_on.set()
    first[0].join(20)
    read = []
    endless = (read.append(1) or b"x" * 100 for _ in itertools.count())
    assert known.of("endless", large.size, lambda: endless, lambda: True) is None
    assert len(read) == digests._LOOK_BLOCKS


def test_a_file_above_a_size_has_no_digest() -> None:
    assert FileDigests().of("v", digests._LARGEST + 1, lambda: [b""], stay) is None


def test_over_a_socket_a_digest_is_computed_once(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(8 << 20)
    os.utime(tmp_path / "large", (1, 1))
    request = b"HEAD /large HTTP/1.1\r\nHost: test\r\nWant-Repr-Digest: sha-256=1\r\n\r\n"
    with Server(Files(tmp_path), port=0) as server, Client(server) as client:
        for _ in range(2):
            client.send(request)
            assert client.response("HEAD").headers["repr-digest"] == render(
                hashlib.sha256(bytes(8 << 20)).digest()
            )
