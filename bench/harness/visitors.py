"""Threads that visit a server as its clients, some of each kind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping


class Visitors:
    """Call ``visit`` with a kind and a number on a thread of its own, for each of so many of each kind."""

    def __init__(self, visit: Callable[[str, int], object], kinds: Mapping[str, int]) -> None:
        self._threads = [
            threading.Thread(target=visit, args=(kind, number))
            for kind, count in kinds.items()
            for number in range(count)
        ]

    def start(self) -> None:
        """Begin all visits."""
        for thread in self._threads:
            thread.start()

    def join(self, seconds: float) -> bool:
        """Wait so long for the end of each visit; return whether all have ended."""
        for thread in self._threads:
            thread.join(seconds)
        return not any(thread.is_alive() for thread in self._threads)
