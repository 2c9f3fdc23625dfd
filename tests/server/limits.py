"""Limits of the system, set for this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def few_descriptors(more: int = 0) -> Iterator[None]:
    """Let this process open so many files and no more."""
    resource = pytest.importorskip("resource")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    free: list[int] = []
    while len(free) <= more:
        free.append(os.open(os.devnull, os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[-1], limit[1]))
    for descriptor in free:
        os.close(descriptor)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
