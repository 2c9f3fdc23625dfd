"""Stacks on demand: workers are asked one after the other, and what they write is read.

Each worker writes to a file of its own, which is made before it starts, and handed on to a program that takes
this one's place.

A worker is asked twice: by an order, which it follows as soon as its interpreter lets it, and if it does not
within ``PATIENCE``, by SIGURG, which it follows at once (``processes.stacks``). A worker that starts gets
SIGWINCH in place of the order: the system kills it if anything is sent to it (``parent_death``). What it
writes upon that has a mark at its end. Upon SIGURG nobody says that all is written; it is when it grows no
more.

The handler of SIGURG reads frames without the interpreter's lock. If threads change them meanwhile the worker
crashes, and one whose many threads compute may not get round to the order in time. So first a look at the
threads' processor time: where more than one of them runs the lock is passed on, and no signal is sent. If one
runs, it has the lock: it gets the signal itself, and cannot go on before all is written. A signal to the
process would go to another thread; then one in fifty dumps of a thread that computes crashed.

Without anybody who asks nothing here is due.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from wsgiserve.processes.facts import Worker
from wsgiserve.processes.stacks import CAN_SIGNAL, END, SIGNAL, STARTERS_SIGNAL, open_file

PATIENCE = 1.0  # seconds, for a worker that may only be busy
LAST_PATIENCE = 1.0  # seconds, after the signal
LOOK_SECONDS = 0.05
WATCH_SECONDS = 0.4  # before the signal, in which threads are looked at
WATCH_EACH = 0.02
# A thread that gets the lock keeps it for 5 ms; who waits for it wakes every 5 ms, for microseconds.
RUNS = 0.0015  # seconds of processor time between two looks, and a share of the time between them
RUNS_SHARE = 0.02
MOST = 8 << 20  # bytes that are read
_THREAD = re.compile(r"^(?:Thread|Current thread) 0x([0-9a-f]+)", re.MULTILINE)
_HANDLER = re.compile(r"^  File .* in _write_on_signal\n", re.MULTILINE)

Send = Callable[[Worker, dict[str, Any]], object]
Give = Callable[[str], object]


class _Question(NamedTuple):
    worker: Worker
    give: Give


class Stacks:
    """The questions for stacks; ``send`` sends a worker an order. ``give`` gets a text, "" without answer."""

    def __init__(self, send: Send) -> None:
        self._files: dict[Worker, int] = {}  # descriptors
        self._send = send
        self._questions: deque[_Question] = deque()  # the first one is asked
        self._serial = 0
        self._watch_at = math.inf
        self._signal_at = math.inf
        self._ends_at = math.inf
        self._size = 0  # of the file, at the last look after the signal
        self._watch: _Watch | None = None  # before the signal
        self.next_at = math.inf

    def open(self, worker: Worker) -> int:
        """Return the descriptor of the file of a worker, which may be about to start."""
        if worker not in self._files:
            self._files[worker] = open_file()
        return self._files[worker]

    def descriptor(self, worker: Worker) -> int:
        """Return the descriptor of the file of a worker that runs; -1 for none."""
        return self._files.get(worker, -1)

    def adopt(self, worker: Worker, descriptor: int) -> None:
        """Take over the file of a worker of the program before."""
        self._files[worker] = descriptor

    def leave(self, but: int = -1) -> None:
        """Close all files but one, at the end or in a forked child."""
        for descriptor in self._files.values():
            if descriptor != but:
                os.close(descriptor)
        self._files.clear()

    def ask(self, worker: Worker, give: Give) -> None:
        """Ask a worker for the stacks of its threads."""
        self._questions.append(_Question(worker, give))
        if len(self._questions) == 1:
            self._begin()

    def _begin(self) -> None:
        now = time.monotonic()
        self._serial += 1
        worker = self._questions[0].worker
        if worker not in self._files:
            self._finish()
            return
        os.truncate(self._files[worker], 0)
        self._ends_at = math.inf
        self._watch = None
        self.next_at = self._watch_at = now + PATIENCE
        if worker.state != "starting":
            self._send(worker, {"order": "stacks", "serial": self._serial, "until": self._watch_at})
        elif CAN_SIGNAL and worker.pid:
            self.next_at = now + LOOK_SECONDS
            with suppress(ProcessLookupError):
                os.kill(worker.pid, STARTERS_SIGNAL or 0)

    def hear(self, serial: int) -> None:
        """A worker has written its stacks."""
        if self._questions and serial == self._serial:
            self._finish()

    def gone(self, worker: Worker) -> None:
        """A worker has ended."""
        try:
            if self._questions and self._questions[0].worker is worker:
                self._finish()
        finally:
            descriptor = self._files.pop(worker, None)
            if descriptor is not None:
                os.close(descriptor)

    def look(self, now: float) -> None:
        """Send the signal if it is time, or look whether it was followed."""
        if not self._questions or now < self.next_at:
            return
        if self._has_mark():
            self._finish()
            return
        if now < self._watch_at:
            self.next_at = min(now + LOOK_SECONDS, self._watch_at)
            return
        if self._watch is None:
            self._watch = _Watch(self._questions[0].worker.pid)
            self._signal_at = now + WATCH_SECONDS
        elif self._signal_at < math.inf:
            self._watch.look()
        if now < self._signal_at < math.inf:
            self.next_at = now + WATCH_EACH
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
        if not CAN_SIGNAL or not worker.pid or self._watch is None or self._watch.moves:
            return False
        try:
            _signal_thread(worker.pid, self._watch.running)
        except ProcessLookupError:
            return False  # It has ended, and will be reaped.
        return True

    def _written(self) -> int:
        return os.fstat(self._files[self._questions[0].worker]).st_size

    def _has_mark(self) -> bool:
        """Whether a worker that starts has written all."""
        descriptor, size = self._files[self._questions[0].worker], self._written()
        return size > 0 and os.pread(descriptor, 1, size - 1) == END

    def _finish(self) -> None:
        question = self._questions.popleft()
        self.next_at = math.inf
        try:
            question.give(self._read(self.descriptor(question.worker)))
        finally:
            if self._questions:
                self._begin()

    def _read(self, descriptor: int) -> str:
        """Return what a worker has written, "" without memory for it, and free the memory of the file."""
        if descriptor < 0:
            return ""
        try:
            size = min(MOST, os.fstat(descriptor).st_size)  # Python makes room for all that is asked for.
            return os.pread(descriptor, size, 0).decode("utf-8", "replace")
        except (OSError, MemoryError):
            return ""
        finally:
            os.truncate(descriptor, 0)


class _Watch:
    """Which threads of a process run."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen: set[str] = set()
        self._at = time.monotonic()
        self._times = _times(pid)

    def look(self) -> None:
        """Note who has run since the last look."""
        now, times = time.monotonic(), _times(self._pid)
        least = RUNS + RUNS_SHARE * (now - self._at)
        self._seen |= {name for name in times if times[name] - self._times.get(name, 0.0) > least}
        self._at, self._times = now, times

    @property
    def running(self) -> int:
        """The thread that runs; 0 for none."""
        return int(next(iter(self._seen), 0))

    @property
    def moves(self) -> bool:
        """Whether threads seem to run in turn, or nobody can tell."""
        return len(self._seen) > 1 or not self._times


def _signal_thread(pid: int, thread: int) -> None:
    """Send the signal to a thread; to the process if that is 0, or where the C library lacks the call."""
    assert SIGNAL is not None
    try:
        import ctypes

        tgkill = ctypes.CDLL(None).tgkill
    except (ImportError, OSError, AttributeError):
        thread = 0
    if not thread:
        os.kill(pid, SIGNAL)
    elif tgkill(pid, thread, int(SIGNAL)):
        raise ProcessLookupError


def _times(pid: int) -> dict[str, float]:
    """Return the processor time of each thread in seconds; {} where the system does not tell."""
    times = {}
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                times[thread] = int(file.read().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return {}
    return times


def by_thread(text: str) -> dict[int, str]:
    """Return the stack of each thread in a text that ``faulthandler`` has written."""
    text = _HANDLER.sub("", text.rstrip(END.decode()))
    _, *parts = _THREAD.split(text)  # the number of a thread, then what follows it, and so on
    return {
        int(number, 16): stack.partition("\n")[2].rstrip("\n")
        for number, stack in zip(parts[::2], parts[1::2], strict=True)
    }
