"""The store: every check of a path happens here, for reading, listing, writing and deleting.

* A name is opened only beneath the folder, see ``beneath``; whatever else is asked, is asked of the
  descriptor that this gives.
* Reading has one outcome for everything that is not a readable file inside: the answer does not
  tell what else there is. Only a fault of ours (no descriptors left, a broken disk) is told
  apart.
* Writing says what is wrong with the name; what it says depends on the name and on what is
  inside, nothing else.
* Symbolic links that stay inside are followed to be read and to find the folder; a name that is a
  link is not written.
* Names that begin with a dot are not there, unless the store is told to show them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from wsgiserve.files.codings import SUFFIXES
from wsgiserve.files.disk.beneath import open_beneath, open_beneath_stepwise
from wsgiserve.files.disk.draft import HIDDEN, Draft, locked
from wsgiserve.files.disk.span import Span
from wsgiserve.files.validators import Version

if TYPE_CHECKING:
    from _typeshed import SupportsRead

logger = logging.getLogger("wsgiserve.files")

# NUL and other controls, the other system's separator, and what decoders put for bytes that are
# not UTF-8: with U+FFFD many names would become one.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff\ufffd]")
# What Windows takes for a device, whatever follows the first dot: a folder may be shared with one.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:[.:].*)?", re.IGNORECASE)
# RFC 8615: a folder whose name begins with a dot, made to be published.
_WELL_KNOWN = ".well-known"

_OUR_FAULT = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO}

_REFUSALS = {
    errno.ENOSPC: (507, "The disk is full."),
    errno.EDQUOT: (507, "The disk quota is used up."),
    errno.EFBIG: (507, "The file is larger than the disk's file system can hold."),
    errno.EACCES: (403, "The server may not write here."),
    errno.EPERM: (403, "The server may not write here."),
    errno.EROFS: (403, "The disk is read-only."),
}

# By kind: the bits of the mode by which everybody may read it, and what is asked of the system.
_READABLE = {stat.S_IFREG: (0o004, os.R_OK), stat.S_IFDIR: (0o005, os.R_OK | os.X_OK)}

Check = Callable[[Version | None], object]
"""Is told the version of the file that is there, None for none; raises ``NotStored`` to leave it alone."""


class NotStored(Exception):
    """Say why a file was not stored; ``status`` is the HTTP status that tells a client."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


class InvalidName(NotStored, ValueError):
    """Say why a name cannot be a file of the store."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"The name {name!r} cannot be a file: {reason}.", 400)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An open file of the store; whoever opened it closes ``file``. ``size`` is in bytes."""

    file: Span
    status: os.stat_result

    @property
    def size(self) -> int:
        """How many bytes it had when it was opened."""
        return self.status.st_size

    @property
    def version(self) -> Version:
        """What tells it from what may replace it."""
        return Version.of(self.status)


class Saved(NamedTuple):
    """What became of a file that was saved: whether it is new, or replaced one, and its version."""

    created: bool
    version: Version


class Entry(NamedTuple):
    """What a folder holds under a name: the size in bytes, the time of change in seconds since 1970."""

    name: str
    kind: Literal["file", "folder"]
    size: int
    modified: float
    link: bool = False
    """Whether it is a link to such a thing inside: it cannot be deleted, and may lead in a circle."""


class Store:
    """Keep files in one folder, which is created when the first file is saved.

    ``dotfiles`` shows names that begin with a dot, and lets them be written.
    """

    has_proc: ClassVar[bool] = sys.platform == "linux" and os.path.isdir("/proc/self/fd")
    """Whether the kernel tells where a descriptor leads, and gives a name to a file without one."""

    def __init__(self, directory: str | os.PathLike[str], *, dotfiles: bool = False) -> None:
        # Absolute, so that a later chdir does not move the store; not resolved, so that a folder
        # that is a link may be switched while we serve.
        self.directory = Path(directory).absolute()
        self.dotfiles = dotfiles
        self._prefix = f"{self.directory}/"

    def open(self, name: str) -> StoredFile:
        """Open the file ``name`` for reading.

        Raise ``FileNotFoundError`` for everything that is not a readable regular file inside.
        """
        with _one_outcome(name):
            self.check_name(name)
            return _open_regular(self._open_beneath(name, os.O_RDONLY))

    def is_folder(self, name: str) -> bool:
        """Whether ``name`` is a folder inside; '' is the store's own, which is there before it is created."""
        if not name:
            return True
        try:
            with _one_outcome(name):
                self.check_name(name)
                os.close(self._open_beneath(name, os.O_RDONLY | os.O_DIRECTORY))
        except FileNotFoundError:
            return False
        return True

    def entries(self, name: str = "") -> list[Entry]:
        """Return what the folder ``name`` holds, in no order: whatever can be opened, and nothing else.

        Raise ``FileNotFoundError`` for everything that is not a readable folder inside.
        """
        if not name and not self.directory.exists():
            return []
        with _one_outcome(name):
            if name:
                self.check_name(name)
            folder = self._open_beneath(name or ".", os.O_RDONLY | os.O_DIRECTORY)
            try:
                with os.scandir(folder) as entries:
                    return [known for entry in entries if (known := self._look_at(entry, folder, name))]
            finally:
                os.close(folder)

    def is_current(self, name: str, status: os.stat_result) -> bool:
        """Whether ``name`` still leads to the file of that status, unchanged, by one ``stat``.

        The content that was read from it may be given again then. Containment holds: the file was inside when
        it was opened, and inode, size and both times are those of then; a link that now leads elsewhere leads
        to another inode, and a file that was moved out has another time of status change.
        """
        try:
            now = os.stat(self._prefix + name)
        except (OSError, ValueError):
            return False
        return (
            now.st_ctime_ns == status.st_ctime_ns
            and now.st_mtime_ns == status.st_mtime_ns
            and now.st_ino == status.st_ino
            and now.st_size == status.st_size
            and now.st_dev == status.st_dev
        )

    def variants(self, name: str, status: os.stat_result) -> list[str]:
        """Return the codings in which there is the file ``name``, whose status is given: RFC 9110 §8.4.1.

        One that is older by the second is of another version, and left out.
        """
        found = []
        for coding, suffix in SUFFIXES.items():
            try:
                beside = os.stat(f"{self._prefix}{name}{suffix}")
            except (OSError, ValueError):
                continue
            if int(beside.st_mtime) >= int(status.st_mtime) and stat.S_ISREG(beside.st_mode):
                found.append(coding)
        return found

    def save(
        self,
        name: str,
        stream: SupportsRead[bytes],
        length: int | None = None,
        *,
        max_size: int | None = None,
        digests: Mapping[str, bytes] | None = None,
        check: Check = lambda version: None,
    ) -> Saved:
        """Store what ``stream`` gives as the file ``name``, all of it or nothing.

        ``length`` is the number of bytes announced, None if that is not known; ``max_size`` is the most that
        is taken; ``digests`` are those that the content must have, by the names of ``hashlib``. ``check`` is
        asked before the stream is read, and again when nobody else can publish in that folder.

        Raise ``InvalidName``, or ``NotStored`` for a body that is too long, not as long as announced or of
        another digest, a full disk, missing permission; what ``stream`` raises passes through.
        """
        self.check_name(name)
        if length is not None:
            _check_size(length, max_size)
        with _refusals(name), self._folder(name) as folder:
            leaf = name.rpartition("/")[2]

            def still_wanted() -> None:
                check(_target(folder, leaf, name))

            still_wanted()
            hashes = {kind: hashlib.new(kind) for kind in digests or ()}
            watch: list[Callable[[bytes], object]] = [made.update for made in hashes.values()]
            if max_size is not None:
                watch.append(_counter(max_size))
            with Draft(folder, unnamed=self.has_proc) as draft:
                _check_length(draft.write_all(stream, watch), length)
                for kind, wanted in (digests or {}).items():
                    _check_digest(kind, hashes[kind].digest(), wanted)
                return Saved(*draft.publish(leaf, still_wanted))

    def remove(self, name: str, *, check: Check = lambda version: None) -> None:
        """Delete the file ``name``, durably; ``check`` is asked before.

        Raise ``FileNotFoundError`` unless a regular file stands there; ``NotStored`` for missing permission.
        """
        leaf = name.rpartition("/")[2]
        with _refusals(name):
            try:
                self.check_name(name)
                folder = self._open_beneath(name.rpartition("/")[0] or ".", os.O_DIRECTORY)
            except (OSError, InvalidName) as error:
                raise _not_found(name, error) from None
            try:
                with locked(folder):
                    version = _version_or_none(folder, leaf)
                    check(version)
                    if version is None:
                        raise _not_found(name)
                    os.unlink(leaf, dir_fd=folder)
                os.fsync(folder)
            finally:
                os.close(folder)

    def make_folder(self, name: str) -> None:
        """Create the folder ``name``, durably, unless it is there.

        Raise ``InvalidName``, or ``NotStored`` for a full disk or missing permission.
        """
        self.check_name(name)
        with _refusals(name), self._folder(name) as folder:
            try:
                os.mkdir(name.rpartition("/")[2], dir_fd=folder)
            except FileExistsError:
                if not self.is_folder(name):
                    raise InvalidName(name, "something else has it") from None
            os.fsync(folder)

    def remove_folder(self, name: str) -> None:
        """Delete the folder ``name``, durably; raise ``NotStored`` unless it is empty.

        Raise ``FileNotFoundError`` unless a folder stands there that is no link.
        """
        parent, _, leaf = name.rpartition("/")
        with _refusals(name):
            try:
                self.check_name(name)
                folder = self._open_beneath(parent or ".", os.O_DIRECTORY)
                try:
                    os.rmdir(leaf, dir_fd=folder)
                    os.fsync(folder)
                finally:
                    os.close(folder)
            except (OSError, InvalidName) as error:
                if isinstance(error, OSError) and error.errno in _REFUSALS:
                    raise
                if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    raise NotStored("The folder is not empty.", 409) from None
                raise _not_found(name, error) from None

    def check_name(self, name: str) -> None:
        """Raise ``InvalidName`` for a name that cannot be a file, whatever the folder holds."""
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
                if not self.dotfiles and part != _WELL_KNOWN:
                    raise InvalidName(name, "names that begin with a dot are hidden here")
            if _DEVICE.fullmatch(part):
                raise InvalidName(name, "it is a device on some systems")

    def _open_beneath(self, name: str, flags: int) -> int:
        opened = open_beneath if self.has_proc else open_beneath_stepwise
        return opened(self.directory, name, flags)

    def _look_at(self, entry: os.DirEntry[str], folder: int, above: str) -> Entry | None:
        name = f"{above}/{entry.name}" if above else entry.name
        try:
            self.check_name(name)
            link = entry.is_symlink()
            if link:
                descriptor = self._open_beneath(name, os.O_RDONLY)
                try:
                    status = os.fstat(descriptor)
                finally:
                    os.close(descriptor)
            else:
                status = entry.stat(follow_symlinks=False)
            # What everybody may read, we may: the system is asked about the rest.
            wanted, access = _READABLE[stat.S_IFMT(status.st_mode)]
            if status.st_mode & wanted != wanted and not os.access(entry.name, access, dir_fd=folder):
                return None
        except (OSError, InvalidName, KeyError):
            return None
        if stat.S_ISDIR(status.st_mode):
            return Entry(entry.name, "folder", 0, status.st_mtime, link)
        return Entry(entry.name, "file", status.st_size, status.st_mtime, link)

    @contextlib.contextmanager
    def _folder(self, name: str) -> Iterator[int]:
        """Open the folder where ``name`` is to stand."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno in _REFUSALS:
                raise
            logger.error("the folder %s cannot be used: %s", self.directory, error.strerror)
            raise NotStored("The folder of this server cannot be used.", 500) from error
        parent = name.rpartition("/")[0]
        try:
            folder = self._open_beneath(parent or ".", os.O_DIRECTORY)
        except OSError as error:
            # One outcome: a link in ``parent`` may lead to where we must tell nothing.
            if parent and error.errno not in _OUR_FAULT:
                raise InvalidName(name, f"there is no folder {parent!r}") from None
            raise
        try:
            yield folder
        finally:
            os.close(folder)


@contextlib.contextmanager
def _one_outcome(name: str) -> Iterator[None]:
    """Make one error of all that is not there, cannot be there, or must not be seen."""
    try:
        yield
    except (OSError, InvalidName) as error:
        raise _not_found(name, error) from None


def _not_found(name: str, error: Exception | None = None) -> OSError:
    if isinstance(error, OSError) and error.errno in _OUR_FAULT:
        return error
    return FileNotFoundError(errno.ENOENT, "No such file in the store", name)


@contextlib.contextmanager
def _refusals(name: str) -> Iterator[None]:
    """Make ``NotStored`` of what the system says when it does not write."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InvalidName(name, "it is too long") from None
        if error.errno in _REFUSALS:
            status, reason = _REFUSALS[error.errno]
            raise NotStored(reason, status) from error
        raise


def _open_regular(descriptor: int) -> StoredFile:
    """Take over a descriptor; raise ``OSError`` unless it is a regular file's."""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError
        return StoredFile(Span(descriptor), status)
    except BaseException:
        os.close(descriptor)
        raise


def _target(folder: int, leaf: str, name: str) -> Version | None:
    """Return the version of what stands there; raise ``InvalidName`` if that is not a regular file."""
    try:
        status = os.stat(leaf, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise InvalidName(name, "it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise InvalidName(name, "it is a link or a device")
    return Version.of(status)


def _version_or_none(folder: int, leaf: str) -> Version | None:
    try:
        return _target(folder, leaf, leaf)
    except InvalidName:
        return None


def _counter(max_size: int) -> Callable[[bytes], None]:
    """Return a function that is told each chunk, and raises ``NotStored`` when they are too many bytes."""
    taken = 0

    def count(chunk: bytes) -> None:
        nonlocal taken
        taken += len(chunk)
        _check_size(taken, max_size)

    return count


def _check_size(length: int, max_size: int | None) -> None:
    if max_size is not None and length > max_size:
        raise NotStored(f"A file may have {max_size} bytes at most here.", 413)


def _check_length(length: int, announced: int | None) -> None:
    """Raise ``NotStored`` unless the body is as long as announced: RFC 9112 §8, incomplete."""
    if announced is not None and length != announced:
        raise NotStored(f"{announced} bytes were announced and {length} arrived.", 400)


def _check_digest(kind: str, digest: bytes, wanted: bytes) -> None:
    """RFC 9530 §2: what arrived is not what was sent."""
    if digest != wanted:
        raise NotStored(f"The {kind} digest of what arrived is another than the one announced.", 400)
