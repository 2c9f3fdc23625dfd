"""How a server stops: its phases, and when each begins.

========= ========================================================================================
phase     from then on
========= ========================================================================================
serving   nobody has asked the server to stop
draining  the health path says that the server is not ready; all else is as before
parting   answers say ``Connection: close``, so that clients leave a connection in good order
deaf      no connection begins any more; those that have begun are accepted, unless others do that
emptying  the server listens no more, and idle connections are closed. A client may just be sending a
          request on one, which HTTP/1.1 cannot exclude; the time since parting makes that rare
cutting   requests that wait for a thread are answered 503, and running ones are cut
========= ========================================================================================

From deaf on, the server ends as soon as no connection is left and none can come. Phases only move forward,
also if another plan is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

from wsgiserve.server.system import monotonic

Phase = Literal["serving", "draining", "parting", "deaf", "emptying", "cutting"]
PHASES: tuple[Phase, ...] = ("serving", "draining", "parting", "deaf", "emptying", "cutting")

# From "deaf" to "emptying": for the last packet of a handshake, and for the next request of a client that
# uses its connection often.
FAREWELL_SECONDS = 0.25
LAST_ANSWER_SECONDS = 5.0  # of the graceful timeout, for the last answers of a worker that is replaced
STOP_SECONDS = 1.0  # for a request head that has begun to arrive when idle connections are closed


class Plan(NamedTuple):
    """When the phases begin, by the monotonic clock.

    ``takes_in``: accept what has begun before "deaf". ``deafens``: let no connection begin from then on, in
    any process that has the listeners.
    """

    parting: float
    deaf: float
    emptying: float
    cutting: float
    takes_in: bool = True
    deafens: bool = False

    def begins(self, phase: Phase) -> float:
        """Return when a phase begins, never later than "cutting"."""
        return 0.0 if phase in ("serving", "draining") else min(float(getattr(self, phase)), self.cutting)


def drain(delay: float, grace: float, *, deafens: bool = False) -> Plan:
    """Stop in good order: accept for ``delay`` seconds, then give running requests ``grace`` seconds.

    "parting" begins in the middle of the delay: by then a load balancer sends new clients elsewhere, and most
    of its connections are used once more before they are closed.
    """
    parting = monotonic() + delay / 2
    deaf = parting + delay / 2
    return Plan(parting, deaf, deaf + FAREWELL_SECONDS, deaf + grace, deafens=deafens)


def retire(grace: float) -> Plan:
    """Stop accepting; keep idle connections open for one last request.

    Other workers serve, so there is time: an idle connection is kept for most of ``grace``.
    """
    now = monotonic()
    return Plan(now, now, now + max(grace - LAST_ANSWER_SECONDS, grace / 2), now + grace, takes_in=False)


def hurry(*, deafens: bool = False) -> Plan:
    """Stop at once."""
    now = monotonic()
    return Plan(now, now, now, now, deafens=deafens)


class Shutdown:
    """The shutdown of one server. Any thread or signal handler may ``ask`` for it; the leader advances."""

    def __init__(self) -> None:
        self.phase: Phase = "serving"
        self.plan: Plan | None = None  # None until somebody asked
        self.head_deadline = math.inf  # for heads that have begun to arrive, from "emptying" on
        self._advanced = 0  # index of the phase whose work is done

    def ask(self, plan: Plan) -> None:
        """Stop by this plan."""
        self.plan = plan
        if self.phase == "serving":
            self.phase = "draining"

    @property
    def ready(self) -> bool:
        """Whether the health path invites new clients, to this process or to one that takes its place."""
        return self.plan is None or not self.plan.takes_in

    def reached(self, phase: Phase) -> bool:
        """Whether a phase has begun."""
        return PHASES.index(self.phase) >= PHASES.index(phase)

    def advance(self, now: float) -> Iterator[Phase]:
        """Enter the phases that are due, and yield each once, in order; for the leader."""
        assert self.plan is not None
        while self._advanced + 1 < len(PHASES) and self.plan.begins(PHASES[self._advanced + 1]) <= now:
            self._advanced += 1
            self.phase = PHASES[self._advanced]
            if self.phase == "emptying":
                self.head_deadline = now + STOP_SECONDS
            yield self.phase

    def next_at(self) -> float:
        """Return when the next phase begins; infinity if none is left, or nobody asked."""
        if self.plan is None or self._advanced + 1 == len(PHASES):
            return math.inf
        return self.plan.begins(PHASES[self._advanced + 1])
