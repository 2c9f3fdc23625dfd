"""Files: one store that does every check, for reading and for writing."""

from __future__ import annotations

from wsgiserve.files.store import InvalidName, NotStored, Store, StoredFile

__all__ = ["InvalidName", "NotStored", "Store", "StoredFile"]
