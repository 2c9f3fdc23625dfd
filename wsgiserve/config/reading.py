"""Reading the files that options name, and none that would never end.

A pipe that nobody writes to makes a reader wait, and a device may have no end. A user who names one by
mistake is to get one line, at the start as at a reload.
"""

from __future__ import annotations

import errno
import os
import stat

MOST = 8 << 20  # bytes; the bundle of all public authorities has a quarter of a megabyte


def read_file(path: str) -> bytes:
    """Return the content of a regular file; OSError, whose ``strerror`` is for people, for any other."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0))
    with open(descriptor, "rb", buffering=0) as file:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(mode):
            noun = "pipe" if stat.S_ISFIFO(mode) else "device"
            raise OSError(errno.EINVAL, f"it is a {noun}, no file", path)
        data = b""
        while len(data) <= MOST and (more := file.read(MOST + 1 - len(data))):
            data += more
    if len(data) > MOST:
        raise OSError(errno.EFBIG, f"it has more than {MOST >> 20} MiB", path)
    return data
