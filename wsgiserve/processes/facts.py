"""The facts that the supervisor keeps about one worker process, and the terms that it runs on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

from wsgiserve.config import Config

State = Literal["starting", "ready", "called", "serving", "retiring"]


class Terms(NamedTuple):
    """What a generation of workers runs on; a reload may bring others."""

    size: int  # workers
    grace: float  # seconds that a worker gives to its requests at the end
    lifetime: Callable[[], float]  # of the next worker, in seconds
    config: Config


class Worker:
    """One worker process as the supervisor knows it; times are those of the monotonic clock."""

    def __init__(
        self,
        number: int,
        generation: int,
        terms: Terms,
        state: State = "starting",
        since: float = 0.0,
        pid: int = 0,
        *,
        began: float = 0.0,
        served: bool = False,
        cut: int | None = None,
    ) -> None:
        self.number = number
        self.generation = generation
        self.terms = terms
        self.state = state
        self.since = since  # in this state
        self.began = began or since  # its process
        self.pid = pid
        self.row = 0  # of its tally; 0 for none
        self.called = served  # it was told to serve, so it may have connections
        self.served = served  # it is or was in the state serving
        self.worn = ""  # the first limit that it passed
        self.worn_at = math.inf  # the end of its lifetime
        self.turned_at = 0.0  # the last time that its loop told of itself
        self.quiet_at = 0.0  # retiring: from then on the next worker may retire
        self.kill_at = math.inf
        self.unfit = False  # it could not start
        self.overdue = False  # it did not end in time, and is killed
        self.cut = cut  # requests at its end; None: it has not told yet

    def born(self, pid: int) -> None:
        """Its process exists."""
        self.pid = pid

    def count_in(self, row: int) -> None:
        """It has a row for what it counts."""
        self.row = row

    def become(self, state: State, now: float) -> None:
        """Change its state."""
        self.state, self.since = state, now
        self.called = self.called or state == "called"

    def ready(self, now: float) -> None:
        """It imported the app, ran the hooks and answered the probe."""
        if self.state == "starting":
            self.become("ready", now)

    def serve(self, now: float) -> None:
        """It accepts connections; it is worn at the end of its lifetime."""
        self.become("serving", now)
        self.served, self.worn_at = True, now + self.terms.lifetime()

    def turned(self, now: float) -> None:
        """Its event loop runs."""
        self.turned_at = now

    def wear(self, limit: str) -> None:
        """It passed a limit, such as "max-requests"."""
        self.worn = self.worn or limit

    def ended(self, cut: int) -> None:
        """It serves no more; so many requests were cut."""
        self.cut = cut

    def end(self, now: float, seconds: float, quiet_at: float = 0.0) -> None:
        """It is told to end within so many seconds."""
        self.become("retiring", now)
        self.kill_at, self.quiet_at = now + seconds, quiet_at

    def fail(self) -> None:
        """It could not start."""
        self.unfit = True

    def overrun(self) -> None:
        """It did not end in time."""
        self.overdue = True

    @property
    def cause(self) -> str:
        """Why it has ended, once it has: the state of before tells; see ``ENDS`` of ``tally``."""
        if self.overdue:
            return "killed"
        if self.state != "retiring":
            return "crashed" if self.served else "failed"
        return "failed" if self.unfit else self.worn or "retired"

    def acknowledge(self) -> None:
        """It stopped accepting connections."""
        self.quiet_at = 0.0
