"""Files: one store that does every check, and ``Files``, which serves it over HTTP."""

from __future__ import annotations

from wsgiserve.files.answer import Answer
from wsgiserve.files.disk.store import Entry, InvalidName, NotStored, Saved, Store, StoredFile
from wsgiserve.files.folder import Files

__all__ = ["Answer", "Entry", "Files", "InvalidName", "NotStored", "Saved", "Store", "StoredFile"]
