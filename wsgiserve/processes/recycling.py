"""When a worker has served enough: after so many requests, or when it has become too large.

Both are looked at where the app is called, and only if they are asked for: a server without limits pays
nothing, and one without work does not wake.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING

from wsgiserve.config import Config
from wsgiserve.processes.fleet import JITTER

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

RSS_SECONDS = 1.0  # between two looks at the memory


def recycled(app: WSGIApplication, config: Config, tell: Callable[[str], object]) -> WSGIApplication:
    """Return ``app``, with ``tell(limit)`` called once for each limit of ``config`` that is passed."""
    if config.max_requests:
        app = _counted(app, config.max_requests, tell)
    if config.max_rss:
        app = _weighed(app, config.max_rss, tell)
    return app


def _counted(app: WSGIApplication, limit: int, tell: Callable[[str], object]) -> WSGIApplication:
    last = limit + int(limit * JITTER * random.random())
    count = itertools.count(1)  # Its next() is one step for all threads.

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if next(count) == last:
            tell("max-requests")
        return app(environ, start_response)

    return call


def _weighed(app: WSGIApplication, limit: int, tell: Callable[[str], object]) -> WSGIApplication:
    next_look = 0.0
    told = False

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        nonlocal next_look, told
        now = monotonic()
        if now >= next_look and not told:
            next_look = now + RSS_SECONDS
            if resident_bytes() > limit:
                told = True
                tell("max-rss")
        return app(environ, start_response)

    return call


def resident_bytes() -> int:
    """Return this process's resident memory; where the system does not tell, the most that it ever was."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
