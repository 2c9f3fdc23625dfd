"""When to ask the CA: facts and times in, times out. No file, clock or network is in here.

Times are seconds of the wall clock (``time.time``), because they outlive the process; lengths are seconds.

Rules
- A certificate is renewed when the CA says so (ARI, RFC 9773), else at two thirds of its lifetime. Chance
  takes a little off, so that certificates that were issued together are not renewed together.
- Each failure in a row makes the pause before the next try longer. A try that the CA refused counts there,
  even across restarts: Let's Encrypt allows five an hour for a name. One that did not reach the CA costs
  nobody anything, and may be repeated sooner.
- A start of the server asks at once, since somebody may have corrected what failed; but never sooner than a
  first pause after the last failure, and never before the time that the CA gave. So a server that is started
  again and again does no harm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

SHARE = 2 / 3  # of the lifetime, after which a certificate is renewed
LEAST_SHARE = 0.01  # at which the CA may have it renewed
SPREAD = 0.03  # of the lifetime, which chance may take off
FIRST_PAUSE = 60.0  # after a try that the CA refused
FIRST_PAUSE_UNREACHED = 5.0
LONGEST_PAUSE = 6 * 3600.0


@dataclass
class State:
    """What the helper keeps in the storage about one set of domains."""

    renew_at: float = 0.0  # the certificate in force
    ask_at: float = 0.0  # for the CA's word on it; 0 for never
    challenge: str = ""  # the one that the CA accepted last
    # failures in a row
    failures: int = 0
    failed_at: float = 0.0
    try_at: float = 0.0
    wait_until: float = 0.0  # the CA said so

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> State:
        """Read what ``content`` returned once; a value of another type counts as absent."""
        state = cls()
        for field in fields(cls):
            value, default = content.get(field.name), getattr(state, field.name)
            if isinstance(value, type(default)) or (isinstance(default, float) and isinstance(value, int)):
                setattr(state, field.name, value)
        return state

    def content(self) -> dict[str, Any]:
        """Return the state as JSON has it."""
        return asdict(self)

    def failed(self, now: float, *, reached: bool, wait: float, luck: float) -> float:
        """Count a failure; return the pause. ``wait`` is the CA's, ``luck`` between 0 and 1."""
        first, growth = (FIRST_PAUSE, 4.0) if reached else (FIRST_PAUSE_UNREACHED, 2.0)
        pause = min(first * growth ** min(self.failures, 30), LONGEST_PAUSE) * (1 + luck / 10)
        self.failures, self.failed_at = self.failures + 1, now
        self.wait_until = now + wait
        self.try_at = max(now + pause, self.wait_until)
        return self.try_at - now

    def kinds(self, possible: Sequence[str], *, fresh: bool) -> list[str]:
        """Return the challenges to try: the one that worked last is first; after failures one in turn.

        ``fresh`` if somebody may have corrected what failed: then all are tried again.
        """
        best_first = sorted(possible, key=lambda kind: kind != self.challenge)
        if fresh or not self.failures:
            return best_first
        return [best_first[self.failures % len(best_first)]]

    def succeeded(self, challenge: str, renew_at: float, ask_at: float) -> None:
        """A certificate is in force; forget the failures."""
        self.failures, self.failed_at, self.try_at, self.wait_until = 0, 0.0, 0.0, 0.0
        self.challenge = challenge or self.challenge
        self.renew_at, self.ask_at = renew_at, ask_at

    def started(self) -> None:
        """The server was started, or told to look again."""
        if self.failures:
            self.try_at = max(self.wait_until, min(self.try_at, self.failed_at + FIRST_PAUSE))

    def next_at(self) -> float:
        """Return when there is something to do; inf for never."""
        asking = self.ask_at if 0 < self.ask_at < self.renew_at else math.inf
        return max(min(self.renew_at, asking), self.try_at)


def wished(at: float, begins: float, ends: float, now: float) -> float:
    """Return when to renew a certificate that the CA wants to be renewed at ``at``, perhaps in the past.

    Not at the beginning of its lifetime, or a CA that always says "now" would be asked without end.
    """
    return min(max(at, now, begins + (ends - begins) * LEAST_SHARE), ends)


def renewal_at(begins: float, ends: float, luck: float) -> float:
    """Return when to renew a certificate that is valid from ``begins`` to ``ends``."""
    return begins + (ends - begins) * (SHARE - SPREAD * luck)
