"""Objects that are open for reading."""

from __future__ import annotations

import io
import os

import pytest

from wsgiserve.files.objects.store import ObjectStore
from wsgiserve.files.objects.stored_object import FIRST, StoredObject
from wsgiserve.files.store import Changed

SIZE = 3 * FIRST + 5


@pytest.fixture
def content() -> bytes:
    return os.urandom(SIZE)


@pytest.fixture
def stored(store: ObjectStore, content: bytes) -> StoredObject:
    store.save("a", io.BytesIO(content), SIZE)
    return store.open("a")


@pytest.mark.parametrize(
    "span", [(0, SIZE), (0, 1), (FIRST - 1, FIRST + 1), (FIRST, SIZE), (SIZE - 1, SIZE), (5, FIRST), (7, 7)]
)
def test_a_part_has_its_bytes(stored: StoredObject, content: bytes, span: tuple[int, int]) -> None:
    part = stored.part(*span)
    assert part.read() == content[slice(*span)]
    assert part.read(1) == b""
    part.close()
    assert b"".join(stored.blocks(*span)) == content[slice(*span)]


def test_bytes_of_two_versions_are_never_joined(store: ObjectStore, stored: StoredObject) -> None:
    store.save("a", io.BytesIO(bytes(SIZE)), SIZE)
    with pytest.raises(Changed):
        stored.part(0, SIZE)
    with pytest.raises(OSError, match="was replaced"):
        list(stored.blocks(0, SIZE))


def test_two_contents_have_two_identities(store: ObjectStore, stored: StoredObject) -> None:
    store.save("a", io.BytesIO(b"1"), 1)
    assert store.open("a").identity != stored.identity
