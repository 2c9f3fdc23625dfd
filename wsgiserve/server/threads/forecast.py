"""Which requests were slow lately, so that the leader hands the next one of the kind to a follower.

A kind is a method and the first two segments of a path. A slow call gives it credit, a fast one takes credit
away. Bounded: the kind learnt longest ago makes room.
"""

from __future__ import annotations

from wsgiserve.server.system import Lock
from wsgiserve.server.threads.calls import Request

CREDIT = 8  # so many fast calls in a row make a slow kind fast again
SIZE = 256


class Forecast:
    """Learns from the calls of one server."""

    def __init__(self) -> None:
        self.credits: dict[str, int] = {}  # looked at without the lock: a stale answer costs little
        self._lock = Lock()

    def expects_slow(self, request: Request) -> bool:
        """Tell whether a call for this request is likely to be slow."""
        return _kind(request) in self.credits

    def learn(self, request: Request, *, slow: bool) -> None:
        """Remember how a call went that did not run on the leader's thread to its end."""
        kind = _kind(request)
        with self._lock:
            credit = self.credits.pop(kind, 0) - 1
            if slow:
                credit = CREDIT
            if credit > 0:
                if len(self.credits) >= SIZE:
                    del self.credits[next(iter(self.credits))]
                self.credits[kind] = credit


def _kind(request: Request) -> str:
    return request.method + "/".join(request.path.split("/", 3)[:3])
