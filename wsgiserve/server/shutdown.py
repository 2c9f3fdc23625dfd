"""How a server stops: which step is due when.

1. It was asked to stop: it is not ready any more, and says so on the health path; all else is as before.
2. Answers say ``Connection: close``, so that whoever uses a connection leaves it in good order.
3. It takes in whom the system has accepted for it, and listens no more.
4. Idle connections are closed. A client may be sending on one just then, which HTTP/1.1 gives no means to
   exclude; that it was given time to learn of step 2 makes it rare.
5. What waits for a thread is answered 503, and what runs is cut.

It ends as soon as nothing is left to be served.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import monotonic

# An idle connection is kept so long after step 2: a client that uses it often does so within it.
FAREWELL_SECONDS = 0.25
LAST_ANSWER_SECONDS = 5.0  # of the graceful timeout, for what clients ask last of a server that retires


@dataclass(frozen=True)
class Ending:
    """When steps 2 to 5 are due, by the monotonic clock; ``takes_in``: the backlog, in step 3."""

    part_at: float
    deaf_at: float
    let_go_at: float
    cut_at: float
    takes_in: bool = True

    def next_after(self, now: float) -> float:
        """Return when the next step is due; infinity if none is left."""
        steps = (self.part_at, self.deaf_at, self.let_go_at, self.cut_at)
        return min((at for at in steps if at > now), default=math.inf)


def drain(delay: float, grace: float) -> Ending:
    """Stop in good order: accept for ``delay`` seconds, then give what runs ``grace`` seconds.

    Step 2 comes in the middle of the delay: by then a load balancer sends new clients elsewhere, and most of
    the connections that it has are used once more before they are closed.
    """
    part_at = monotonic() + delay / 2
    deaf_at = part_at + delay / 2
    return Ending(part_at, deaf_at, max(deaf_at, part_at + FAREWELL_SECONDS), deaf_at + grace)


def retire(grace: float) -> Ending:
    """Leave to other processes who is not accepted yet, and idle connections to their clients.

    They go on, so there is time: an idle connection is kept for a last request for most of ``grace``.
    """
    now = monotonic()
    return Ending(now, now, now + max(grace - LAST_ANSWER_SECONDS, grace / 2), now + grace, takes_in=False)


def hurry() -> Ending:
    """Stop at once."""
    now = monotonic()
    return Ending(now, now, now, now)
