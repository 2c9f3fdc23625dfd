"""One log line for each refused request, but no flood: what refuses a request is the client's choice."""

from __future__ import annotations

import logging
import threading
from time import monotonic

from wsgiserve.protocol import RemoteProtocolError

logger = logging.getLogger("wsgiserve")

LINES_A_SECOND = 10


class RefusalLog:
    """Log refusals at INFO. Those above the rate are counted; their number is logged with the next one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._second = 0.0
        self._lines = 0
        self._left_out = 0

    def add(self, peer: str, error: RemoteProtocolError) -> None:
        """Log why a request of ``peer`` was refused."""
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
        logger.info("%s: %d, %s", peer or "-", error.status, error.detail)
