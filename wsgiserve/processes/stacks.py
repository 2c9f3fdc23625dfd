"""The stacks of a worker's threads, as the worker itself writes them down.

They go to the descriptor of the memory that all processes share, behind the memory: its file grows there.
``ops.stacks`` has the other side, which asks one worker at a time. There are two ways:

- The thread that reads the channel is told to. It holds the interpreter's lock while it writes, so nothing
  moves. That is the usual way.
- A signal has ``faulthandler`` write in C, wherever the interpreter is, also if a call holds its lock.

The signal is SIGURG, for three reasons: a process ignores it by default, so it harms none that is not ready
for it; few programs use it (Go's runtime does, for the same reason); and macOS has it too. An app
that has a handler of its own for it keeps that.
"""

from __future__ import annotations

import faulthandler
import signal
import time
from typing import Any

from wsgiserve.server.scoreboard import Scoreboard

SIGNAL: int | None = getattr(signal, "SIGURG", None)
CAN_SIGNAL = SIGNAL is not None and hasattr(faulthandler, "register")


def heed_signal(scoreboard: Scoreboard) -> None:
    """Write the stacks on a signal, from now on; where nobody can ask for them, do nothing."""
    if CAN_SIGNAL and scoreboard.descriptor >= 0:
        assert SIGNAL is not None
        faulthandler.register(SIGNAL, file=scoreboard.descriptor, all_threads=True)


def write(scoreboard: Scoreboard, message: dict[str, Any]) -> bool:
    """Write the stacks on an order; False if it comes too late, as another worker may be writing."""
    if time.monotonic() >= message["until"] or scoreboard.descriptor < 0:
        return False
    faulthandler.dump_traceback(file=scoreboard.descriptor, all_threads=True)
    return True
