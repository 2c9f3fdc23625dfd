"""A cache of what lines mean: equal bytes mean the same, so each line is read once and then looked up.

Clients choose the keys, so the cache is bounded: in entries, and in the length of a key, hence in bytes.
It has two generations. Once the young one is full it becomes the former one, and what was in the former one
is forgotten unless it was asked for meanwhile. So a client that sends a new line with each request pushes out
only lines that nobody sends any more.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sized
from typing import Protocol, TypeVar


class _Line(Hashable, Sized, Protocol):
    """A key: bytes or text."""


K = TypeVar("K", bound=_Line)
V = TypeVar("V")


class Known(dict[K, V]):
    """A dict that calls ``read`` for a missing key; keeps ``most`` keys, twice, of at most ``longest`` each.

    Nothing is kept where ``read`` raises. Several threads may use it at once: the worst is that a key is
    read twice.
    """

    def __init__(self, read: Callable[[K], V], *, most: int, longest: int) -> None:
        super().__init__()
        self._read = read
        self._most = most
        self._longest = longest
        self._former: dict[K, V] = {}

    def __missing__(self, key: K) -> V:
        value = self._former.get(key) or self._read(key)
        if len(key) <= self._longest:
            if len(self) >= self._most:
                self._former = self.copy()
                self.clear()
            self[key] = value
        return value
