"""The stacks of a worker's threads, as the worker itself writes them down.

They go to a file in memory that the supervisor has made for this worker alone; so a worker that is late never
writes into another one's answer. What is written is appended, and the supervisor empties the file before it
asks (``ops.stacks``). There are two ways:

- The thread that reads the channel is told to. It holds the interpreter's lock while it writes, so nothing
  moves. That is the usual way.
- A signal has ``faulthandler`` write in C, wherever the interpreter is, also if a call holds its lock.

The signal is SIGURG, for three reasons: a process ignores it by default, so it harms none that is not ready
for it; few programs use it (Go's runtime does, for the same reason); and macOS has it too. An app
that has a handler of its own for it keeps that.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from typing import Any

from wsgiserve.server.memory import memory_file

if sys.platform != "win32":
    import fcntl

SIGNAL: int | None = getattr(signal, "SIGURG", None)
CAN_SIGNAL = SIGNAL is not None and hasattr(faulthandler, "register")


def open_file() -> int:
    """Return the descriptor of an empty file without a name, to which all writes append."""
    descriptor = memory_file()
    if sys.platform != "win32":
        fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    return descriptor


def heed_signal(descriptor: int) -> None:
    """Write the stacks on a signal, from now on; where nobody can ask for them, at -1, do nothing."""
    if CAN_SIGNAL and descriptor >= 0:
        assert SIGNAL is not None
        faulthandler.register(SIGNAL, file=descriptor, all_threads=True)


def write(descriptor: int, message: dict[str, Any]) -> bool:
    """Write the stacks on an order; False if it comes too late, as nobody waits any more."""
    if time.monotonic() >= message["until"] or descriptor < 0:
        return False
    faulthandler.dump_traceback(file=descriptor, all_threads=True)
    return True
