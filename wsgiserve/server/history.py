"""The last ten minutes of a worker, in memory that the supervisor reads: one bucket for ten seconds.

The worker writes the current bucket about once a second while it has connections, and once more after the
last one has left. Nobody writes for a server without work, and nobody is woken for that: a bucket that was
not written is one in which nothing happened. So the graphs have their past also if nobody was looking.
"""

from __future__ import annotations

from typing import NamedTuple

SECONDS = 10
BUCKETS = 61  # of which the current one is not whole yet
FIELDS = ("requests", "errors", "spent", "busy", "waiting", "connections")
WIDTH = 1 + len(FIELDS)
SIZE = BUCKETS * WIDTH * 8
SUMS = 3  # the first fields are sums, of others the largest value counts


class Done(NamedTuple):
    """What was answered until now."""

    requests: int
    errors: int
    seconds: float


class History:
    """The buckets in ``memory`` of at least ``SIZE`` bytes; the first field is the number of ten seconds."""

    def __init__(self, memory: memoryview | None = None) -> None:
        memory = memoryview(bytearray(SIZE)) if memory is None else memory[:SIZE]
        self._slots = memory.cast("d")
        self._before = Done(0, 0, 0.0)

    def note(self, now: float, done: Done, busy: int, waiting: int, connections: int) -> None:
        """Add what was answered since the last call to the bucket of now, and what is going on."""
        before, self._before = self._before, done
        since = (new - old for new, old in zip(done, before, strict=True))
        self._add(int(now) // SECONDS, (*since, busy, waiting, connections))

    def _add(self, number: int, values: tuple[float, ...]) -> None:
        start = number % BUCKETS * WIDTH
        slots = self._slots
        if slots[start] != number:
            for at in range(start, start + WIDTH):
                slots[at] = 0.0
            slots[start] = number
        for at, value in enumerate(values, start + 1):
            is_sum = at - start <= SUMS
            slots[at] = slots[at] + value if is_sum else max(slots[at], value)

    def buckets(self, now: float) -> dict[int, tuple[float, ...]]:
        """Return the values of the buckets of the last ten minutes by their numbers."""
        current, slots = int(now) // SECONDS, self._slots.tolist()
        rows = [slots[start : start + WIDTH] for start in range(0, BUCKETS * WIDTH, WIDTH)]
        return {int(row[0]): tuple(row[1:]) for row in rows if current - BUCKETS < row[0] <= current}

    def absorb(self, other: History, now: float) -> None:
        """Add what a worker that has ended has left, to be read as a part of all workers."""
        for number, values in other.buckets(now).items():
            mine = self.buckets(now).get(number, (0.0,) * len(FIELDS))
            start = number % BUCKETS * WIDTH
            self._slots[start] = number
            for at, (value, more) in enumerate(zip(mine, values, strict=True), start + 1):
                self._slots[at] = value + more

    def clear(self) -> None:
        """Empty all buckets."""
        self._slots[:] = memoryview(bytearray(self._slots.nbytes)).cast("d")
