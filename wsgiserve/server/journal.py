"""What the leader's thread does now and has just counted: one word of shared memory for each request.

Most requests are answered on the leader's thread within milliseconds. For these, being counted and being seen
in flight may cost next to nothing. So a request is two stores to its word, and the text that shows it stays
where it is while its connection repeats the request:

| word | the request |
|---|---|
| 0.0 | there is none |
| ``-(place * PLACE + start)`` | is in the app since ``start``; its text is at ``place`` |
| ``unit + seconds`` | is counted; ``unit`` says the method, the status and the bytes of the body |

One store takes a request out of flight and counts it, so a worker may be killed at any moment: the supervisor
finds each request in one of the states. Once some hundred words are used, the leader folds them: it adds them
to the sums, and begins anew.

Rules
- There are two sides, each with words and sums. The generation says which one is valid. Folding writes the
  other side as a whole, then counts the generation up: one store again.
- Only the leader folds, between two requests. A thread looks whether its exchange is detached, then stores;
  no call stands between the two, so CPython with the GIL switches to no other thread. So the stores are not
  methods in here: see ``ShownConnection.environ_of``, ``Response._start`` and ``OwingExchange.run``. Without
  the GIL nothing is counted in here. A thread that is deposed at this very moment may then hide the next
  leader's call.
- A text is written only while no word names its place. The first ``PLACES`` connections that are open have
  a place of their own. The others share place 0, whose text is written for each request.
- With an access log, ``owed`` keeps the word of a request that is counted until its line is written.
- A longer body, a slower answer, another method or full words: then the ``tally`` counts, at more cost.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import inf, trunc
from typing import NamedTuple, Protocol

from wsgiserve.server.system import HAS_GIL
from wsgiserve.server.tally import BLOCK, BOUNDS, CLASSES, COUNTED, METHODS, RESPONSE_BYTES, SUM

WORDS = 1024  # on a side
FULL = 512  # words, from which on the leader folds
PLACES = 255
PLACE = float(1 << 28)  # more seconds than a start has
TEXT = 352  # bytes of a text

# A unit is a whole number of 1/SCALE: method and status, then the bytes. So the seconds are less than that.
# Requests are timed from the start of the loop's turn, which lasts some milliseconds where many connections
# are ready. A word rounds the seconds by 0.12 µs at most.
SCALE = 64.0
UNIT = 1 / SCALE
IN_PASSING = 0.015 if HAS_GIL else -inf  # seconds
LENGTH = 24  # bits of the bytes' number
STATUSES = 1000

_WORDS = 8 * WORDS
_SUMS = 8 * COUNTED
_SIDE = _WORDS + _SUMS
_HEAD = 3 * 8  # the generation, the leader's thread, the owed word
_TEXTS = _HEAD + 2 * _SIDE
SIZE = _TEXTS + (1 + PLACES) * TEXT
LAYOUT = (WORDS, PLACE, SCALE, LENGTH, STATUSES)
_NOTHING = memoryview(bytes(_WORDS)).cast("d")

METHOD_UNITS = {method: float((at * STATUSES << LENGTH) / SCALE) for at, method in enumerate(METHODS[:-1])}


class Connection(Protocol):
    """A connection that is shown."""

    base: float  # of its words


class Exchange(Protocol):
    """A request in flight, as far as it is looked at in here."""

    started: float

    @property
    def request(self) -> object:
        """The request."""

    @property
    def connection(self) -> Connection:
        """Its connection."""


class Leading(NamedTuple):
    """The leader's call: since when, its text, and the status as which it is counted, or None."""

    started: float
    thread: int
    text: bytes
    status: int | None


def unit_of(status: int, size: int) -> float:
    """Return the unit of a response, without its method; -1.0 if it has no word."""
    return ((status << LENGTH) + size) / SCALE if size < 1 << LENGTH and status < STATUSES else -1.0


class Journal:
    """The words in ``memory`` of at least ``SIZE`` bytes; by default in some of its own."""

    def __init__(self, memory: memoryview | None = None) -> None:
        memory = memoryview(bytearray(SIZE)) if memory is None else memory[:SIZE]
        self._generation = memory[:8].cast("Q")
        self._thread = memory[8:16].cast("Q")
        self.owed = memory[16:_HEAD].cast("d")
        self._sides = []
        for start in (_HEAD, _HEAD + _SIDE):
            words, sums = memory[start : start + _WORDS], memory[start + _WORDS : start + _SIDE]
            self._sides.append((words.cast("d"), sums.cast("d")))
        self._texts = memory[_TEXTS:]
        self._places = list(range(PLACES, 0, -1))
        self.writes_lines = False  # each request has a line in the access log, behind its count
        self.shown: object = None  # the request at place 0
        # the words of the valid side, and where the next request has its own
        self.words = self._sides[self._generation[0] % 2][0]
        self.at = 0

    def expect_lines(self) -> None:
        """Say that there is an access log."""
        self.writes_lines = True

    # -- for the leader

    def lead(self, thread: int) -> None:
        """Name the leader's thread, which does nothing yet."""
        self._thread[0] = thread
        if self.at < WORDS:
            self.words[self.at] = 0.0
        self.owed[0] = 0.0

    @property
    def thread(self) -> int:
        """The leader's thread."""
        return self._thread[0]

    def fold(self) -> None:
        """Add the words to the sums, and begin anew; between two requests."""
        generation = self._generation[0]
        words, sums = self._sides[generation % 2]
        new_words, new_sums = self._sides[(generation + 1) % 2]
        new_sums[:] = sums
        _add(new_sums, words[: self.at].tolist())  # type: ignore[arg-type]  # They are floats.
        new_words[:] = _NOTHING
        self._generation[0] = generation + 1
        self.words, self.at = new_words, 0

    def leave(self, exchange: Exchange) -> None:
        """Show an exchange no more that is not the leader's from now on; any other stays."""
        base = exchange.connection.base
        word = base - exchange.started
        if not base and self.shown is not exchange.request:
            return
        if self.at < WORDS and self.words[self.at] == word:
            self.words[self.at] = 0.0
        if self.owed[0] == word:
            self.owed[0] = 0.0

    # -- texts

    def take_place(self) -> int:
        """Return a place for a connection; 0 if there is none of its own."""
        try:
            return self._places.pop()
        except IndexError:
            return 0

    def give_back(self, place: int) -> None:
        """Take back the place of a connection that is closed; nothing for 0."""
        if place:
            self._places.append(place)

    def write(self, place: int, text: bytes, request: object) -> None:
        """Write the text of a request."""
        if not place:
            self.shown = request
        self._texts[place * TEXT : (place + 1) * TEXT] = text

    # -- reading, also in the supervisor

    def _read(self) -> tuple[list[float], list[float]]:
        """Return the words and the sums of one moment."""
        while True:
            generation = self._generation[0]
            words, sums = self._sides[generation % 2]
            moment = [*words], [*sums]
            if self._generation[0] == generation:
                return moment

    def sums(self) -> list[float]:
        """Return what is counted, by the slots of a ``Tally``."""
        words, sums = self._read()
        _add(sums, [word for word in words if word > 0])
        return sums

    def leading(self) -> Leading | None:
        """Return the leader's call, or the one that owes its line; one that changes meanwhile is left out."""
        owed = self.owed[0]
        words, _ = self._read()
        word = min(words)
        if word < 0:
            found = self._leading(word, None)
            return found if self._read()[0][words.index(word)] == word else None
        counted = [word for word in words if word]
        if not owed or not counted:
            return None
        found = self._leading(owed, (trunc(counted[-1] * SCALE) >> LENGTH) % STATUSES)
        return found if self.owed[0] == owed else None

    def _leading(self, word: float, status: int | None) -> Leading:
        place, started = divmod(-word, PLACE)
        start = int(place) * TEXT
        return Leading(started, self._thread[0], bytes(self._texts[start : start + TEXT]), status)

    def forget(self) -> None:
        """Show no call; what is counted stays."""
        words = self._sides[self._generation[0] % 2][0]
        for at, word in enumerate(words.tolist()):
            if word < 0:
                words[at] = 0.0
        self.owed[0] = 0.0

    def clear(self) -> None:
        """Empty it, for another worker."""
        for words, sums in self._sides:
            words[:] = _NOTHING
            sums[:] = memoryview(bytes(_SUMS)).cast("d")
        self.owed[0] = 0.0


def _add(sums: list[float] | memoryview[float], words: list[float]) -> None:
    """Add words to sums: all at once that have the same unit, which often are all there are."""
    if words and max(words) > _unit_of_word(min(words)) + BOUNDS[0]:
        words.sort()
    at = 0
    while at < len(words):
        unit = _unit_of_word(words[at])
        end = bisect_left(words, unit + UNIT, at)
        key, size = divmod(trunc(unit * SCALE), 1 << LENGTH)
        block = (key // STATUSES * len(CLASSES) + key % STATUSES // 100) * BLOCK
        sums[block + SUM] += sum([word - unit for word in words[at:end]])
        sums[RESPONSE_BYTES] += size * (end - at)
        for slot, bound in enumerate(BOUNDS, block):
            after = bisect_right(words, unit + bound, at, end)
            sums[slot] += after - at
            at = after
            if at == end:
                break


def _unit_of_word(word: float) -> float:
    return trunc(word * SCALE) * UNIT
