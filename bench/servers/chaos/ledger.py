"""What became of each request, and which disturbance explains it.

A request may be cut only if the process that had it, or may have had it, was killed or got too little memory.
It may be answered with an error only if the server lacked something meanwhile, or could not run. Everything
else is a fault.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from typing import Literal, get_args

GRACE = 15.0  # after a shortage or a pause, for what it held up

Outcome = Literal[
    "answered whole",
    "answered with an error",
    "cut by a kill",
    "refused",
    "lost",
    "wrong",
]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


class Ledger:
    """Safe from any thread. Disturbances are entered before they happen."""

    def __init__(self) -> None:
        self.requests: Counter[Outcome] = Counter()
        self.disturbances: Counter[str] = Counter()
        self.faults: list[str] = []
        self.ending = False  # the server is told to stop: a refusal is what it should answer
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._fatal: set[int] = set()  # processes whose requests may be cut
        self._fatal_until = -math.inf
        self._short_until = -math.inf

    def disturb(self, kind: str) -> None:
        """Count a disturbance."""
        with self._lock:
            self.disturbances[kind] += 1

    def doom(self, pid: int, seconds: float = 0.0) -> None:
        """A process is about to be killed, or to get too little memory for so long."""
        with self._lock:
            self._fatal.add(pid)
            self._fatal_until = max(self._fatal_until, time.monotonic() + seconds)

    def starve(self, seconds: float) -> None:
        """The server will lack something, or not run, for so long."""
        with self._lock:
            self._short_until = max(self._short_until, time.monotonic() + seconds + GRACE)

    def fault(self, text: str) -> None:
        """Note what is wrong."""
        with self._lock:
            self.faults.append(f"{time.monotonic() - self._began:.2f} s: {text}")

    def answered(self) -> None:
        """A request was answered with all bytes that were asked for."""
        with self._lock:
            self.requests["answered whole"] += 1

    def error(self, began: float, what: str) -> None:
        """A request was answered with a whole response that says that it failed."""
        if began <= self._short_until:
            self._count("answered with an error")
        else:
            self._count("wrong", f"{what}, though nothing was short")

    def ended(self, pid: int, began: float, what: str) -> None:
        """A request has no whole answer: its connection ended. `pid` answered on it before, or is 0."""
        if pid in self._fatal or (not pid and began <= self._fatal_until):
            self._count("cut by a kill")
        else:
            self._count("lost", f"{what}; its process {pid or 'is unknown'}")

    def refused(self, what: str) -> bool:
        """A connection was refused; return whether that is right."""
        if not self.ending:
            self._count("refused", what)
        return self.ending

    def wrong(self, what: str) -> None:
        """A request was answered with something else."""
        self._count("wrong", what)

    def lost(self, what: str) -> None:
        """A request was not answered in time."""
        self._count("lost", what)

    def _count(self, outcome: Outcome, what: str = "") -> None:
        with self._lock:
            self.requests[outcome] += 1
        if what:
            self.fault(f"{outcome}: {what}")
