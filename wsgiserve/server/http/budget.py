"""``--max-buffered``: how many bytes the loop may keep for all clients together.

The loop keeps the bodies that it collects, or that wait for a thread, and the rests of responses that it
sends for threads which have gone on. Each connection has a share; the sum is kept in here and nowhere else.
What does not fit is no error: then a thread receives or sends for the one client and waits for it, as it does
for a large body or a stream.
"""

from __future__ import annotations

import math

from wsgiserve.server.system import Lock


class Budget:
    """``size`` bytes for the connections of one server, 0 for no limit; safe from any thread."""

    def __init__(self, size: int) -> None:
        self._size = size or math.inf
        self._lock = Lock()
        self.used = 0

    def has_room(self, count: int) -> bool:
        """Whether so many bytes more would fit now."""
        return self.used + count <= self._size

    def change(self, before: int, now: int) -> bool:
        """Replace a share of ``before`` bytes by one of ``now``; False, and no change, if it does not fit."""
        with self._lock:
            used = self.used + now - before
            if now > before and used > self._size:
                return False
            self.used = used
            return True
