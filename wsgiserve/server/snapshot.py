"""The state of a running server at one moment, for tests and for whoever operates it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from wsgiserve.server.acceptor import State
from wsgiserve.server.shutdown import Phase


class Snapshot(NamedTuple):
    """``phase`` is that of ``shutdown``, ``accepting`` the state of ``acceptor``; the rest are counts.

    ``running`` are requests that the app works on, or that wait for it; ``queued`` are those that wait for a
    thread. ``busy`` threads run a call beside the leader's, ``idle`` ones wait for a call, ``lost`` ones were
    given up after ``--request-timeout`` and have not come back. ``buffered`` are the bytes that count for
    ``--max-buffered``.
    """

    phase: Phase | Literal["stopped"] = "stopped"
    accepting: State = "closed"
    connections: int = 0
    running: int = 0
    queued: int = 0
    busy: int = 0
    idle: int = 0
    lost: int = 0
    buffered: int = 0
