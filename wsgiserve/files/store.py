"""What every store of files shares: its values, its errors, the rules for names and for uploads.

``FileStore`` and ``OpenFile`` are what the rest of the files asks of a store. There are two:
``wsgiserve.files.disk`` keeps files on a local disk, ``wsgiserve.files.objects`` in an object store.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn, Protocol

from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    from _typeshed import SupportsRead

HIDDEN = ".wsgiserve-"
"""The beginning of names that no file of a store has: drafts, and the style and script of the folder page."""


class Version(NamedTuple):
    """A version of a file: its time of change in nanoseconds, and its size in bytes."""

    modified_ns: int
    size: int
    status_changed_ns: int | None = None
    """When the content or the times were last written, by the clock of the file system; None if unknown.
    Programs set ``modified_ns`` as they like, this only the system."""
    tag: str | None = None
    """The entity tag that the store gave the content, without quotes; None on a disk."""

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


class Unavailable(NotStored):
    """Say why a store does not work now: 502 if it is set up wrongly, 503 or 504 if it may work later."""


class WrongDigest(NotStored):
    """A file has not the announced digest."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"The {kind} digest of the body is not the announced one.", 400)


class Changed(Exception):
    """The file was replaced after it was opened; open it again."""


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
    modified: float | None
    """None if unknown: an object store keeps no times of folders."""
    link: bool = False
    """Whether the name is a symbolic link: it cannot be deleted, and may lead in a circle."""

    @property
    def moment(self) -> float:
        """The time of change, or the nearest in a year of four digits: some file systems keep any time."""
        return min(max(self.modified or 0, _FIRST_MOMENT), _LAST_MOMENT)


class Readable(Protocol):
    """A file object for ``wsgi.file_wrapper``."""

    def read(self, size: int = -1, /) -> bytes:
        """Read as any file does."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class OpenFile(Protocol):
    """A file of a store that is open for reading; whoever opened it closes it, or sends it by ``part``."""

    @property
    def size(self) -> int:
        """The size in bytes."""
        ...

    @property
    def version(self) -> Version:
        """The version that was opened."""
        ...

    @property
    def identity(self) -> Hashable:
        """Stands for this content of this file, and no other."""
        ...

    @property
    def location(self) -> str | None:
        """A URL to send readers to; None if the bytes are sent from here."""
        ...

    def part(self, start: int, stop: int) -> Readable:
        """Return the bytes from ``start`` to ``stop`` as a file; closing that closes this one.

        ``Changed`` if they are gone because the file was replaced.
        """
        ...

    def blocks(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` to ``stop``; OSError if they are gone."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class FileStore(Protocol):
    """A store of files. A name has parts that are joined by ``/``; '' is the topmost folder.

    Methods that read raise ``FileNotFoundError``, those that write ``NotStored``, both ``Unavailable``.
    """

    def check_name(self, name: str) -> None:
        """Raise ``InvalidName`` for a name that cannot be a file, whatever the store holds."""
        ...

    def open(self, name: str) -> OpenFile:
        """Open a file for reading."""
        ...

    def is_folder(self, name: str) -> bool:
        """Whether ``name`` is a folder."""
        ...

    def entries(self, name: str = "") -> list[Entry]:
        """Return the files and folders in a folder that can be opened, in no order."""
        ...

    def left_out(self, name: str = "") -> list[tuple[str, str]]:
        """Return (name, reason) of all that ``entries`` leaves out though nobody hid it."""
        ...

    def variants(self, name: str, version: Version) -> list[str]:
        """Return the codings (RFC 9110 §8.4.1) in which a file exists beside the original."""
        ...

    def save(
        self,
        name: str,
        stream: SupportsRead[bytes],
        length: int | None = None,
        *,
        max_size: int | None = None,
        digests: Mapping[str, bytes] | None = None,
        check: Check | None = None,
    ) -> Saved:
        """Store the bytes of ``stream`` as the file ``name``, all of them or none.

        ``length`` is the announced number of bytes, None if unknown. ``max_size`` is the largest body, in
        bytes. ``digests`` are the digests that the body must have, by the names of ``hashlib``. ``check`` is
        called before the stream is read; the file replaces only a version that it let pass, and creates a
        name only if it let None pass.

        Raise ``NotStored`` for a body that is too large or does not have the announced length or digests, for
        a full store and for missing permission. An exception of ``stream`` passes through.
        """
        ...

    def remove(self, name: str, *, check: Check | None = None) -> None:
        """Delete a file, if ``check`` lets its version pass."""
        ...

    def make_folder(self, name: str) -> None:
        """Create a folder unless it exists."""
        ...

    def remove_folder(self, name: str) -> None:
        """Delete a folder; raise ``NotStored`` unless it is empty."""
        ...


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
            # Some file systems take names in another case for the same.
            if part.casefold().startswith(HIDDEN):
                raise InvalidName(name, f"names that begin with {HIDDEN!r} are taken")
            if not dotfiles and part != _WELL_KNOWN:
                raise InvalidName(name, "names that begin with a dot are hidden here")
        if _DEVICE.fullmatch(part):
            raise InvalidName(name, "it is a device on some systems")


def check_size(size: int, most: int | None) -> None:
    """Raise ``NotStored`` for a file of more than ``most`` bytes, if that is not None."""
    if most is not None and size > most:
        raise NotStored(f"A file may have {most} bytes at most here.", 413)


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
        check_size(length or 0, max_size)

    def receive(self, chunk: bytes) -> None:
        """Count and hash a chunk of the body."""
        self._received += len(chunk)
        check_size(self._received, self._max_size)
        if self._length is not None and self._received > self._length:
            self._refuse_length()
        for made in self._hashes.values():
            made.update(chunk)

    def finish(self) -> None:
        """Compare the whole body with its announced length (RFC 9112 §8) and digests (RFC 9530 §2)."""
        if self._length is not None and self._received != self._length:
            self._refuse_length()
        for kind, announced in self._digests.items():
            if self._hashes[kind].digest() != announced:
                raise WrongDigest(kind)

    def checked(self, blocks: Iterable[bytes]) -> Generator[bytes, None, None]:
        """Yield the blocks of the body, the last one only when all checks have passed."""
        held = b""
        for block in blocks:
            self.receive(block)
            if held:
                yield held
            held = block
        self.finish()
        if held:
            yield held

    def _refuse_length(self) -> NoReturn:
        raise NotStored(f"{self._length} bytes were announced and {self._received} arrived.", 400)
