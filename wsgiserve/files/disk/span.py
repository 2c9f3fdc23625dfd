"""Files as a server needs them in order to send them, by ``sendfile`` or by reading.

``Span`` is a part of an open file. It is positioned at its first byte and ends behind its last one. A server
that has ``sendfile`` takes descriptor and position, and the count from Content-Length; one that reads gets no
byte more than that either, also if the file grows meanwhile.

``Whole`` is a whole file whose descriptor several responses share. Nothing moves the descriptor's own
position, which stays at the first byte.
"""

from __future__ import annotations

import io
import os
import sys


class Span(io.FileIO):
    """An open file of which only a part is to be read, once ``narrow`` was called."""

    left = sys.maxsize

    def narrow(self, start: int, stop: int) -> Span:
        """Go to ``start``, and end at ``stop``."""
        self.seek(start)
        self.left = stop - start
        return self

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does, up to the end of the part."""
        if size is None or size < 0:
            data = b"".join(iter(lambda: self.read(1 << 20), b""))
        else:
            data = super().read(min(size, self.left)) or b""
            self.left -= len(data)
        return data


class Shared:
    """A descriptor that is closed when the last one who has it lets go."""

    __slots__ = ("descriptor",)

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __del__(self) -> None:
        os.close(self.descriptor)


class Whole:
    """A whole file of ``size`` bytes, read from a shared descriptor."""

    __slots__ = ("_position", "_shared", "_size")

    def __init__(self, shared: Shared, size: int) -> None:
        self._shared: Shared | None = shared
        self._size = size
        self._position = 0

    def fileno(self) -> int:
        """Return the descriptor; ValueError once the file is closed."""
        if self._shared is None:
            raise ValueError("the file is closed")
        return self._shared.descriptor

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does."""
        left = self._size - self._position
        data = os.pread(self.fileno(), left if size is None or size < 0 else min(size, left), self._position)
        self._position += len(data)
        return data

    def segment(self) -> tuple[int, int, int]:
        """Return (descriptor, offset, bytes to the end): what a server hands to ``sendfile``."""
        position = self._position
        return self.fileno(), position, self._size - position

    def close(self) -> None:
        """Let go of the descriptor."""
        self._shared = None
