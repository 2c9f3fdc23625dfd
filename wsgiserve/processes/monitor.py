"""What the supervisor keeps about its workers for those who ask: nothing, unless there is an ops endpoint.

``ops.monitor`` has the other kind. The supervisor tells the one that it has, and never asks which that is.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from wsgiserve.processes.facts import Worker
from wsgiserve.server.scoreboard import Scoreboard
from wsgiserve.server.sockets.listener import Listener


class Monitor:
    """Keeps nothing: nobody can ask."""

    def __init__(self, listeners: list[Listener], scoreboard: Scoreboard) -> None:
        self.listeners = listeners  # of those who ask
        self.scoreboard = scoreboard

    # -- the life of a worker

    def enter(self, worker: Worker) -> None:
        """It is about to start."""

    def open_stacks(self, worker: Worker) -> int:
        """Return the descriptor of a file for its stacks, before it starts; -1 for none."""
        return -1

    def stacks_of(self, worker: Worker) -> int:
        """Return that descriptor once more; -1 for none."""
        return -1

    def adopt(self, worker: Worker, heir: Mapping[str, Any]) -> None:
        """It comes from the program before a re-exec, which described it by ``reexec.heir``."""
        if heir.get("stacks", -1) >= 0:
            os.close(heir["stacks"])

    def hear(self, message: Mapping[str, Any]) -> None:
        """It has written its stacks."""

    def last_lines(self, worker: Worker) -> bytes:
        """It has ended: return lines of the access log for requests that it had not finished."""
        return b""

    def gone(self, worker: Worker) -> None:
        """Nothing is to be asked of it any more."""

    # -- the supervisor

    def count(self, name: str) -> None:
        """Count what the supervisor itself has done."""

    @property
    def next_at(self) -> float:
        """When ``look`` has something to do; infinity for never."""
        return math.inf

    def look(self, now: float) -> None:
        """Do what is due."""

    def finish(self) -> None:
        """Answer those who have asked, before another program takes this one's place."""

    def legacy(self) -> dict[str, Any] | None:
        """Return what that program needs."""
        return None

    def leave(self, but: int = -1) -> None:
        """Let go of all descriptors but one, at the end or in a forked child."""
