"""Uploads in several requests in an object store: what crashes and slow requests leave."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
from datetime import timedelta

import pytest

from tests.files.objects.conftest import read
from tests.files.objects.test_engine import can_save
from tests.files.objects.test_store import keys
from tests.files.seaweed import Seaweed
from tests.server.client import wait_until
from wsgiserve.files import InvalidName, NotStored, uploads
from wsgiserve.files.objects import uploads as objects
from wsgiserve.files.objects.store import ObjectStore
from wsgiserve.files.objects.uploads import ObjectUploads
from wsgiserve.files.store import Version
from wsgiserve.files.uploads import HOME, Plan

MIB = 1024 * 1024


def begin(store: ObjectStore, name: str = "a", length: int = 5) -> str:
    return store.uploads.create(Plan(name, length, {}, {}, ""), check=None)


def add(store: ObjectStore, token: str, offset: int, content: bytes) -> int:
    return store.uploads.append(token, offset, io.BytesIO(content))


def create_only(version: Version | None) -> None:
    if version is not None:
        raise NotStored("the name is taken", 412)


def test_a_large_file_is_kept_in_pieces_and_then_whole(store: ObjectStore) -> None:
    assert isinstance(store.uploads, ObjectUploads)
    content = os.urandom(19 * MIB + 7)
    token = begin(store, length=len(content))
    assert add(store, token, 0, content[: 9 * MIB]) == 9 * MIB
    assert add(store, token, 9 * MIB, content[9 * MIB :]) == len(content)
    folder = f"{HOME}/{token}"
    starts = (0, 8 * MIB, 9 * MIB, 17 * MIB)
    assert keys(store) == [*(f"{folder}/{start:020}" for start in starts), f"{folder}/plan"]
    saved = store.uploads.finish(token, check=create_only)
    assert saved is not None
    assert saved.created
    assert read(store, "a") == content
    assert keys(store) == [f"{folder}/done", f"{folder}/plan", "a"]
    store.uploads.remove(token)
    assert keys(store) == ["a"]


def test_a_request_whose_client_is_lost_does_not_hold_the_upload(seaweed: Seaweed, url: str) -> None:
    """It has still some bytes in hand when another goes on; of the two at the same place one wins."""
    slow, fast = seaweed.store(url), seaweed.store(url)
    token = begin(slow, length=10)

    class Hangs(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            if not data:
                assert add(fast, token, 0, b"fast") == 4
            return data

    with pytest.raises(NotStored) as refused:
        slow.uploads.append(token, 0, Hangs(b"slowly"))
    assert refused.value.status == 409
    assert "byte 4" in str(refused.value)
    add(fast, token, 4, b" wins!")
    fast.uploads.finish(token, check=None)
    assert read(slow, "a") == b"fast wins!"


def test_a_server_killed_before_it_noted_the_end_is_no_harm(store: ObjectStore) -> None:
    token = begin(store)
    add(store, token, 0, b"hello")
    store.save("a", io.BytesIO(b"hello"), 5)  # as the killed server did
    assert store.uploads.finish(token, check=create_only) is None
    assert store.uploads.find(token).done


def test_a_file_is_put_together_by_one_request_at_a_time(seaweed: Seaweed, url: str) -> None:
    slow, other = seaweed.store(url), seaweed.store(url)
    token = begin(slow)
    add(slow, token, 0, b"hello")
    statuses = []

    def check(version: Version | None) -> None:
        with pytest.raises(NotStored) as refused:
            other.uploads.finish(token, check=None)
        statuses.append(refused.value.status)

    slow.uploads.finish(token, check=check)
    assert set(statuses) == {423}
    assert other.uploads.finish(token, check=None) is None
    assert keys(slow) == [f"{HOME}/{token}/done", f"{HOME}/{token}/plan", "a"]


def test_the_turn_of_a_killed_server_ends(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    token = begin(store)
    add(store, token, 0, b"hello")

    def dies(version: Version | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.uploads.finish(token, check=dies)
    with pytest.raises(NotStored, match="put together"):
        store.uploads.finish(token, check=None)
    monkeypatch.setattr(objects, "_TURN_SECONDS", -1.0)
    store.uploads.finish(token, check=None)
    assert read(store, "a") == b"hello"


@pytest.mark.parametrize("other", [b"olleh", b"longer"])
def test_another_file_of_that_name_is_not_taken_for_it(store: ObjectStore, other: bytes) -> None:
    token = begin(store)
    add(store, token, 0, b"hello")
    store.save("a", io.BytesIO(other), len(other))
    with pytest.raises(NotStored, match="taken"):
        store.uploads.finish(token, check=create_only)
    assert read(store, "a") == other
    assert store.uploads.find(token).offset == 5


def test_uploads_that_were_given_up_are_removed(
    seaweed: Seaweed, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = seaweed.store(url)
    tokens = begin(store, "a"), begin(store, "b")
    for token in tokens:
        add(store, token, 0, b"hello")
    store.uploads.finish(tokens[1], check=None)
    begin(seaweed.store(url), "c")
    assert len(keys(store)) == 6
    monkeypatch.setattr(uploads, "LIFE", timedelta(seconds=-1))
    for token in tokens:
        with pytest.raises(FileNotFoundError):
            store.uploads.find(token)
    fresh = begin(seaweed.store(url), "d")
    assert keys(store) == [f"{HOME}/{fresh}/plan", "b"]


def test_a_name_that_cannot_be_a_file_is_refused(store: ObjectStore) -> None:
    store.make_folder("sub")
    for name in ("../a", "", f"{HOME}/x", "sub", "no/a"):
        with pytest.raises(InvalidName):
            begin(store, name)


def test_a_key_that_may_not_write_gets_403(seaweed: Seaweed, url: str) -> None:
    begin(seaweed.store(url))
    with pytest.raises(NotStored) as refused:
        begin(seaweed.store(url, "reader"))
    assert refused.value.status == 403


@pytest.mark.slow
def test_an_engine_that_is_down_for_a_while_loses_nothing(own: Seaweed) -> None:
    store = own.store(f"s3://own/{secrets.token_hex(4)}", seconds=5)
    wait_until(lambda: can_save(store, "other"), 60)
    content = os.urandom(20 * MIB)
    token = begin(store, length=len(content))

    class Stops(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 9 * MIB:
                own.stop()
            return super().read(size)

    with pytest.raises(NotStored) as refused:
        store.uploads.append(token, 0, Stops(content))
    assert refused.value.status == 503
    own.start()
    wait_until(lambda: can_save(store, "other") and is_up(store, token), 60)
    offset = store.uploads.find(token).offset
    assert offset == 8 * MIB
    assert add(store, token, offset, content[offset:]) == len(content)
    store.uploads.finish(token, check=create_only)
    assert read(store, "a") == content


def is_up(store: ObjectStore, token: str) -> bool:
    with contextlib.suppress(NotStored):
        return store.uploads.find(token).offset > 0
    return False
