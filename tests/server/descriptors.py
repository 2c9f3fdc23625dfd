"""The descriptors of this process."""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager

from wsgiserve.server.sockets import descriptors as limit


def descriptors():
    """Count the open descriptors, one for the count itself included."""
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def few_descriptors(more=0):
    """Let this process open so many descriptors more, and not raise its limit."""
    may_raise, limit._may_raise = limit._may_raise, False  # A test may have run a program of ours in here.
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = [os.dup(0) for _ in range(more + 1)]
    for descriptor in free:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[-1], limits[1]))
    try:
        yield
    finally:
        limit._may_raise = may_raise
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
