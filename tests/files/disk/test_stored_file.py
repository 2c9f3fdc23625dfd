"""Open files of the store, and the parts of them that responses send."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.files.mounts import under_faults
from wsgiserve.files.disk.stored_file import Span, StoredFile

CONTENT = bytes(range(256)) * 4


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[StoredFile]:
    (tmp_path / "a").write_bytes(CONTENT)
    with (tmp_path / "a").open("rb") as file:
        stored = StoredFile(Span(os.dup(file.fileno())), os.fstat(file.fileno()))
    yield stored
    stored.close()


BOUNDS = st.tuples(st.integers(0, 1024), st.integers(0, 1024)).map(sorted)


@given(bounds=BOUNDS, size=st.integers(1, 300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_part_reads_its_bytes_and_no_more(stored: StoredFile, bounds: list[int], size: int) -> None:
    start, stop = bounds
    for source in (stored, stored.shared()):
        part = source.part(start, stop)
        assert b"".join(iter(lambda part=part: part.read(size), b"")) == CONTENT[start:stop]
        assert b"".join(source.blocks(start, stop)) == CONTENT[start:stop]
        if source is not stored:
            part.close()


def test_a_part_does_not_grow_with_its_file(stored: StoredFile, tmp_path: Path) -> None:
    with (tmp_path / "a").open("ab") as file:
        file.write(b"more")
    assert stored.shared().part(0, 1024).read() == CONTENT
    assert stored.part(0, 1024).read() == CONTENT
    assert stored.content() is None


def test_a_file_that_shrinks_is_an_error(stored: StoredFile, tmp_path: Path) -> None:
    os.truncate(tmp_path / "a", 10)
    blocks = stored.blocks(0, 1024)
    assert next(blocks) == CONTENT[:10]
    with pytest.raises(OSError, match="became shorter"):
        next(blocks)


def test_responses_share_one_descriptor_until_the_last_is_closed(stored: StoredFile) -> None:
    shared = stored.shared()
    stored.close()
    first, second = shared.part(0, 1024), shared.part(0, 1024)
    descriptor = first.fileno()
    assert second.fileno() == descriptor
    assert first.read(10) + first.read(10) == CONTENT[:20]
    assert second.read(5) == CONTENT[:5]
    assert second.wsgiserve_segment() == (descriptor, 5, 1019)
    shared.close()
    first.close()
    with pytest.raises(ValueError, match="closed"):
        first.fileno()
    del shared
    assert os.fstat(descriptor)  # the second still sends
    second.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


REPLACED = """
import sys
from wsgiserve.files import Store
from wsgiserve.files.store import Changed

stored = Store(sys.argv[1]).open("a")
try:
    stored.content()
except Changed:
    print("changed")
stored.close()
"""


@pytest.mark.slow
def test_a_file_that_another_server_replaced_is_to_be_opened_again(tmp_path: Path) -> None:
    """GlusterFS and NFS do not keep the old file; GlusterFS tells it when the file is closed, too."""
    (tmp_path / "a").touch()
    for error in ("ESTALE", "ENOENT"):
        faults = ("-P", f"{tmp_path}/a", "-e", f"inject=pread64,close:error={error}")
        assert under_faults(REPLACED, tmp_path, *faults) == ["changed"]
