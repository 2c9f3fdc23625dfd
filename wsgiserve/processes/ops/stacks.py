"""Stacks on demand: workers are asked one after the other, and what they write is read.

A worker is asked twice: by an order, which it follows as soon as its interpreter lets it, and if it does not
within ``PATIENCE``, by a signal, which it follows at once (``processes.stacks``). Upon a signal nobody says
that all is written; it is when it grows no more. A worker that starts gets the signal at once: the system
kills it if anything is sent to it (``parent_death``).

Without anybody who asks nothing here is due.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from wsgiserve.processes.facts import Worker
from wsgiserve.processes.stacks import CAN_SIGNAL, SIGNAL
from wsgiserve.server.scoreboard import Scoreboard

PATIENCE = 1.0  # seconds, for a worker that may only be busy
LAST_PATIENCE = 1.0  # seconds, after the signal
LOOK_SECONDS = 0.05
MOST = 8 << 20  # bytes that are read
_THREAD = re.compile(r"^(?:Thread|Current thread) 0x([0-9a-f]+)", re.MULTILINE)

Send = Callable[[Worker, dict[str, Any]], object]
Give = Callable[[str], object]


class _Question(NamedTuple):
    worker: Worker
    give: Give


class Stacks:
    """The questions for stacks; ``send`` sends a worker an order. ``give`` gets a text, "" without answer."""

    def __init__(self, scoreboard: Scoreboard, send: Send) -> None:
        self._scoreboard = scoreboard
        self._send = send
        self._questions: deque[_Question] = deque()  # the first one is asked
        self._serial = 0
        self._signal_at = math.inf
        self._ends_at = math.inf
        self._size = 0  # of the file, at the last look after the signal
        self.next_at = math.inf

    def ask(self, worker: Worker, give: Give) -> None:
        """Ask a worker for the stacks of its threads."""
        self._questions.append(_Question(worker, give))
        if len(self._questions) == 1:
            self._begin()

    def _begin(self) -> None:
        now = time.monotonic()
        end = self._scoreboard.end
        os.truncate(self._scoreboard.descriptor, end)
        os.lseek(self._scoreboard.descriptor, end, os.SEEK_SET)
        self._serial += 1
        worker = self._questions[0].worker
        self._ends_at = math.inf
        self.next_at = self._signal_at = now + (0 if worker.state == "starting" else PATIENCE)
        if worker.state != "starting":
            self._send(worker, {"order": "stacks", "serial": self._serial, "until": self._signal_at})

    def hear(self, serial: int) -> None:
        """A worker has written its stacks."""
        if self._questions and serial == self._serial:
            self._finish()

    def gone(self, worker: Worker) -> None:
        """A worker has ended."""
        if self._questions and self._questions[0].worker is worker:
            self._finish()

    def look(self, now: float) -> None:
        """Send the signal if it is time, or look whether it was followed."""
        if not self._questions or now < self.next_at:
            return
        if now >= self._signal_at:
            self._signal_at = math.inf
            self._ends_at = now + LAST_PATIENCE
            self._size = 0
            if not self._signal(self._questions[0].worker):
                self._finish()
                return
        elif now >= self._ends_at:
            self._finish()
            return
        else:
            size = self._written()
            if size and size == self._size:
                self._finish()
                return
            self._size = size
        self.next_at = now + LOOK_SECONDS

    def _signal(self, worker: Worker) -> bool:
        if not CAN_SIGNAL or not worker.pid:
            return False
        assert SIGNAL is not None
        try:
            os.kill(worker.pid, SIGNAL)
        except ProcessLookupError:
            return False  # It has ended, and will be reaped.
        return True

    def _written(self) -> int:
        return os.fstat(self._scoreboard.descriptor).st_size - self._scoreboard.end

    def _finish(self) -> None:
        descriptor, end = self._scoreboard.descriptor, self._scoreboard.end
        text = os.pread(descriptor, min(self._written(), MOST), end).decode("utf-8", "replace")
        os.truncate(descriptor, end)
        question = self._questions.popleft()
        self.next_at = math.inf
        try:
            question.give(text)
        finally:
            if self._questions:
                self._begin()


def by_thread(text: str) -> dict[int, str]:
    """Return the stack of each thread in a text that ``faulthandler`` has written."""
    _, *parts = _THREAD.split(text)  # the number of a thread, then what follows it, and so on
    return {
        int(number, 16): stack.partition("\n")[2].rstrip("\n")
        for number, stack in zip(parts[::2], parts[1::2], strict=True)
    }
