"""Memory in which log lines wait until they are written.

A process that is killed loses what is in its memory, but not these pages: the supervisor made them before the
fork, and writes what is left in them. They have a descriptor, by which a program that takes the supervisor's
place (``exec``) goes on with them. It sees all of them through one mapping, made beforehand: that a process
ends may be due to a lack of descriptors or memory, and reading what it has left must not take any.

Rules
- Adding a line is one call of C code, so with the GIL any thread may do it without a lock. ValueError if
  there is no room, or if the page is sealed.
- A page is filled, then sealed, written and cleared. All but ``add`` is for one thread at a time, and without
  the GIL ``add`` and ``seal`` are too.
- Behind the lines are zeros, and no line has a zero byte. So whoever finds the page later sees its end.
- A process marks the page before it writes lines, by the number of the file. It may be killed after the
  write, before it can say how far it came.
"""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from wsgiserve.server.memory import memory_file

logger = logging.getLogger("wsgiserve")

SIZE = 1 << 20
PAIRS = 32  # workers at a time whose pages the supervisor sees
# Four numbers: the offset up to which lines are written, which page was filled first, the file that lines are
# being written to (0 for none), and how many were lost, which nobody knows yet.
HEADER = 32
_WRITTEN, _ORDER, _WRITING, _LOST = range(4)
UNKNOWN = 1  # file, as in ``sinks``
# Tells whether another version of this package has the same pages: raise the first number when they change.
VERSION = [1, SIZE, PAIRS, HEADER]
_ZEROS = memoryview(bytes(1 << 16))  # to clear pages with, where there may be no memory for as many anew


class Left(NamedTuple):
    """The lines that a process has left behind; ``writing`` are those that it was just writing.

    ``lost`` is the number of lines that it could not write, and has not told of. ``file`` is where it was
    writing to, as ``Sink.target`` returns it.
    """

    writing: bytes = b""
    lines: bytes = b""
    lost: int = 0
    file: int = UNKNOWN


class Page:
    """The lines of a page, as whoever comes later finds them: at an offset in the memory of a shelf."""

    def __init__(self, memory: mmap.mmap, offset: int = 0) -> None:
        self._memory = memory
        self._first = offset + HEADER
        self._past = offset + SIZE
        self._numbers = memoryview(memory)[offset : self._first].cast("Q")

    def number(self, number: int) -> None:
        """Say that it is filled after pages with lower numbers."""
        self._numbers[_ORDER] = number

    @property
    def order(self) -> int:
        """Its number."""
        return self._numbers[_ORDER]

    @property
    def lost(self) -> int:
        """The number of lines that were lost, until that is told."""
        return self._numbers[_LOST]

    @lost.setter
    def lost(self, count: int) -> None:
        self._numbers[_LOST] = count

    def left(self) -> bytes:
        """Return the whole lines that are not written yet."""
        data = self._memory[self._first - HEADER + self._written() : self._end()]
        return data[: data.rfind(b"\n") + 1]  # A process may have been killed as it added one.

    def count_left(self) -> int:
        """Return the number of these lines, without a copy of them."""
        count, end = 0, self._end()
        at = self._first - HEADER + self._written()
        while (at := self._memory.find(b"\n", at, end) + 1) > 0:
            count += 1
        return count

    def _end(self) -> int:
        end = self._memory.find(b"\0", self._first, self._past)
        return self._past if end < 0 else end

    def begin(self, file: int = UNKNOWN) -> None:
        """Say that lines are being written, to this file."""
        self._numbers[_WRITING] = file

    @property
    def begun(self) -> int:
        """The number of the file that lines were being written to; 0 for none."""
        return self._numbers[_WRITING]

    def written(self, count: int) -> None:
        """Say that so many bytes more are written."""
        if count:
            self._numbers[_WRITTEN] = self._written() + count
        self._numbers[_WRITING] = 0

    def _written(self) -> int:
        return max(HEADER, self._numbers[_WRITTEN])

    def clear(self) -> None:
        """Forget all lines."""
        end = self._end()
        for start in range(self._first, end, len(_ZEROS)):
            part = _ZEROS[: end - start]
            self._memory[start : start + len(part)] = part
        self._numbers[_WRITTEN] = HEADER
        self._numbers[_WRITING] = 0


class OpenPage(Page):
    """A page that lines are added to: ``add`` adds one. Its memory is that of a descriptor, or its own."""

    def __init__(self, descriptor: int = -1, offset: int = 0) -> None:
        memory = mmap.mmap(descriptor, SIZE, offset=offset)
        super().__init__(memory)
        self.add = memory.write
        self.used = memory.tell  # in bytes, with the header
        memory.seek(HEADER)  # Memory that nobody has written to costs nothing.

    def seal(self) -> None:
        """Let no more lines in."""
        self._memory.seek(0, 2)

    def clear(self) -> None:
        """Forget all lines, and let lines in again."""
        super().clear()
        self._memory.seek(HEADER)


def left_in(pages: Iterable[Page]) -> Left:
    """Return the lines that a process has left behind in its two pages."""
    first, second = sorted(pages, key=lambda page: page.order)
    lost = first.lost + second.lost
    if first.begun:
        return Left(first.left(), second.left(), lost, first.begun)
    return Left(b"", first.left() + second.left(), lost)


class Shelf:
    """The pages of all workers that write an access log.

    The supervisor fills it before the first of them starts, or the template that is to fork them. ``left`` is
    what ``legacy`` of the program before an ``exec`` returned.
    """

    def __init__(self, left: Mapping[str, Any] | None = None) -> None:
        self._descriptor = -1
        self._memory: mmap.mmap | None = None  # of all pages
        self._has_warned = False
        self._free: list[int] = []
        self._taken: dict[int, int] = {}  # places by the numbers of workers
        if left and left["version"] == VERSION:
            self._descriptor = left["descriptor"]
            self._free = list(range(PAIRS))
        elif left:
            os.close(left["descriptor"])

    def fill(self) -> None:
        """Make the pages, unless they are there. Memory that nobody has written to costs nothing."""
        try:
            self._map()
        except OSError as error:
            if not self._has_warned:
                logger.warning(
                    "a worker that is killed will lose lines of the access log: no memory: %s", error
                )
            self._has_warned = True

    def _map(self) -> mmap.mmap:
        """Return the memory of all pages; OSError if the system refuses it."""
        if self._descriptor < 0:
            self._descriptor = memory_file(PAIRS * 2 * SIZE)
            self._free = list(range(PAIRS))
        if self._memory is None:
            self._memory = mmap.mmap(self._descriptor, PAIRS * 2 * SIZE)
        return self._memory

    def take(self, worker: int) -> int | None:
        """Return the place of a new worker's pages; None if the shelf is empty."""
        if worker not in self._taken and self._free and self._memory is not None:
            self._taken[worker] = self._free.pop()
        return self._taken.get(worker)

    def place(self, worker: int) -> int | None:
        """Return the place of a worker's pages; None if it has none."""
        return self._taken.get(worker)

    def adopt(self, worker: int, place: int | None) -> None:
        """Take over a worker of the program before, with the place of its pages."""
        if place in self._free:
            self._free.remove(place)
            self._taken[worker] = place

    def open(self, place: int | None) -> tuple[OpenPage, OpenPage] | None:
        """Return the pages at a place, for who adds lines to them. OSError if the system refuses that."""
        if place is None:
            return None
        first = 2 * place * SIZE
        return OpenPage(self._descriptor, first), OpenPage(self._descriptor, first + SIZE)

    def left(self, worker: int) -> Left:
        """Return the lines that a worker has left behind; they stay until ``give_back``.

        OSError or MemoryError if there is no memory for them now.
        """
        pages = self._pages(worker)
        return left_in(pages) if pages else Left()

    def count_left(self, worker: int) -> int:
        """Return how many lines a worker has left behind or lost, also where there is no memory for them."""
        return sum(page.lost + page.count_left() for page in self._pages(worker))

    def give_back(self, worker: int) -> None:
        """Take back the pages of a worker that has ended, and forget their lines."""
        for page in self._pages(worker):
            page.clear()
            page.lost = 0
        if worker in self._taken:
            self._free.append(self._taken.pop(worker))

    def _pages(self, worker: int) -> list[Page]:
        place = self._taken.get(worker)
        if place is None:
            return []
        return [Page(self._map(), (2 * place + side) * SIZE) for side in (0, 1)]

    def leave(self) -> None:
        """Close the descriptor, at the end, or in a worker that has its pages."""
        self._memory = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def legacy(self) -> dict[str, Any] | None:
        """Return what a program needs that takes this one's place; None if there are no pages."""
        return {"version": VERSION, "descriptor": self._descriptor} if self._descriptor >= 0 else None
