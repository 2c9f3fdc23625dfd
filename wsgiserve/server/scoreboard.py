"""A row per worker, in memory that all processes of a server share.

First, how many connections each worker has. The workers accept from the same sockets, and the system wakes
any of them for a new connection. A burst would go to the worker that runs first. So a worker that has more
connections than another accepts its next one a moment later. Counts may be slightly out of date: they balance
the load, nothing depends on them.

Then, where somebody wants to know, the ``Board`` of each worker: what it counts, the requests that it serves
now, its last ten minutes. Row 0 is the supervisor's. The memory has a descriptor then, by which a program
reads it that takes this one's place (``exec``).
"""

from __future__ import annotations

import mmap
import os
import zlib
from typing import Literal, NamedTuple

from wsgiserve.server import history, in_flight, journal, tally
from wsgiserve.server.history import History
from wsgiserve.server.in_flight import InFlight
from wsgiserve.server.journal import Journal
from wsgiserve.server.memory import memory_file
from wsgiserve.server.tally import Tally

ROWS = 128  # workers at a time; more of them use a row of connections together
TALLIES = 1024  # workers at a time that are counted, and the supervisor
_PARTS = (tally.SIZE, history.SIZE, in_flight.SIZE, journal.SIZE)
BOARD_SIZE = (sum(_PARTS) + 63) // 64 * 64  # whole cache lines, so that workers do not slow each other
# Tells whether another version of this package has the same boards.
VERSION = zlib.crc32(
    repr((tally.VERSION, journal.LAYOUT, *_PARTS, history.FIELDS, in_flight.Entry._fields)).encode()
)
SLACK = 1  # connections by which a worker may be ahead of another
ABSENT = (1 << 31) - 1

Place = Literal["alone", "ahead", "even"]


class Board(NamedTuple):
    """What one worker shows."""

    tally: Tally
    history: History
    in_flight: InFlight

    def clear(self) -> None:
        """Empty it, for another worker."""
        self.tally.clear()
        self.history.clear()
        self.in_flight.clear()
        self.in_flight.journal.clear()


def make_board(memory: memoryview | None = None) -> Board:
    """Return the board in ``memory`` of at least ``BOARD_SIZE`` bytes; by default in some of its own."""
    memory = memoryview(bytearray(BOARD_SIZE)) if memory is None else memory
    parts, start = [], 0
    for size in _PARTS:
        parts.append(memory[start : start + size])
        start += size
    words = Journal(parts[3])
    return Board(Tally(parts[0], words), History(parts[1]), InFlight(parts[2], words))


class Scoreboard:
    """The rows of all workers; a row is ABSENT while its worker does not accept connections.

    ``counting`` makes room for boards. ``descriptor`` is that of a scoreboard which a program before this
    one has made.
    """

    def __init__(self, *, counting: bool = False, descriptor: int = -1) -> None:
        size = 4 * ROWS + (TALLIES * BOARD_SIZE if counting else 0)
        is_new = descriptor < 0
        self.descriptor = memory_file(size) if counting and is_new else descriptor
        self._counting = counting
        self._memory = memoryview(mmap.mmap(self.descriptor, size))
        self._counts = self._memory[: 4 * ROWS].cast("i")
        for row in range(ROWS if is_new else 0):
            self._counts[row] = ABSENT

    def row(self, number: int) -> Row:
        """Return the row of the worker with this number."""
        return Row(self._counts, number % ROWS)

    def tally(self, row: int) -> Tally | None:
        """Return the tally of a row; None where nobody counts."""
        board = self.board(row)
        return None if board is None else board.tally

    def board(self, row: int) -> Board | None:
        """Return the board of a row; None where nobody counts."""
        if not self._counting:
            return None
        start = 4 * ROWS + row * BOARD_SIZE
        return make_board(self._memory[start : start + BOARD_SIZE])

    def leave(self) -> None:
        """Close the descriptor, in a process that is not to pass it on; the memory stays."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


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
