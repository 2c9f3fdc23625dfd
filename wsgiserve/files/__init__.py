"""Files: one store that does every check, and ``Files``, which serves it over HTTP."""

from __future__ import annotations

from wsgiserve.files.answer import Answer
from wsgiserve.files.disk.store import Store
from wsgiserve.files.disk.stored_file import StoredFile
from wsgiserve.files.folder import Files
from wsgiserve.files.store import Entry, InvalidName, NotStored, Saved

__all__ = ["Answer", "Entry", "Files", "InvalidName", "NotStored", "Saved", "Store", "StoredFile"]
