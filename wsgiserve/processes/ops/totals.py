"""What all workers have counted since the server was started: the rows of those that live, and a base.

The base is row 0, which is the supervisor's own. When a worker has ended, however it did, its row is added to
the base and given to another worker. So a total never becomes less. Before that, the requests that it had
not finished are counted as cut, and as without a status unless they had one.

A program that takes this one's place (``exec``) goes on with the same memory, in which the workers that it
adopts go on counting. If its slots are others, it gets the totals by name. What the adopted workers count
after that is lost.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from wsgiserve.processes.facts import Worker
from wsgiserve.processes.ops.cut_lines import cut_lines
from wsgiserve.server.in_flight import Entry
from wsgiserve.server.scoreboard import TALLIES, VERSION, Board, Scoreboard
from wsgiserve.server.tally import ENDS, GAUGES, NO_STATUS, Tally, named, slot_of

logger = logging.getLogger("wsgiserve")


class Totals:
    """The tallies of one server. ``left`` is what ``legacy`` of the program before an ``exec`` returned."""

    def __init__(self, left: dict[str, Any] | None = None) -> None:
        left = left or {}
        self._goes_on = goes_on = left.get("version") == VERSION
        self.scoreboard = Scoreboard(counting=True, descriptor=left["descriptor"] if goes_on else -1)
        self._workers: dict[int, Worker] = {}  # by row
        self.base = self._tally(0)
        if left and not goes_on:
            os.close(left["descriptor"])
            for name, value in left["totals"].items():
                slot = slot_of(name)
                if slot is not None:
                    self.base.add_to(slot, value)

    def board(self, row: int) -> Board:
        """Return the board of a row."""
        board = self.scoreboard.board(row)
        assert board is not None
        return board

    def _tally(self, row: int) -> Tally:
        return self.board(row).tally

    def enter(self, worker: Worker) -> None:
        """Give a worker that starts a row."""
        self.base.count("starts")
        row = next((row for row in range(1, TALLIES) if row not in self._workers), 0)
        if not row:
            logger.warning("too many workers at once: what worker %d does is not counted", worker.number)
            return
        self.board(row).clear()  # A process that was given up as gone may have gone on counting.
        self._workers[row] = worker
        worker.count_in(row)

    def adopt(self, worker: Worker, row: int) -> None:
        """Take over a worker of the program before with its row; 0 for none."""
        if row and self._goes_on:
            self._workers[row] = worker
            worker.count_in(row)

    def last_lines(self, worker: Worker) -> bytes:
        """Count the requests that a worker has left unfinished at its end; return their lines for the log."""
        if self._workers.get(worker.row) is not worker:
            return b""
        board = self.board(worker.row)
        entries = board.in_flight.unwritten()
        lines = cut_lines(entries, worker.terms.config)  # First: there may be no memory for them now.
        self._count_cut(board, entries)
        return lines

    def _count_cut(self, board: Board, entries: list[Entry]) -> None:
        now = time.monotonic()
        for entry in entries:
            if entry.end == "done":
                board.tally.end("cut")
            if entry.status is None:
                board.tally.request(entry.method, NO_STATUS, now - entry.started)
        board.in_flight.clear()

    def leave(self, worker: Worker) -> None:
        """Keep what a worker has counted that has ended; once, however often it is called."""
        if not worker.row:
            self._count_end(worker)
        elif self._workers.get(worker.row) is worker:
            board = self.board(worker.row)
            board.tally.settle()
            values = board.tally.values()  # First: there may be no memory for them now.
            del self._workers[worker.row]
            self._count_end(worker)
            self.base.add(values)
            self.board(0).history.absorb(board.history, time.monotonic())
            board.clear()

    def _count_end(self, worker: Worker) -> None:
        self.base.count(f"end {worker.cause if worker.cause in ENDS else 'retired'}")

    def count(self, name: str) -> None:
        """Count what the supervisor itself has done or seen."""
        self.base.count(name)

    def values(self) -> list[int | float]:
        """Return the totals, by slot."""
        rows = [self._tally(row).values() for row in (0, *self._workers)]
        return [sum(values) for values in zip(*rows, strict=True)]

    def gauges(self) -> dict[str, int]:
        """Return the sums of the gauges of all workers."""
        tallies = [self._tally(row) for row in self._workers]
        return {name: sum(tally.get(name) for tally in tallies) for name in GAUGES}

    def history(self, now: float) -> dict[int, tuple[float, ...]]:
        """Return the buckets of the last ten minutes, summed over all workers, by their numbers."""
        total: dict[int, tuple[float, ...]] = {}
        for row in (0, *self._workers):
            for number, values in self.board(row).history.buckets(now).items():
                before = total.get(number, (0.0,) * len(values))
                total[number] = tuple(map(sum, zip(before, values, strict=True)))
        return total

    def legacy(self) -> dict[str, Any]:
        """Return what a program needs that takes this one's place."""
        return {"version": VERSION, "descriptor": self.scoreboard.descriptor, "totals": named(self.values())}
