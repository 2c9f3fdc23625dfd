"""A store with a prefix of its own for each test, and an engine that tests may stop."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.files.objects.between import Between
from tests.files.seaweed import Seaweed
from wsgiserve.files.objects.store import ObjectStore


@pytest.fixture
def url(bucket: str) -> str:
    return f"s3://{bucket}/{secrets.token_hex(4)}"


@pytest.fixture
def store(seaweed: Seaweed, url: str) -> ObjectStore:
    found: ObjectStore = seaweed.store(url)
    return found


@pytest.fixture(scope="module")
def own(seaweed: Seaweed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """An engine that the tests of a module may stop and freeze, with a bucket named "own"."""
    engine = Seaweed(tmp_path_factory.mktemp("own"))
    try:
        engine.bucket("own")
        yield engine
    finally:
        engine.stop()


@pytest.fixture
def between(seaweed: Seaweed) -> Iterator[Between]:
    between = Between(seaweed)
    yield between
    between.end()


def read(store: ObjectStore, name: str) -> bytes:
    stored = store.open(name)
    return b"".join(stored.blocks(0, stored.size))


def keys(store: ObjectStore) -> list[str]:
    """Return all keys below the store's prefix, hidden ones too."""
    prefix = store.address.prefix
    return sorted(each.key.removeprefix(prefix) for each in store._engine.below(prefix.removesuffix("/")))
