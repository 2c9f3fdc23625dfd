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
import logging
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from wsgiserve.files.codings import SUFFIXES
from wsgiserve.files.disk.beneath import open_beneath, open_beneath_stepwise
from wsgiserve.files.disk.draft import Draft, locked
from wsgiserve.files.disk.errors import REFUSALS, SERVER_FAULTS, not_found, one_outcome, refusals
from wsgiserve.files.disk.stored_file import Span, StoredFile
from wsgiserve.files.store import Check, Entry, InvalidName, NotStored, Saved, Upload, check_name
from wsgiserve.files.validators import Version

if TYPE_CHECKING:
    from _typeshed import SupportsRead

logger = logging.getLogger("wsgiserve.files")

# By kind: the bits of the mode by which everybody may read it, and what is asked of the system.
_READABLE = {stat.S_IFREG: (0o004, os.R_OK), stat.S_IFDIR: (0o005, os.R_OK | os.X_OK)}


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
        with one_outcome(name):
            self.check_name(name)
            return _open_regular(self._open_beneath(name, os.O_RDONLY))

    def is_folder(self, name: str) -> bool:
        """Whether ``name`` is a folder inside; '' is the store's own, which is there before it is created."""
        if not name:
            return True
        try:
            with one_outcome(name):
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
        with one_outcome(name):
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
        upload = Upload(length, max_size, digests or {})
        with refusals(name), self._folder(name) as folder:
            leaf = name.rpartition("/")[2]

            def still_wanted() -> None:
                check(_target(folder, leaf, name))

            still_wanted()
            with Draft(folder, unnamed=self.has_proc) as draft:
                draft.write_all(stream, upload.receive)
                upload.finish()
                return Saved(*draft.publish(leaf, still_wanted))

    def remove(self, name: str, *, check: Check = lambda version: None) -> None:
        """Delete the file ``name``, durably; ``check`` is asked before.

        Raise ``FileNotFoundError`` unless a regular file stands there; ``NotStored`` for missing permission.
        """
        leaf = name.rpartition("/")[2]
        with refusals(name):
            try:
                self.check_name(name)
                folder = self._open_beneath(name.rpartition("/")[0] or ".", os.O_DIRECTORY)
            except (OSError, InvalidName) as error:
                raise not_found(name, error) from None
            try:
                with locked(folder):
                    version = _version_or_none(folder, leaf)
                    check(version)
                    if version is None:
                        raise not_found(name)
                    os.unlink(leaf, dir_fd=folder)
                os.fsync(folder)
            finally:
                os.close(folder)

    def make_folder(self, name: str) -> None:
        """Create the folder ``name``, durably, unless it is there.

        Raise ``InvalidName``, or ``NotStored`` for a full disk or missing permission.
        """
        self.check_name(name)
        with refusals(name), self._folder(name) as folder:
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
        with refusals(name):
            try:
                self.check_name(name)
                folder = self._open_beneath(parent or ".", os.O_DIRECTORY)
                try:
                    os.rmdir(leaf, dir_fd=folder)
                    os.fsync(folder)
                finally:
                    os.close(folder)
            except (OSError, InvalidName) as error:
                if isinstance(error, OSError) and error.errno in REFUSALS:
                    raise
                if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    raise NotStored("The folder is not empty.", 409) from None
                raise not_found(name, error) from None

    def check_name(self, name: str) -> None:
        """Raise ``InvalidName`` for a name that cannot be a file, whatever the folder holds."""
        check_name(name, dotfiles=self.dotfiles)

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
            if error.errno in REFUSALS:
                raise
            logger.error("the folder %s cannot be used: %s", self.directory, error.strerror)
            raise NotStored("The folder of this server cannot be used.", 500) from error
        parent = name.rpartition("/")[0]
        try:
            folder = self._open_beneath(parent or ".", os.O_DIRECTORY)
        except OSError as error:
            # One outcome: a link in ``parent`` may lead to where we must tell nothing.
            if parent and error.errno not in SERVER_FAULTS:
                raise InvalidName(name, f"there is no folder {parent!r}") from None
            raise
        try:
            yield folder
        finally:
            os.close(folder)


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
