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

from time import monotonic
from typing import NamedTuple

# An idle connection is kept so long after step 2: a client that uses it often does so within it.
FAREWELL_SECONDS = 0.25


class Ending(NamedTuple):
    """When steps 2 to 5 are due, by the monotonic clock."""

    part_at: float
    deaf_at: float
    let_go_at: float
    cut_at: float


def drain(delay: float, grace: float) -> Ending:
    """Stop in good order: accept for ``delay`` seconds, then give what runs ``grace`` seconds.

    Step 2 comes in the middle of the delay: by then a load balancer sends new clients elsewhere, and most of
    the connections that it has are used once more before they are closed.
    """
    part_at = monotonic() + delay / 2
    deaf_at = part_at + delay / 2
    return Ending(part_at, deaf_at, max(deaf_at, part_at + FAREWELL_SECONDS), deaf_at + grace)


def hurry() -> Ending:
    """Stop at once."""
    now = monotonic()
    return Ending(now, now, now, now)
