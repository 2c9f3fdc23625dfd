"""How many connections each worker has: a row per worker, in memory that all processes of a server share.

The workers accept from the same sockets, and the system wakes any of them for a new connection. A burst would
go to the worker that runs first. So a worker that has more connections than another accepts its next one a
moment later. Counts may be slightly out of date: they balance the load, nothing depends on them.
"""

from __future__ import annotations

import mmap
from typing import Literal

ROWS = 128  # workers at a time; more of them use a row together
SLACK = 1  # connections by which a worker may be ahead of another
ABSENT = (1 << 31) - 1

Place = Literal["alone", "ahead", "even"]


class Scoreboard:
    """The rows of all workers; a row is ABSENT while its worker does not accept connections."""

    def __init__(self) -> None:
        self._counts = memoryview(mmap.mmap(-1, 4 * ROWS)).cast("i")
        for row in range(ROWS):
            self._counts[row] = ABSENT

    def row(self, number: int) -> Row:
        """Return the row of the worker with this number."""
        return Row(self._counts, number % ROWS)


class Row:
    """One worker's row, and where it stands among the others."""

    def __init__(self, counts: memoryview[int], number: int) -> None:
        self._counts = counts
        self._number = number

    def set(self, connections: int) -> None:
        """Publish how many connections the worker has."""
        self._counts[self._number] = connections

    def leave(self) -> None:
        """Accept no more connections."""
        self._counts[self._number] = ABSENT

    def place(self) -> Place:
        """Tell whether a worker that accepts has fewer connections, or no other worker accepts."""
        counts = self._counts.tolist()
        if counts.count(ABSENT) >= ROWS - 1:
            return "alone"
        return "ahead" if counts[self._number] > min(counts) + SLACK else "even"
