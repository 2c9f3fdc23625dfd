"""What one worker counts, in slots of memory that it may share with the supervisor.

A slot is eight bytes: a whole number, or a float for seconds. The supervisor made the memory before the
worker was forked, and reads it whenever it wants to know. Counting takes no system call and no
message, and what a worker has counted is there after it was killed.

| part | slots |
|---|---|
| requests | a block for each method and status class |
| waiting | a block for how long requests waited for a thread; most did not wait at all |
| counters | one slot each, see ``COUNTERS``; they only grow |
| gauges | one slot each, see ``GAUGES``; set about once a second while there are connections |

A block is a histogram: a slot for each bucket and one for the sum of the seconds. So one increment counts a
request by method, status and duration.

Rules
- A request is counted before its last bytes are sent: no client has an answer that is not counted.
- How long a request waited is counted a moment after the request. Both grow only: to count who waited, and
  read all others as those that did not, would show a request among these for that moment, and take it back.
- Seconds are whole numbers of ``GRAIN``, so that adding them is exact: the rows of ended workers are added in
  another order than those of live ones, and a sum that is rounded otherwise would go back by its last digit.
- The slots of a row belong to one process. Its threads share them, and take a lock to add to one.
  Those that the leader's thread answers at once are counted in the ``journal`` instead, without one.
- ``VERSION`` tells whether another version of this package has the same slots.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Iterator
from math import inf
from typing import Protocol

from wsgiserve.server.system import Lock

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other")
SERVER_ERROR = 5
NO_STATUS = 0  # of a request that was cut before it had a response
CLASSES = range(10)  # of status codes; an app may answer 999
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
GRAIN = 1 / (1 << 20)  # seconds; sums of up to 272 years are exact
SUM = len(BOUNDS) + 1  # the slot of a block's seconds; the one before is for all that took longer
BLOCK = SUM + 1

REFUSALS = ("400", "408", "413", "414", "417", "431", "501", "505", "tls", "proxy", "other")
TIMEOUTS = ("call", "request", "response", "queue")
# By why a request has ended, as the access log names it; "refused" and "shed" are counted where that is done.
BY_END = {"client left": "clients_left", "timeout": "timeout response", "cut": "cut"}
# Of workers; then of the supervisor, which has a row of its own.
# Why workers ended: replaced by a reload or a stop, past a limit, before the server wanted it, too late, or
# before they served.
LIMITS = ("max-requests", "max-rss", "max-lifetime", "request-timeout", "SIGTERM")
ENDS = ("retired", *LIMITS, "crashed", "killed", "failed")
RELOADS = ("serving", "failed", "refused", "superseded")
COUNTERS = (
    "request_bytes",
    "response_bytes",
    "connections",
    "shed",
    "clients_left",
    *(f"timeout {kind}" for kind in TIMEOUTS),
    *(f"refused {kind}" for kind in REFUSALS),
    "starts",
    *(f"end {cause}" for cause in ENDS),
    *(f"reload {outcome}" for outcome in RELOADS),
    "cut",
)
GAUGES = ("idle", "receiving", "running", "sending", "busy", "waiting", "lost")

OFFSETS = {method: at * len(CLASSES) * BLOCK for at, method in enumerate(METHODS)}
OTHER = OFFSETS["other"]
WAITING = len(METHODS) * len(CLASSES) * BLOCK
_FIRST_COUNTER = WAITING + BLOCK
_FIRST_GAUGE = _FIRST_COUNTER + len(COUNTERS)
SLOTS = {name: at for at, name in enumerate((*COUNTERS, *GAUGES), _FIRST_COUNTER)}
COUNTED = _FIRST_GAUGE  # slots, those of gauges behind them
SIZE = (_FIRST_GAUGE + len(GAUGES)) * 8  # bytes
VERSION = zlib.crc32(repr((METHODS, CLASSES, BOUNDS, COUNTERS, GAUGES)).encode())  # of the layout

REQUEST_BYTES, RESPONSE_BYTES = SLOTS["request_bytes"], SLOTS["response_bytes"]


def request_block(method: str, status_class: int) -> int:
    """Return the first slot of the block for a method and a class."""
    return OFFSETS[method] + status_class * BLOCK


def whole(seconds: float) -> float:
    """Return seconds as they are counted."""
    return round(seconds / GRAIN) * GRAIN


def _sums() -> Iterator[int]:
    for at in range(0, WAITING + BLOCK, BLOCK):
        yield at + SUM


SUMS = frozenset(_sums())  # the slots that are floats


def _names() -> Iterator[str]:
    blocks = [f"{method} {status_class}" for method in METHODS for status_class in CLASSES]
    for block in (*blocks, "waiting"):
        yield from (f"{block} {bound:g}" for bound in (*BOUNDS, inf))
        yield f"{block} sum"
    yield from COUNTERS


NAMES = tuple(_names())  # of all slots but the gauges
_BY_NAME = {name: slot for slot, name in enumerate(NAMES)}


def named(values: list[int | float]) -> dict[str, int | float]:
    """Return the values that are not zero by the names of their slots."""
    return {name: value for name, value in zip(NAMES, values, strict=True) if value}


def slot_of(name: str) -> int | None:
    """Return the slot of this name; None if there is none."""
    return _BY_NAME.get(name)


class Journal(Protocol):
    """Where requests are counted that are answered at once."""

    def sums(self) -> list[float]:
        """Return what is to be added to each slot but the gauges."""


class Tally:
    """The slots of one row, in ``memory`` of at least ``SIZE`` bytes; by default in some of its own.

    What the ``journal`` has counted is a part of all that is read here.
    """

    def __init__(self, memory: memoryview | None = None, journal: Journal | None = None) -> None:
        memory = memoryview(bytearray(SIZE)) if memory is None else memory[:SIZE]
        self.counts = memory.cast("Q")
        self.seconds = memory.cast("d")
        self._journal = journal
        self._lock = Lock()

    def count(self, name: str, much: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self.counts[SLOTS[name]] += much

    def refuse(self, kind: str) -> None:
        """Count a refusal, by the status of its answer or, without one, by who refused."""
        self.count(f"refused {kind if kind in REFUSALS else 'other'}")
        if kind == "408":
            self.count("timeout request")

    def end(self, why: str) -> None:
        """Count why a request has no whole response."""
        self.count(BY_END[why])

    def request(self, method: str, status: int, seconds: float) -> None:
        """Count a request that is over."""
        block = OFFSETS.get(method, OTHER) + status // 100 * BLOCK
        slot = block + bisect_left(BOUNDS, seconds)
        with self._lock:
            self.counts[slot] += 1
            self.seconds[block + SUM] += whole(seconds)

    def wait(self, seconds: float) -> None:
        """Count how long a request waited for a thread, once it is counted itself."""
        slot = WAITING + bisect_left(BOUNDS, seconds)
        with self._lock:
            self.counts[slot] += 1
            self.seconds[WAITING + SUM] += whole(seconds)

    def set(self, **gauges: int) -> None:
        """Set gauges."""
        for name, value in gauges.items():
            self.counts[SLOTS[name]] = value

    def get(self, name: str) -> int:
        """Return a counter or a gauge."""
        slot = SLOTS[name]
        return self.counts[slot] if slot >= COUNTED else int(self.values()[slot])

    def values(self) -> list[int | float]:
        """Return all that is counted, without gauges.

        Read backwards: waiting is counted last, so no reader sees more of it than requests.
        """
        counts, seconds = self.counts, self.seconds
        waiting = counts[WAITING:COUNTED].tolist()
        values: list[int | float] = [*counts[:WAITING].tolist(), *waiting]
        for slot in SUMS:
            values[slot] = seconds[slot]
        if self._journal is not None:
            for slot, more in enumerate(self._journal.sums()):
                if more:
                    values[slot] += whole(more) if slot in SUMS else int(more)
                    if slot < WAITING and slot not in SUMS:
                        values[WAITING] += int(more)  # These have not waited.
        return values

    def settle(self) -> None:
        """Count those as not waiting of which an ended worker could not say how long they waited."""
        values = self.values()
        waited = sum(values[WAITING : WAITING + SUM])
        self.counts[WAITING] += self.done()[0] - int(waited)

    def done(self) -> tuple[int, int, float]:
        """Return the requests that were answered, those answered by 5xx, and their seconds."""
        values = self.values()
        requests = errors = 0
        total = 0.0
        for block in range(0, WAITING, BLOCK):
            count = int(sum(values[block : block + SUM]))
            requests += count
            total += values[block + SUM]
            if block // BLOCK % len(CLASSES) == SERVER_ERROR:
                errors += count
        return requests, errors, total

    def add(self, values: list[int | float]) -> None:
        """Add what another row has counted."""
        for slot, value in enumerate(values):
            self.add_to(slot, value)

    def add_to(self, slot: int, value: float) -> None:
        """Add to a slot."""
        if slot in SUMS:
            self.seconds[slot] += whole(value)
        else:
            self.counts[slot] += int(value)

    def clear(self) -> None:
        """Set all slots to zero."""
        self.counts[:] = memoryview(bytearray(self.counts.nbytes)).cast("Q")
