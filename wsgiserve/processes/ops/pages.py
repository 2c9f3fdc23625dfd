"""The pages of the ops endpoint, by path."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from wsgiserve.processes.ops.endpoint import Answer, Page
from wsgiserve.protocol.request import RequestHead

if TYPE_CHECKING:
    from wsgiserve.processes.fleet import Fleet


def pages(fleet: Fleet) -> Mapping[str, Page]:
    """Return the pages about a supervisor's workers."""
    return {"/live": _live, "/ready": partial(_ready, fleet)}


def _live(head: RequestHead) -> Answer:
    """The supervisor runs: it is it that answers."""
    return Answer(b"live\n")


def _ready(fleet: Fleet, head: RequestHead) -> Answer:
    """A generation serves, and the server is not stopping."""
    if fleet.stopping:
        return Answer(b"stopping\n", status="503 Service Unavailable")
    if not fleet.complete:
        return Answer(b"starting\n", status="503 Service Unavailable")
    return Answer(b"ready\n")
