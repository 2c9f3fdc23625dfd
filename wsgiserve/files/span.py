"""A part of a file, as a file: what a server needs in order to send it, by ``sendfile`` or by reading.

It is positioned at its first byte and ends behind its last one. A server that has ``sendfile`` takes
descriptor and position, and the count from Content-Length; one that reads gets no byte more than that either,
also if the file grows meanwhile.
"""

from __future__ import annotations

import io
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
