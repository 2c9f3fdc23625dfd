"""Memory that several processes share, and that outlives the program which has made it (``exec``)."""

from __future__ import annotations

import os


def memory_file(size: int = 0) -> int:
    """Return the descriptor of memory, or of a file without a name where the system lends no memory so.

    OSError if the system has none.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("wsgiserve")
    else:
        import tempfile  # where it is needed: it takes 2 ms

        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.truncate(descriptor, size)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
