"""Small files that were sent before, in memory: bounded, and asked about by ``stat`` each time.

* An entry is what one path and one ranking of codings led to. It counts while the file's ``stat`` is the one
  of then (see ``Store.is_current``), and for a second at most: then everything is looked up anew, also
  whether there are compressed files beside it now, and where its folders lead.
* A file that was changed in the last two seconds is not taken: it may change again and look the same.
* The oldest entries make room. What a client can choose, the path and the codings, cannot fill more than
  that.
"""

from __future__ import annotations

import os
import threading
import time
from typing import NamedTuple

from wsgiserve.files.answer import Fields
from wsgiserve.files.codings import ranking
from wsgiserve.files.representation import Representation
from wsgiserve.files.store import Store

_LARGEST = 64 * 1024
_MOST_BYTES = 16 * 1024 * 1024
_MOST_ENTRIES = 2048
_SECONDS = 1.0
_SETTLED_NS = 2_000_000_000


class Hot(NamedTuple):
    """A file in memory; ``fields`` are those of a whole response."""

    representation: Representation
    fields: Fields
    body: bytes
    name: str
    status: os.stat_result
    until: float


class HotFiles:
    """The files of one store that are kept in memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[tuple[str, tuple[str, ...]], Hot] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, path: str, accepted: str | None) -> Hot | None:
        """Return what ``path`` led to, if that is still so."""
        hot = self._kept.get((path, ranking(accepted)))
        if hot and time.monotonic() < hot.until and self._store.is_current(hot.name, hot.status):
            return hot
        return None

    def takes(self, status: os.stat_result) -> bool:
        """Whether a file of that status would be kept."""
        changed = max(status.st_mtime_ns, status.st_ctime_ns)
        return status.st_size <= _LARGEST and time.time_ns() - changed > _SETTLED_NS

    def add(self, path: str, accepted: str | None, name: str, found: Representation, fields: Fields) -> None:
        """Keep a representation that has its content; ``name`` is the file's, ``fields`` are a response's."""
        status, content = found.status, found.content or b""
        key = path, ranking(accepted)
        with self._lock:
            self._drop(key)
            self._kept[key] = Hot(found, fields, content, name, status, time.monotonic() + _SECONDS)
            self._bytes += len(content)
            while self._bytes > _MOST_BYTES or len(self._kept) > _MOST_ENTRIES:
                self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        """Forget all: something was written."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def _drop(self, key: tuple[str, tuple[str, ...]]) -> None:
        if dropped := self._kept.pop(key, None):
            self._bytes -= len(dropped.body)
