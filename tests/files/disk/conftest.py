"""Stores of both kinds, and a sentinel outside of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path

import pytest

from wsgiserve.files import Store
from wsgiserve.files.store import HIDDEN

SECRET = b"the sentinel outside"
MIB = 1024 * 1024


class PortableStore(Store):
    """A store that does not use ``/proc``."""

    has_proc = False


@pytest.fixture(params=[Store, PortableStore], ids=["proc", "portable"])
def store_class(request: pytest.FixtureRequest) -> type[Store]:
    return request.param


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A folder beside the store's, whose secret must be unchanged after each test."""
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
    """Return all there is, but for the lock that a store keeps in each folder of a shared file system."""
    found = (path for path in directory.rglob("*") if path.name != f"{HIDDEN}lock")
    return sorted(str(path.relative_to(directory)) for path in found)


def held(directory: Path) -> list[str]:
    """Return the paths of this process's open files beneath a folder."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            pass  # The descriptor of the listing itself.
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


def try_read(store: Store, name: str) -> bytes | None:
    try:
        return read(store, name)
    except FileNotFoundError:
        return None
