"""Jobs after a response: they run on a few threads, once the server has closed the response.

At most ``THREADS`` jobs run at once and ``MAX_WAITING`` more wait. A further job runs on the thread that
closes the response: this slows clients that cause too many jobs, and loses no job. A job that must survive
the end of the process belongs in a job queue outside of it.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from werkzeug.wsgi import ClosingIterator

from wsgiserve.forks import ending_children
from wsgiserve.web.views import describe

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

logger = logging.getLogger("wsgiserve.app")

THREADS = 4
MAX_WAITING = 64
KEY = "wsgiserve.after_response"

Job = Callable[[], object]


class Background:
    """The jobs of an application in one process."""

    def __init__(self) -> None:
        self.forked()

    def forked(self) -> None:
        """Start afresh in a forked child, which has none of its parent's threads."""
        self._pool: ThreadPoolExecutor | None = None
        self._room = threading.BoundedSemaphore(THREADS + MAX_WAITING)
        self._lock = threading.Lock()

    def run(self, job: Job) -> None:
        """Run a job on a thread of the pool, or on this thread if too many jobs wait."""
        if not self._room.acquire(blocking=False):
            _run(job)
            return
        try:
            with self._lock:
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(THREADS, "after-response")
                future = self._pool.submit(_run, job)
        except RuntimeError:  # At the exit of the interpreter no thread can be started.
            self._room.release()
            _run(job)
        else:
            future.add_done_callback(lambda _: self._room.release())

    def finish(self) -> None:
        """Wait for all jobs, including jobs that jobs start. A later job starts a new pool."""
        while self._pool is not None:
            with self._lock:
                pool, self._pool = self._pool, None
            pool.shutdown(wait=True)


def note(environ: WSGIEnvironment, job: Job) -> None:
    """Store a job in the environ of its request, until the response is closed."""
    environ.setdefault(KEY, []).append(job)


def closing(result: Iterable[bytes], environ: WSGIEnvironment, background: Background) -> Iterable[bytes]:
    """Return the result with a ``close()`` that starts the jobs of the request, also those of its stream."""

    def start() -> None:
        for job in environ.pop(KEY, ()):
            background.run(job)

    return ClosingIterator(result, start)


def _run(job: Job) -> None:
    try:
        with ending_children():  # Or a process that it forks would take the jobs that wait.
            job()
    except Exception as error:
        function = job.func if isinstance(job, functools.partial) else job
        logger.error("after the response: %s: %s", describe(function), error, exc_info=error)
