"""How many connections each worker has, for all of them to see: memory that they share.

The system wakes whoever it likes for a new connection, and a burst of them would go to the one that is
quickest to run. So who has more than another takes the next one a moment later. Numbers may be a little old:
they are for balance, nothing depends on them.
"""

from __future__ import annotations

import mmap
from typing import Literal

SLOTS = 128  # workers at a time; if there are more, two share a slot
SLACK = 1  # connections by which one may be ahead
ABSENT = (1 << 31) - 1

Place = Literal["alone", "ahead", "even"]


class Shares:
    """The counts of all workers; a worker is ABSENT until it accepts, and again when it does so no more."""

    def __init__(self) -> None:
        self._counts = memoryview(mmap.mmap(-1, 4 * SLOTS)).cast("i")
        for slot in range(SLOTS):
            self._counts[slot] = ABSENT

    def of(self, number: int) -> Share:
        """Return the share of one worker."""
        return Share(self._counts, number % SLOTS)

    def leave(self, number: int) -> None:
        """A worker has ended."""
        self._counts[number % SLOTS] = ABSENT


class Share:
    """One worker's count among those of all."""

    def __init__(self, counts: memoryview[int], slot: int) -> None:
        self._counts = counts
        self._slot = slot

    def set(self, count: int) -> None:
        """Tell how many connections we have."""
        self._counts[self._slot] = count

    def leave(self) -> None:
        """Accept no more."""
        self._counts[self._slot] = ABSENT

    def place(self) -> Place:
        """Tell whether another one that accepts has fewer, or there is no other."""
        counts = self._counts.tolist()
        if counts.count(ABSENT) >= SLOTS - 1:
            return "alone"
        return "ahead" if counts[self._slot] > min(counts) + SLACK else "even"
