"""Hooks that run once in each process: at its start, before the first request, and at its end.

wsgiserve's server calls ``startup()`` and ``shutdown()`` in each worker, after the fork. Under another
server the first request starts the app, and the exit of the interpreter shuts it down. If a process forks
after the start, the child starts the app anew.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable

from wsgiserve.forks import ending_children
from wsgiserve.web.background import Background
from wsgiserve.web.views import describe, never_ran

logger = logging.getLogger("wsgiserve.app")

Hook = Callable[[], object]


class Lifespan:
    """The start-up and shutdown hooks of an application, and whether it is started in this process."""

    def __init__(self, background: Background) -> None:
        """The shutdown waits for the jobs of ``background`` before it runs the hooks."""
        self.started = False
        self.at_start: list[Hook] = []
        self.at_end: list[Hook] = []
        self._busy = False  # A hook may call the app, which calls startup().
        self._background = background
        self._lock = threading.RLock()
        _all.add(self)

    def startup(self) -> None:
        """Run the start-up hooks in the order of registration, once; an exception of a hook is raised."""
        with self._lock:
            if self.started or self._busy:
                return
            self._busy = True
            try:
                for hook in self.at_start:
                    with ending_children():
                        _run(hook, "on_startup")
            finally:
                self._busy = False
            self.started = True
            if self.at_end:
                atexit.register(self.shutdown)

    def shutdown(self) -> None:
        """Run the shutdown hooks, the last one first, if the app is started; their exceptions are logged."""
        with self._lock:
            if not self.started or self._busy:
                return
            self._busy = True
            atexit.unregister(self.shutdown)
            self._background.finish()  # before `started` is reset: a job may call the app
            for hook in reversed(self.at_end):
                try:
                    with ending_children():
                        _run(hook, "on_shutdown")
                except Exception as error:
                    logger.error("on_shutdown %s: %s", describe(hook), error, exc_info=error)
            self.started = self._busy = False

    def forked(self) -> None:
        """Start afresh in a forked child, which has none of its parent's threads."""
        atexit.unregister(self.shutdown)
        self.started = self._busy = False
        self._lock = threading.RLock()
        self._background.forked()


def _run(hook: Hook, kind: str) -> None:
    """Call a hook; TypeError if its code did not run, as behind a decorator that hides an async function."""
    if never_ran(result := hook()):
        raise TypeError(
            f"{kind} {describe(hook)} returned {type(result).__name__}, so its code did not run; "
            "write a plain function"
        )


_all: weakref.WeakSet[Lifespan] = weakref.WeakSet()


def _forked() -> None:
    for lifespan in _all:
        lifespan.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
