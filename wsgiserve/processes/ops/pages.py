"""The pages of the ops endpoint, by path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from wsgiserve.processes.ops.endpoint import Answer, Page
from wsgiserve.processes.ops.exposition import OPENMETRICS, TEXT, render, wants_openmetrics
from wsgiserve.processes.ops.looking import looking_glass
from wsgiserve.processes.ops.metrics import families
from wsgiserve.protocol.request import RequestHead

if TYPE_CHECKING:
    from wsgiserve.processes.fleet import Fleet
    from wsgiserve.processes.ops.stacks import Stacks
    from wsgiserve.processes.ops.totals import Totals
    from wsgiserve.server.sockets.listener import Listener


class Pages:
    """What the supervisor says of its workers; ``by_path`` are the pages."""

    def __init__(self, fleet: Fleet, totals: Totals, listeners: list[Listener], stacks: Stacks) -> None:
        self._fleet = fleet
        self._totals = totals
        self._listeners = listeners
        self.by_path: Mapping[str, Page] = {
            "/live": self._live,
            "/ready": self._ready,
            "/metrics": self._metrics,
            **looking_glass(fleet, totals, stacks),
        }

    def _live(self, head: RequestHead) -> Answer:
        """The supervisor runs, since it answers."""
        return Answer(b"live\n")

    def _ready(self, head: RequestHead) -> Answer:
        """A generation serves, and the server is not to stop."""
        if self._fleet.stopping:
            return Answer(b"stopping\n", status="503 Service Unavailable")
        if not self._fleet.complete:
            return Answer(b"starting\n", status="503 Service Unavailable")
        return Answer(b"ready\n")

    def _metrics(self, head: RequestHead) -> Answer:
        openmetrics = wants_openmetrics(head.fields.get("HTTP_ACCEPT", ""))
        text = render(families(self._fleet, self._totals, self._listeners), openmetrics=openmetrics)
        return Answer(text, OPENMETRICS if openmetrics else TEXT)
