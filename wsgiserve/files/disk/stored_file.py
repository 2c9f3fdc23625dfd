"""A file of the store that is open for reading: its bytes as blocks, or as a file that a server sends.

PEP 3333 lets an app hand a file object to ``wsgi.file_wrapper``. ``StoredFile.part`` makes one that holds
only the wanted bytes: a server with ``sendfile`` uses its descriptor and position, and takes the count from
Content-Length; any other server reads, and gets no byte more even if the file grows meanwhile.

Responses that send the same file at once share one descriptor, see ``StoredFile.shared``. Nothing moves the
position of that descriptor, so each response begins at the first byte.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from wsgiserve.files.store import Changed, Version

BLOCK = 256 * 1024


class Span(io.FileIO):
    """An open file of which only a part is read, once ``narrow`` was called."""

    left = sys.maxsize

    def close(self) -> None:
        """Close the file without an error: GlusterFS has one if another server has replaced it."""
        with contextlib.suppress(OSError):
            super().close()

    def narrow(self, start: int, stop: int) -> Span:
        """Move to ``start``, and let the file end at ``stop``."""
        self.seek(start)
        self.left = stop - start
        return self

    def wsgiserve_segment(self) -> tuple[int, int, int]:
        """Return (descriptor, offset, bytes to the end of the part): our server sends these."""
        start = self.tell()
        return self.fileno(), start, max(0, min(self.left, os.fstat(self.fileno()).st_size - start))

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does, up to the end of the part."""
        if size is None or size < 0:
            data = b"".join(iter(lambda: self.read(1 << 20), b""))
        else:
            data = super().read(min(size, self.left)) or b""
            self.left -= len(data)
        return data


class _Kept(Span):
    """A file that closes with the last object that refers to it."""

    def __del__(self) -> None:
        self.close()


class _Whole:
    """A whole file of ``size`` bytes, read without moving the position of its descriptor."""

    __slots__ = ("_file", "_position", "_size")

    def __init__(self, file: Span, size: int) -> None:
        self._file: Span | None = file
        self._size = size
        self._position = 0

    def fileno(self) -> int:
        """Return the descriptor; ValueError once the file is closed."""
        if self._file is None:
            raise ValueError("the file is closed")
        return self._file.fileno()

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does."""
        left = self._size - self._position
        data = os.pread(self.fileno(), left if size is None or size < 0 else min(size, left), self._position)
        self._position += len(data)
        return data

    def wsgiserve_segment(self) -> tuple[int, int, int]:
        """Return (descriptor, offset, bytes to the end), the arguments of ``sendfile``."""
        position = self._position
        return self.fileno(), position, self._size - position

    def close(self) -> None:
        """Let go of the descriptor."""
        self._file = None


Part = Span | _Whole


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An open file of the store; whoever opened it closes it, or sends it by ``part``."""

    file: Span
    status: os.stat_result

    @property
    def size(self) -> int:
        """The size in bytes when the file was opened."""
        return self.status.st_size

    @property
    def version(self) -> Version:
        """The version when the file was opened."""
        return Version.of(self.status)

    @property
    def identity(self) -> Hashable:
        """Stands for this content of this file, and no other."""
        status = self.status
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    @property
    def location(self) -> None:
        """None: the bytes are sent from here."""
        return

    def part(self, start: int, stop: int) -> Part:
        """Return the bytes from ``start`` to ``stop`` as a file; closing that closes this one."""
        return self.file.narrow(start, stop)

    def blocks(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` to ``stop``; OSError if the file has shrunk meanwhile."""
        while start < stop:
            block = os.pread(self.file.fileno(), min(BLOCK, stop - start), start)
            if not block:
                raise OSError("the file became shorter while it was sent")
            start += len(block)
            yield block

    def content(self) -> bytes | None:
        """Return all bytes, or None if the size has changed since the file was opened.

        ``Changed`` if another server has replaced the file, and the file system does not keep the old one.
        """
        try:
            content = os.pread(self.file.fileno(), self.size + 1, 0)
        except OSError as error:
            if error.errno in (errno.ESTALE, errno.ENOENT):
                raise Changed from error
            raise
        return content if len(content) == self.size else None

    def shared(self) -> StoredFile:
        """Open the same file once more, for any number of responses. Needs ``/proc``."""
        return _SharedFile(_Kept(_reopened(self.file.fileno())), self.status)

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class _SharedFile(StoredFile):
    """An open file that any number of responses send; it closes when nobody refers to it any more."""

    __slots__ = ()

    def part(self, start: int, stop: int) -> Part:
        if start == 0 and stop == self.status.st_size:
            return _Whole(self.file, stop)
        return Span(_reopened(self.file.fileno())).narrow(start, stop)

    def close(self) -> None:
        """Do nothing: other responses may still send the file."""


def _reopened(descriptor: int) -> int:
    """Open the same file again: a duplicate would share the position."""
    return os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
