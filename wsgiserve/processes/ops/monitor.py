"""What the supervisor keeps for its ops endpoint: counts, files for stacks, and the endpoint itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from wsgiserve.processes.children import Children, attempt
from wsgiserve.processes.facts import Worker
from wsgiserve.processes.fleet import Fleet
from wsgiserve.processes.monitor import Monitor
from wsgiserve.processes.ops.endpoint import Endpoint
from wsgiserve.processes.ops.pages import Pages
from wsgiserve.processes.ops.stacks import Send, Stacks
from wsgiserve.processes.ops.totals import Totals
from wsgiserve.server.sockets.listener import Listener


class OpsMonitor(Monitor):
    """Answers on the ``listeners`` of ``--ops-bind`` about the workers, which serve on ``served``.

    ``send`` sends a worker an order; ``counts`` is what ``legacy`` of the program before a re-exec returned.
    """

    def __init__(
        self,
        listeners: list[Listener],
        children: Children,
        fleet: Fleet,
        served: list[Listener],
        send: Send,
        counts: dict[str, Any] | None = None,
    ) -> None:
        self._totals = totals = Totals(counts)
        super().__init__(listeners, totals.scoreboard)
        self._stacks = Stacks(send)
        self._endpoint = Endpoint(children, listeners, Pages(fleet, totals, served, self._stacks).by_path)

    # -- the life of a worker

    def enter(self, worker: Worker) -> None:
        """Give it a row to count in."""
        self._totals.enter(worker)

    def open_stacks(self, worker: Worker) -> int:
        """Return the descriptor of a file for its stacks, before it starts; OSError if there is none."""
        return self._stacks.open(worker)

    def stacks_of(self, worker: Worker) -> int:
        """Return that descriptor once more; -1 for none."""
        return self._stacks.descriptor(worker)

    def adopt(self, worker: Worker, heir: Mapping[str, Any]) -> None:
        """Take over its row, and the file for its stacks."""
        self._totals.adopt(worker, heir.get("row", 0))
        if heir.get("stacks", -1) >= 0:
            self._stacks.adopt(worker, heir["stacks"])

    def hear(self, message: Mapping[str, Any]) -> None:
        """Answer who asked for its stacks."""
        self._stacks.hear(message["serial"])

    def last_lines(self, worker: Worker) -> bytes:
        """Count the requests that it had not finished; return their lines for the access log."""
        return self._totals.last_lines(worker)

    def gone(self, worker: Worker) -> None:
        """Keep what it has counted."""
        self._totals.leave(worker)
        self._stacks.gone(worker)

    # -- the supervisor

    def count(self, name: str) -> None:
        """Count what the supervisor itself has done."""
        self._totals.count(name)

    @property
    def next_at(self) -> float:
        """When ``look`` has something to do; infinity for never."""
        return min(self._endpoint.next_at, self._stacks.next_at)

    def look(self, now: float) -> None:
        """Close idle connections; ask a worker again that has not answered."""
        attempt(partial(self._endpoint.look, now))
        attempt(partial(self._stacks.look, now))

    def finish(self) -> None:
        """Answer those who have asked, before another program takes this one's place."""
        self._endpoint.finish()

    def legacy(self) -> dict[str, Any]:
        """Return what that program needs to go on counting."""
        return self._totals.legacy()

    def leave(self, but: int = -1) -> None:
        """Let go of all descriptors but one, at the end or in a forked child."""
        self._endpoint.leave()
        self._stacks.leave(but)
