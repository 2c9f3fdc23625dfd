"""Log lines that cannot become a flood: refused requests, shortages, and bugs of our own."""

from __future__ import annotations

import logging
from collections.abc import Callable

from wsgiserve.protocol.errors import RemoteProtocolError
from wsgiserve.server.system import Lock, monotonic

logger = logging.getLogger("wsgiserve")

LINES_A_SECOND = 10
SHORTAGE_SECONDS = 10.0  # between two lines about the same shortage


class RefusalLog:
    """Log refusals at INFO. Those above the rate are counted; their number is logged with the next one.

    ``count`` is called for each, with the status of its answer or, without one, with who refused.
    """

    def __init__(self, count: Callable[[str], object] | None = None) -> None:
        self._count = count or _count_nothing
        self._lock = Lock()
        self._second = 0.0
        self._lines = 0
        self._left_out = 0

    def add(self, peer: str, error: RemoteProtocolError) -> None:
        """Log why a request of ``peer`` was refused."""
        self._add(str(error.status), peer, f"{error.status}, {error.detail}")

    def add_line(self, kind: str, peer: str, text: str) -> None:
        """Log why ``peer`` was refused, by TLS or the PROXY protocol."""
        self._add(kind, peer, text)

    def _add(self, kind: str, peer: str, text: str) -> None:
        try:
            self._log(peer, text)
        finally:
            self._count(kind)  # After the line: a process that is killed meanwhile has counted nothing.

    def _log(self, peer: str, text: str) -> None:
        with self._lock:
            now = monotonic()
            left_out = 0
            if now - self._second >= 1:
                left_out, self._left_out = self._left_out, 0
                self._second, self._lines = now, 0
            self._lines += 1
            if self._lines > LINES_A_SECOND:
                self._left_out += 1
                return
        if left_out:
            logger.info("%d more requests were refused", left_out)
        logger.info("%s: %s", peer, text)


def _count_nothing(kind: str) -> None:
    pass


class ShortageLog:
    """Log a shortage at WARNING, seldom and with a count, for an operator to change.

    ``text`` is a format for the values and, last, the count.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._lock = Lock()
        self._count = 0
        self._silent_until = 0.0

    def add(self, *values: float) -> None:
        """Count an occurrence, and log it unless another was logged a moment ago."""
        with self._lock:
            self._count += 1
            count, now = self._count, monotonic()
            silent = now < self._silent_until
            if not silent:
                self._silent_until = now + SHORTAGE_SECONDS
        if not silent:
            logger.warning(self._text, *values, count)


def report(failure: str) -> None:
    """Log the exception that is being handled, even if the log handlers raise themselves.

    A bug of ours, or of a log handler, costs a connection, never a thread or a slot.
    """
    try:
        logger.critical(failure, exc_info=True)
    except Exception:  # noqa: BLE001 - there is nowhere else to say it
        pass
