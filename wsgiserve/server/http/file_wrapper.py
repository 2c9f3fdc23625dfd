"""``wsgi.file_wrapper`` (PEP 3333, "Optional Platform-Specific File Handling").

An app returns the wrapper as its result. The loop sends a real file with ``sendfile``, so no thread waits for
a client that reads slowly. Any other object with a ``read`` is iterated like other results.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

    from wsgiserve.server.sockets.tls import TLSSocket

READ_SIZE = 1 << 18
# sendfile(2) cannot send this kind of file, or has failed to read it: then read(2) tells more.
NOT_BY_SENDFILE = frozenset(
    {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EOVERFLOW, errno.ESPIPE, errno.EIO}
)
AS_IN_BASE = ("read", "readinto", "tell", "fileno")  # methods that a plain file does not override


class FileError(Exception):
    """A file cannot be read while it is sent: no fault of the client."""


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
        """Return (descriptor, offset, bytes to the end) if ``read`` would give just these bytes; else None.

        A file object that knows better has a method ``wsgiserve_segment``, which returns the same.
        """
        if not hasattr(os, "sendfile"):
            return None
        if known := getattr(self.file, "wsgiserve_segment", None):
            part: tuple[int, int, int] = known()
            return part
        file = _plain_file(self.file)
        if file is None:
            return None
        try:
            descriptor = file.fileno()
            status = os.fstat(descriptor)
            offset = file.tell()
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(status.st_mode) or not status.st_blocks:  # /proc and /sys tell no true size.
            return None
        return descriptor, offset, max(0, status.st_size - offset)


def _plain_file(file: Any) -> io.FileIO | io.BufferedReader | io.BufferedRandom | None:
    """Return the file whose descriptor has the bytes that ``file.read`` would give; else None.

    Not a subclass with a ``read`` of its own, such as one that decrypts or counts, nor an object that passes
    attributes on to a file, such as gzip's; but a temporary file, which only passes them on.
    """
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None and type(file) is tempfile._TemporaryFileWrapper:
        file = file.file
    for base in (io.BufferedReader, io.BufferedRandom):
        if isinstance(file, base):
            if not _inherits(file, base) or _plain_file(file.raw) is None:
                return None
            if base is io.BufferedRandom:
                file.flush()  # As its ``read`` would.
            return file
    if isinstance(file, io.FileIO) and file.mode in ("rb", "rb+") and _inherits(file, io.FileIO):
        return file
    return None


def _inherits(file: object, base: type) -> bool:
    return all(getattr(type(file), name) is getattr(base, name) for name in AS_IN_BASE)


class FileSegment:
    """The part of a file that is still to be sent, over a descriptor of its own once it is ``keep``-t."""

    __slots__ = ("_kept", "_reads", "count", "descriptor", "offset")

    def __init__(self, descriptor: int, offset: int, count: int) -> None:
        self.descriptor = descriptor
        self.offset = offset
        self.count = count
        self._kept = False
        self._reads = False  # the system has no sendfile for this file, or nobody may see the bytes

    def read_instead(self) -> None:
        """Read the bytes, and have the socket encrypt them."""
        self._reads = True

    def send(self, sock: socket.socket | TLSSocket, most: int) -> int:
        """Send at most ``most`` bytes and return their count, 0 at the file's end; may raise FileError."""
        sent = 0
        if not self._reads:
            try:
                sent = os.sendfile(sock.fileno(), self.descriptor, self.offset, min(self.count, most))
            except OSError as error:
                if error.errno not in NOT_BY_SENDFILE:
                    raise
                self._reads = True
        if self._reads:
            sent = self._read_and_send(sock, min(self.count, most, READ_SIZE))
        self.offset += sent
        self.count -= sent
        return sent

    def _read_and_send(self, sock: socket.socket | TLSSocket, size: int) -> int:
        try:
            data = os.pread(self.descriptor, size, self.offset)
        except OSError as error:
            raise FileError(f"a file cannot be read: {error.strerror}") from error
        return sock.send(data) if data else 0

    def keep(self) -> None:
        """Copy the descriptor: the app closes its file now. Raise OSError if the system has none left."""
        self.descriptor = os.dup(self.descriptor)
        self._kept = True

    def close(self) -> None:
        """Close the copy of the descriptor."""
        if self._kept:
            self._kept = False
            os.close(self.descriptor)
