"""The stacks of a worker's threads, as the worker itself writes them down.

They go to a file in memory that the supervisor has made for this worker alone; so a worker that is late never
writes into another one's answer. What is written is appended, and the supervisor empties the file before it
asks (``ops.stacks``). There are three ways:

- The thread that reads the channel is told to. It holds the interpreter's lock while it writes, so nothing
  moves. That is the usual way.
- A worker that starts has no such thread. SIGWINCH has its main thread write, with the lock too, as soon as
  it runs Python code.
- SIGURG has ``faulthandler`` write in C, wherever the interpreter is, also if a call holds its lock. If the
  thread runs Python code just then, a frame may be half made, which crashed one in 200 with Python 3.13.0.

A process ignores both signals by default, so they harm none that is not ready for them. Few programs use
SIGURG (Go's runtime does, for the same reason); SIGWINCH tells programs in a terminal of its new size, so
workers ignore it once they have started. An app that has handlers of its own for them keeps these.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from functools import partial
from typing import Any

from wsgiserve.server.memory import memory_file

if sys.platform != "win32":
    import fcntl

SIGNAL: int | None = getattr(signal, "SIGURG", None)
STARTERS_SIGNAL: int | None = getattr(signal, "SIGWINCH", None)
CAN_SIGNAL = SIGNAL is not None and hasattr(faulthandler, "register")
END = b"\0"  # behind what a worker has written that starts


def open_file() -> int:
    """Return the descriptor of an empty file without a name, to which all writes append."""
    descriptor = memory_file()
    if sys.platform != "win32":
        fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    return descriptor


def heed_signals(descriptor: int) -> None:
    """Write the stacks on a signal, from now on; where nobody can ask for them, at -1, do nothing."""
    if CAN_SIGNAL and descriptor >= 0:
        assert SIGNAL is not None
        assert STARTERS_SIGNAL is not None
        faulthandler.register(SIGNAL, file=descriptor, all_threads=True)
        signal.signal(STARTERS_SIGNAL, partial(_write_on_signal, descriptor))


def started() -> None:
    """Heed no more the signal of a worker that starts; called on the main thread."""
    if STARTERS_SIGNAL is None:
        return
    if getattr(signal.getsignal(STARTERS_SIGNAL), "func", None) is _write_on_signal:  # Not the app's own.
        signal.signal(STARTERS_SIGNAL, signal.SIG_DFL)


def _write_on_signal(descriptor: int, number: int, frame: object) -> None:
    faulthandler.dump_traceback(file=descriptor, all_threads=True)
    os.write(descriptor, END)


def write(descriptor: int, message: dict[str, Any]) -> bool:
    """Write the stacks on an order; False if it comes too late, as nobody waits any more."""
    if time.monotonic() >= message["until"] or descriptor < 0:
        return False
    faulthandler.dump_traceback(file=descriptor, all_threads=True)
    return True
