"""``wsgi.file_wrapper`` (PEP 3333, "Optional Platform-Specific File Handling").

An app returns the wrapper as its result. The loop sends a real file with ``sendfile``, so no thread waits for
a client that reads slowly. Any other object with a ``read`` is iterated like other results.
"""

from __future__ import annotations

import io
import logging
import os
import stat
from typing import Any

logger = logging.getLogger("wsgiserve")


class FileWrapper:
    """Iterate a file-like object in blocks of ``block_size`` bytes; ``close`` closes it."""

    def __init__(self, file: Any, block_size: int = 65536) -> None:
        self.file = file
        self.block_size = block_size

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> bytes:
        block: bytes = self.file.read(self.block_size)
        if block:
            return block
        raise StopIteration

    def close(self) -> None:
        """Close the file, if it can be closed."""
        if hasattr(self.file, "close"):
            self.file.close()

    def segment(self) -> tuple[int, int, int] | None:
        """Return (descriptor, offset, bytes to the end) of a regular file, None for anything else.

        A file object may have a method of this name: then the system need not be asked.
        """
        if not hasattr(os, "sendfile"):
            return None
        if known := getattr(self.file, "segment", None):
            part: tuple[int, int, int] = known()
            return part
        if not isinstance(getattr(self.file, "raw", self.file), io.FileIO):
            return None  # Its read() may give other bytes than its descriptor, as that of gzip.open().
        try:
            descriptor = self.file.fileno()
            status = os.fstat(descriptor)
            offset = self.file.tell()
        except (AttributeError, OSError, ValueError):
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return descriptor, offset, max(0, status.st_size - offset)


class FileSegment:
    """The part of a file that is still to be sent."""

    __slots__ = ("count", "descriptor", "offset", "wrapper")

    def __init__(self, wrapper: FileWrapper, descriptor: int, offset: int, count: int) -> None:
        self.wrapper = wrapper
        # A copy: the app may close its file too early, and the number may become another file's.
        self.descriptor = os.dup(descriptor)
        self.offset = offset
        self.count = count

    def advance(self, count: int) -> None:
        """Count bytes that were sent."""
        self.offset += count
        self.count -= count

    def close(self) -> None:
        """Close the file; log an error that the app's ``close`` raises."""
        os.close(self.descriptor)
        try:
            self.wrapper.close()
        except BaseException:
            logger.exception("closing a file that was sent")
