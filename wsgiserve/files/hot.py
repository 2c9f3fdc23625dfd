"""What was sent before: small files in memory, larger ones open; bounded, and asked about by ``stat``.

* An entry is what one path and one ranking of codings led to. It counts while the file's ``stat`` is that of
  then (see ``Store.is_current``), and for a second at most: then everything is looked up anew, also whether
  there are compressed files beside it now, and where its folders lead.
* A file that was changed in the last two seconds is not taken: it may change again and look the same.
* The oldest entries make room. What a client can choose, the path and the codings, cannot fill more.
* Up to ``_IN_MEMORY`` a copy is cheaper than ``sendfile``. Files above ``_LARGEST`` are opened each time:
  that costs little beside sending them, and the disk gets their room back as soon as they are deleted.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from wsgiserve.files.codings import ranking

if TYPE_CHECKING:
    from wsgiserve.files.disk.store import Store
    from wsgiserve.files.representation import Representation
    from wsgiserve.web.head import Fields

_IN_MEMORY = 16 * 1024
_LARGEST = 1024 * 1024
_MOST_BYTES = 16 * 1024 * 1024
_MOST_ENTRIES = 2048
_MOST_OPEN = 64
_SECONDS = 1.0
_SETTLED_NS = 2_000_000_000


class Hot(NamedTuple):
    """A file in memory, or open; ``fields`` are those of a whole response."""

    representation: Representation
    fields: Fields
    name: str
    until: float


class HotFiles:
    """The files of one store that are kept in memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[tuple[str, tuple[str, ...]], Hot] = {}
        self._bytes = self._open = 0
        self._lock = threading.Lock()

    def get(self, path: str, accepted: str | None) -> Hot | None:
        """Return what ``path`` led to, if that is still so."""
        hot = self._kept.get((path, ranking(accepted)))
        if (
            hot
            and time.monotonic() < hot.until
            and self._store.is_current(hot.name, hot.representation.status)
        ):
            return hot
        return None

    def add(self, path: str, accepted: str | None, name: str, found: Representation, fields: Fields) -> None:
        """Keep a representation, if it can be kept; ``name`` is the file's, ``fields`` are a response's."""
        status = found.status
        changed = max(status.st_mtime_ns, status.st_ctime_ns)
        if status.st_size > _LARGEST or time.time_ns() - changed < _SETTLED_NS:
            return
        if status.st_size <= _IN_MEMORY:
            if not found.load():
                return
        elif self._store.has_proc:
            found = found.share()
        else:
            return
        key = path, ranking(accepted)
        with self._lock:
            self._drop(key)
            self._kept[key] = Hot(found, fields, name, time.monotonic() + _SECONDS)
            self._count(found, 1)
            while self._bytes > _MOST_BYTES or len(self._kept) > _MOST_ENTRIES or self._open > _MOST_OPEN:
                self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        """Forget all: something was written."""
        with self._lock:
            self._kept.clear()
            self._bytes = self._open = 0

    def _drop(self, key: tuple[str, tuple[str, ...]]) -> None:
        if dropped := self._kept.pop(key, None):
            self._count(dropped.representation, -1)

    def _count(self, found: Representation, sign: int) -> None:
        if found.content is None:
            self._open += sign
        else:
            self._bytes += sign * len(found.content)
