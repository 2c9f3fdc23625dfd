"""What every store of files shares: its values, its errors, the rules for names and for uploads.

``wsgiserve.files.disk.store`` keeps files on a local disk. Nothing here knows of a disk, so another kind of
store, such as an object store, can use the same names, values and errors.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from werkzeug.exceptions import HTTPException

HIDDEN = ".wsgiserve-"
"""The beginning of names that no file of a store has: drafts, and the style and script of the folder page."""


class Version(NamedTuple):
    """A version of a file: its time of change in nanoseconds, and its size in bytes."""

    modified_ns: int
    size: int
    status_changed_ns: int | None = None
    """When the content or the times were last written, by the clock of the file system; None if unknown.
    Programs set ``modified_ns`` as they like, this only the system."""

    @classmethod
    def of(cls, status: os.stat_result) -> Version:
        """Return the version of a file with that ``stat``."""
        return cls(status.st_mtime_ns, status.st_size, status.st_ctime_ns)


Check = Callable[[Version | None], object]
"""Is called with the version of the stored file, None if there is none; raises ``NotStored`` to keep it."""

# Controls, NUL included; the separator of Windows; and the characters that decoders put for bytes that are
# not UTF-8: with U+FFFD many names would become one.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff\ufffd]")
# Windows takes these for devices, whatever follows the first dot, and a folder may be shared with Windows.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:[.:].*)?", re.IGNORECASE)
# RFC 8615: a folder that is made to be published, though its name begins with a dot.
_WELL_KNOWN = ".well-known"


# Years of four digits, less a day at each end for the time zones.
_FIRST_MOMENT, _LAST_MOMENT = -30_610_137_600, 253_402_214_399


class NotStored(HTTPException):
    """Say why a file was not stored or deleted; ``status`` is the HTTP status to answer with.

    A view may let it through: an App answers it as it answers ``abort(status, reason)``.
    """

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.args = (reason,)
        self.status = self.code = status

    def __str__(self) -> str:
        return str(self.description)


class InvalidName(NotStored, ValueError):
    """Say why a name cannot be a file of the store."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"The name {name!r} cannot be a file: {reason}.", 400)
        self.reason = reason


class Saved(NamedTuple):
    """The result of a save: whether the file is new or replaced another, and its version."""

    created: bool
    version: Version


class Entry(NamedTuple):
    """One name in a folder, with its size in bytes and its time of change in seconds since 1970."""

    name: str
    kind: Literal["file", "folder"]
    size: int
    modified: float
    link: bool = False
    """Whether the name is a symbolic link: it cannot be deleted, and may lead in a circle."""

    @property
    def moment(self) -> float:
        """The time of change, or the nearest in a year of four digits: some file systems keep any time."""
        return min(max(self.modified, _FIRST_MOMENT), _LAST_MOMENT)


def join(folder: str, name: str) -> str:
    """Return the name, in the store, of ``name`` in ``folder``."""
    return f"{folder}/{name}" if folder else name


def check_name(name: str, *, dotfiles: bool) -> None:
    """Raise ``InvalidName`` for a name that cannot be a file, whatever the store holds."""
    if not name:
        raise InvalidName(name, "it is empty")
    if _FORBIDDEN.search(name):
        raise InvalidName(name, "it has a control character, a backslash, or is not UTF-8")
    for part in name.split("/"):
        if part in ("", ".", ".."):
            raise InvalidName(name, "it has a part that is empty, '.' or '..'")
        if part[0] == ".":
            if part.startswith(HIDDEN):
                raise InvalidName(name, f"names that begin with {HIDDEN!r} are taken")
            if not dotfiles and part != _WELL_KNOWN:
                raise InvalidName(name, "names that begin with a dot are hidden here")
        if _DEVICE.fullmatch(part):
            raise InvalidName(name, "it is a device on some systems")


class Upload:
    """Checks the body of one upload: the size limit, the announced length, the announced digests.

    ``digests`` maps names of ``hashlib`` to the digests. Each check raises ``NotStored``.
    """

    def __init__(self, length: int | None, max_size: int | None, digests: Mapping[str, bytes]) -> None:
        self._length = length
        self._max_size = max_size
        self._digests = digests
        self._hashes = {kind: hashlib.new(kind) for kind in digests}
        self._received = 0
        self._check_size(length or 0)

    def receive(self, chunk: bytes) -> None:
        """Count and hash a chunk of the body."""
        self._received += len(chunk)
        self._check_size(self._received)
        for made in self._hashes.values():
            made.update(chunk)

    def finish(self) -> None:
        """Compare the whole body with its announced length (RFC 9112 §8) and digests (RFC 9530 §2)."""
        if self._length is not None and self._received != self._length:
            raise NotStored(f"{self._length} bytes were announced and {self._received} arrived.", 400)
        for kind, announced in self._digests.items():
            if self._hashes[kind].digest() != announced:
                raise NotStored(f"The {kind} digest of the body is not the announced one.", 400)

    def _check_size(self, size: int) -> None:
        if self._max_size is not None and size > self._max_size:
            raise NotStored(f"A file may have {self._max_size} bytes at most here.", 413)
