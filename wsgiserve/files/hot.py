"""A cache of files that were sent lately: small files in memory, larger ones open.

* The key is a path and a ranking of codings. Clients choose both, so the cache is bounded, and the oldest
  entries make room.
* Each use of an entry checks the file by one ``stat`` (see ``Store.is_current``). After a second an entry
  expires, so that new compressed files and changed folders above the file are noticed too.
* A file that was changed in the last two seconds is not cached: it may change again with the same ``stat``.
* Open files are few where the system allows few, and are the first to go if a request finds none left: what
  is kept for speed must not take what the work needs.
* Up to ``_IN_MEMORY`` bytes, copying costs less than ``sendfile``. A file above ``_LARGEST`` is opened for
  each request: that costs little compared with sending it, and a deleted file frees its disk space at once.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from typing import NamedTuple

from wsgiserve.files.codings import ranking
from wsgiserve.files.disk.store import Store
from wsgiserve.files.disk.stored_file import StoredFile
from wsgiserve.files.representation import Representation
from wsgiserve.web.head import Fields

_IN_MEMORY = 16 * 1024
_LARGEST = 1024 * 1024
_MOST_BYTES = 16 * 1024 * 1024
_MOST_ENTRIES = 2048
_MOST_OPEN = 64  # or this part of the limit of open files, if that is less
_PART_OF_LIMIT = 16
_SECONDS = 1.0
_SETTLED_NS = 2_000_000_000


class Hot(NamedTuple):
    """An entry: a file in memory or open, and all fields of a 200 for it."""

    representation: Representation
    fields: Fields
    name: str
    status: os.stat_result
    until: float


class HotFiles:
    """The cache of one store on a disk. None is a store elsewhere: none of its files is ever cached."""

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._kept: dict[tuple[str, tuple[str, ...]], Hot] = {}
        self._bytes = self._open = 0
        self._lock = threading.Lock()

    def get(self, path: str, accepted: str | None) -> Hot | None:
        """Return the entry of a path, if the file is unchanged."""
        hot = self._kept.get((path, ranking(accepted)))
        if (
            hot
            and self._store is not None
            and time.monotonic() < hot.until
            and self._store.is_current(hot.name, hot.status)
        ):
            return hot
        return None

    def add(self, path: str, accepted: str | None, name: str, found: Representation, fields: Fields) -> None:
        """Cache the representation of the file ``name``, unless it is too large or too new."""
        stored = found.stored
        if self._store is None or not isinstance(stored, StoredFile):
            return
        status = stored.status
        changed = max(status.st_mtime_ns, status.st_ctime_ns)
        if status.st_size > _LARGEST or time.time_ns() - changed < _SETTLED_NS:
            return
        if status.st_size <= _IN_MEMORY:
            content = stored.content()
            if content is None:  # It is changing.
                return
            found.load(content)
        elif self._store.has_proc:
            found = found.sharing(stored.shared())
        else:
            return
        key = path, ranking(accepted)
        with self._lock:
            self._drop(key)
            self._kept[key] = Hot(found, fields, name, status, time.monotonic() + _SECONDS)
            self._count(found, 1)
            while self._bytes > _MOST_BYTES or len(self._kept) > _MOST_ENTRIES:
                self._drop(next(iter(self._kept)))
            if self._open > _most_open():
                self._drop(next(key for key, hot in self._kept.items() if hot.representation.content is None))

    def clear(self) -> bool:
        """Forget all entries, after a write or for their descriptors; return whether any file was open."""
        with self._lock:
            had_open = self._open > 0
            self._kept.clear()
            self._bytes = self._open = 0
            return had_open

    def _drop(self, key: tuple[str, tuple[str, ...]]) -> None:
        if dropped := self._kept.pop(key, None):
            self._count(dropped.representation, -1)

    def _count(self, found: Representation, sign: int) -> None:
        if found.content is None:
            self._open += sign
        else:
            self._bytes += sign * len(found.content)


def _most_open() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_OPEN if soft == resource.RLIM_INFINITY else min(_MOST_OPEN, soft // _PART_OF_LIMIT)
