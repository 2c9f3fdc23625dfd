"""Files: a store that checks every name, and ``Files``, the WSGI application that serves a folder."""

from __future__ import annotations

from wsgiserve.files.answer import Answer
from wsgiserve.files.disk.store import Store
from wsgiserve.files.disk.stored_file import StoredFile
from wsgiserve.files.folder import Files
from wsgiserve.files.store import Entry, InvalidName, NotStored, Saved

__all__ = ["Answer", "Entry", "Files", "InvalidName", "NotStored", "Saved", "Store", "StoredFile"]
