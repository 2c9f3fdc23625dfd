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
def no_descriptor_left():
    """Let this process have no more descriptors than it has, nor raise its limit."""
    may_raise, limit._may_raise = limit._may_raise, False  # A test may have run a program of ours in here.
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        yield
    finally:
        limit._may_raise = may_raise
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
