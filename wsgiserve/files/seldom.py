"""What is worth doing again only after a time, such as a line in the log about the same fault."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable


class Seldom:
    """Says when it is time again: ``seconds`` after the last time, for each key by itself."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._next: dict[Hashable, float] = {}

    def is_due(self, key: Hashable = None) -> bool:
        """Return True to one caller; then False until the time is over."""
        now = time.monotonic()
        with self._lock:
            due = now >= self._next.get(key, 0.0)
            if due:
                self._next[key] = now + self._seconds
        return due
