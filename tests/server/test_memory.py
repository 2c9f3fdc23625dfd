"""Memory with a descriptor: whoever has the descriptor has the memory."""

from __future__ import annotations

import mmap
import os

import pytest

from wsgiserve.server.memory import memory_file


@pytest.mark.parametrize("system", ["memory", "file"])
def test_memory_is_shared_by_its_descriptor(system, monkeypatch):
    if system == "file":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    descriptor = memory_file(8192)
    assert not os.get_inheritable(descriptor)
    one, other = mmap.mmap(descriptor, 8192), mmap.mmap(descriptor, 4096, offset=4096)
    os.close(descriptor)
    assert one[:] == bytes(8192)
    one[4096:4099] = b"one"
    assert other[:3] == b"one"


def test_memory_that_cannot_be_had_takes_no_descriptor():
    resource = pytest.importorskip("resource")
    before, limit = len(os.listdir("/dev/fd")), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            memory_file(8192)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert len(os.listdir("/dev/fd")) == before
