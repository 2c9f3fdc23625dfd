"""The limits of a worker: how many requests it serves, and how much memory it takes.

Both are checked when the app is called, and only if they are set: no limit costs nothing, and an idle worker
does not wake up.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from wsgiserve.config import Config
from wsgiserve.server.system import monotonic

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

JITTER = 0.1
RSS_SECONDS = 1.0  # between two looks at the memory


def jittered(limit: float) -> float:
    """Return the limit or up to a tenth more, so that workers that started together do not end together."""
    return limit * (1 + JITTER * random.random())


def recycled(app: WSGIApplication, config: Config, tell: Callable[[str], object]) -> WSGIApplication:
    """Wrap ``app``: call ``tell`` once with the name of each limit that the worker passes."""
    if config.max_requests:
        app = _counted(app, int(jittered(config.max_requests)), tell)
    if config.max_rss:
        app = _weighed(app, config.max_rss, tell)
    return app


def _counted(app: WSGIApplication, last: int, tell: Callable[[str], object]) -> WSGIApplication:
    count = itertools.count(1)  # next() is atomic among threads.

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if next(count) == last:
            tell("max-requests")
        return app(environ, start_response)

    return call


def _weighed(app: WSGIApplication, limit: int, tell: Callable[[str], object]) -> WSGIApplication:
    next_look = 0.0

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        nonlocal next_look
        now = monotonic()
        if now >= next_look:
            next_look = now + RSS_SECONDS
            if resident_bytes() > limit:
                next_look = float("inf")
                tell("max-rss")
        return app(environ, start_response)

    return call


def resident_bytes() -> int:
    """Return this process's resident memory, or its peak where the system tells no more."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
