"""Work for after the response: it runs once the server has closed the response, on a few threads.

It is bounded: at most ``THREADS`` jobs run at once and ``QUEUE`` more wait. One above that runs on the thread
that closes the response, which slows down whoever asks for too much, and loses nothing. Work that must
survive the end of the process belongs in a job queue outside of it.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from werkzeug.wsgi import ClosingIterator

from wsgiserve.web.views import describe

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

logger = logging.getLogger("wsgiserve.app")

THREADS = 4
QUEUE = 64
KEY = "wsgiserve.after_response"

Job = Callable[[], object]


class Background:
    """The jobs of an application in one process."""

    def __init__(self) -> None:
        self.forked()

    def forked(self) -> None:
        """Begin anew, in a child that has none of its parent's threads."""
        self._pool: ThreadPoolExecutor | None = None
        self._room = threading.BoundedSemaphore(THREADS + QUEUE)
        self._lock = threading.Lock()

    def run(self, job: Job) -> None:
        """Run a job on a thread of the pool, or on this one where there is no room."""
        if not self._room.acquire(blocking=False):
            _run(job)
            return
        try:
            with self._lock:
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(THREADS, "after-response")
                future = self._pool.submit(_run, job)
        except RuntimeError:  # The interpreter is about to exit, and starts no thread any more.
            self._room.release()
            _run(job)
        else:
            future.add_done_callback(lambda _: self._room.release())

    def finish(self) -> None:
        """Wait for all jobs, those of jobs included; one that comes later begins anew."""
        while self._pool is not None:
            with self._lock:
                pool, self._pool = self._pool, None
            pool.shutdown(wait=True)


def note(environ: WSGIEnvironment, job: Job) -> None:
    """Keep a job with its request until the response has left."""
    environ.setdefault(KEY, []).append(job)


def closing(result: Iterable[bytes], environ: WSGIEnvironment, background: Background) -> Iterable[bytes]:
    """Have the server's close() of the result start the jobs, also those that a stream notes as it goes."""

    def start() -> None:
        for job in environ.pop(KEY, ()):
            background.run(job)

    return ClosingIterator(result, start)


def _run(job: Job) -> None:
    try:
        job()
    except Exception as error:
        function = job.func if isinstance(job, functools.partial) else job
        logger.error("after the response: %s: %s", describe(function), error, exc_info=error)
