"""A store in a folder, which may be shared. It checks every name, for reading, listing, writing and deleting.

* A name is opened only beneath the folder, see ``beneath``. All further calls use the descriptor.
* Reading raises ``FileNotFoundError`` for every name that is not a readable file inside, so that the answer
  tells nothing about other files.
* Writing says why a name is refused. The reason depends only on the name and on the files inside.
* Symbolic links that stay inside are followed for reading and in the path to a folder. A name that is itself
  a link is not written.
* Names that begin with a dot do not exist, unless ``dotfiles`` is set.
* Before the first upload to a file system ``manners`` finds out what works there.
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
from wsgiserve.files.disk.draft import Draft, Lock, locked, remove_leftovers, sync_folder
from wsgiserve.files.disk.errors import REFUSALS, SERVER_FAULTS, not_found, one_outcome, refusals
from wsgiserve.files.disk.manners import Manners, find_out, lock_of
from wsgiserve.files.disk.stored_file import Span, StoredFile
from wsgiserve.files.disk.uploads import DiskUploads, check_version, target
from wsgiserve.files.store import Check, Entry, InvalidName, NotStored, Saved, Upload, Version, check_name
from wsgiserve.files.uploads import Uploads

if TYPE_CHECKING:
    from _typeshed import SupportsRead

logger = logging.getLogger("wsgiserve.files")

_SECOND = 1_000_000_000
_TRIES = 3  # to open a file that another server replaces at the same moment
# By kind: the mode bits that let everybody read it, and the question to os.access if they are not all set.
_READABLE = {stat.S_IFREG: (0o004, os.R_OK), stat.S_IFDIR: (0o005, os.R_OK | os.X_OK)}


class Store:
    """Keep files in one folder, which is created when the first file is saved.

    With ``dotfiles`` names that begin with a dot can be read and written. NotADirectoryError if ``directory``
    is something else.
    """

    has_proc: ClassVar[bool] = sys.platform == "linux" and os.path.isdir("/proc/self/fd")
    """Whether ``/proc`` tells the path of a descriptor, and lets a file without a name get one."""

    def __init__(self, directory: str | os.PathLike[str], *, dotfiles: bool = False) -> None:
        # Absolute, so that a later chdir does not move the store. Not resolved, so that a directory that is a
        # link can be switched while the store is in use.
        self.directory = Path(directory).absolute()
        if self.directory.exists() and not self.directory.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "A store needs a folder", str(directory))
        self.dotfiles = dotfiles
        self._prefix = f"{self.directory}/"
        self._manners: dict[int, Manners] = {}  # by the number of the file system; some may be mounted inside
        self.uploads: Uploads = DiskUploads(self.check_name, self._folder, self._manners_of)

    def open(self, name: str) -> StoredFile:
        """Open the file ``name`` for reading.

        Raise ``FileNotFoundError`` unless it is a readable regular file inside.
        """
        with one_outcome(name):
            self.check_name(name)
            return _open_regular(self._open_beneath(name, os.O_RDONLY))

    def is_folder(self, name: str) -> bool:
        """Whether ``name`` is a folder inside; '' is the store's own folder, which need not exist yet."""
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
        """Return the files and folders in the folder ``name`` that can be opened, in no order.

        Raise ``FileNotFoundError`` unless it is a readable folder inside.
        """
        return [known for entry, folder in self._scan(name) if (known := self._look_at(entry, folder, name))]

    def left_out(self, name: str = "") -> list[tuple[str, str]]:
        """Return (name, reason) of all that ``entries`` leaves out though nobody hid it.

        Hidden are names that begin with a dot, and links that lead outside. Devices are no files.
        """
        return [
            (entry.name, reason)
            for entry, folder in self._scan(name)
            if (reason := self._why_left_out(entry, folder, name))
        ]

    def is_current(self, name: str, status: os.stat_result) -> bool:
        """Whether ``name`` is still the file with that status, unchanged, by one ``stat``.

        This also shows that the file is still inside, as it was when it was opened: a link that was switched
        since then leads to another inode, and moving a file changes its ``st_ctime``.
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

    def variants(self, name: str, version: Version) -> list[str]:
        """Return the codings (RFC 9110 §8.4.1) in which the file ``name`` exists beside the original.

        ``version`` is that of the original. A coded file that is older, in whole seconds, belongs to another
        version and is left out.
        """
        found = []
        for coding, suffix in SUFFIXES.items():
            try:
                beside = os.stat(f"{self._prefix}{name}{suffix}")
            except (OSError, ValueError):
                continue
            newer = beside.st_mtime_ns // _SECOND >= version.modified_ns // _SECOND
            if newer and stat.S_ISREG(beside.st_mode):
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
        check: Check | None = None,
    ) -> Saved:
        """Store the bytes of ``stream`` as the file ``name``, all of them or none; see ``FileStore``.

        ``check`` is called before the stream is read, and again while the folder is locked.
        """
        self.check_name(name)
        upload = Upload(length, max_size, digests or {})
        with refusals(name), self._folder(name) as folder:
            leaf = name.rpartition("/")[2]
            manners = self._manners_of(folder)

            def check_target() -> None:
                check_version(check, target(folder, leaf, name), manners.lock)

            check_target()
            with Draft(folder, unnamed=manners.unnamed, lock=manners.lock) as draft:
                draft.write_all(stream, upload.receive)
                upload.finish()
                try:
                    return Saved(*draft.publish(leaf, check_target))
                except FileNotFoundError:
                    raise NotStored("The folder was deleted meanwhile.", 409) from None

    def remove(self, name: str, *, check: Check | None = None) -> None:
        """Delete the file ``name``, durably, after ``check``.

        Raise ``FileNotFoundError`` unless it is a regular file, ``NotStored`` for missing permission.
        """
        leaf = name.rpartition("/")[2]
        with refusals(name):
            try:
                self.check_name(name)
                folder = self._open_beneath(name.rpartition("/")[0] or ".", os.O_DIRECTORY)
            except (OSError, InvalidName) as error:
                raise not_found(name, error) from None
            try:
                lock = self._lock_of(folder) if check is not None else None
                with locked(folder, lock):
                    version = _version_or_none(folder, leaf)
                    check_version(check, version, lock)
                    if version is None:
                        raise not_found(name)
                    os.unlink(leaf, dir_fd=folder)
                sync_folder(folder)
            finally:
                os.close(folder)

    def make_folder(self, name: str) -> None:
        """Create the folder ``name``, durably, unless it exists.

        Raise ``InvalidName``, or ``NotStored`` for a full disk or missing permission.
        """
        self.check_name(name)
        with refusals(name), self._folder(name) as folder:
            try:
                os.mkdir(name.rpartition("/")[2], dir_fd=folder)
            except FileExistsError:
                if not self.is_folder(name):
                    raise InvalidName(name, "a file has that name") from None
            sync_folder(folder)

    def remove_folder(self, name: str) -> None:
        """Delete the folder ``name``, durably; raise ``NotStored`` unless it is empty.

        Raise ``FileNotFoundError`` unless it is a folder and not a link.
        """
        parent, _, leaf = name.rpartition("/")
        with refusals(name):
            try:
                self.check_name(name)
                folder = self._open_beneath(parent or ".", os.O_DIRECTORY)
                try:
                    self._remove_leftovers(name)
                    os.rmdir(leaf, dir_fd=folder)
                    sync_folder(folder)
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
        for _ in range(_TRIES - 1):
            try:
                return opened(self.directory, name, flags)
            except OSError as error:
                if error.errno != errno.ESTALE:
                    raise
        return opened(self.directory, name, flags)

    def _manners_of(self, folder: int) -> Manners:
        system = os.fstat(folder).st_dev
        if system not in self._manners:
            self._manners[system] = find_out(folder, has_proc=self.has_proc)
        return self._manners[system]

    def _lock_of(self, folder: int) -> Lock:
        """Return what to lock, without a trial, so that deletions also work on a full disk."""
        known = self._manners.get(os.fstat(folder).st_dev)
        return known.lock if known else lock_of(folder, has_proc=self.has_proc)

    def _remove_leftovers(self, name: str) -> None:
        with contextlib.suppress(OSError):  # Removing the folder fails in the same way, and says why.
            folder = self._open_beneath(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                remove_leftovers(folder)
            finally:
                os.close(folder)

    def _scan(self, name: str) -> Iterator[tuple[os.DirEntry[str], int]]:
        """Yield each entry of a folder, with the descriptor of the folder."""
        with one_outcome(name):
            if not name and not self.directory.exists():
                return
            if name:
                self.check_name(name)
            folder = self._open_beneath(name or ".", os.O_RDONLY | os.O_DIRECTORY)
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        yield entry, folder
            finally:
                os.close(folder)

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
            if not _may_read(entry, status, folder):
                return None
        except (OSError, InvalidName, KeyError) as error:
            if isinstance(error, OSError) and error.errno in SERVER_FAULTS:
                raise
            return None
        if stat.S_ISDIR(status.st_mode):
            return Entry(entry.name, "folder", 0, status.st_mtime, link)
        return Entry(entry.name, "file", status.st_size, status.st_mtime, link)

    def _why_left_out(self, entry: os.DirEntry[str], folder: int, above: str) -> str | None:
        if entry.name.startswith(".") or entry.is_symlink():
            return None
        try:
            self.check_name(f"{above}/{entry.name}" if above else entry.name)
            readable = _may_read(entry, entry.stat(follow_symlinks=False), folder)
        except InvalidName as error:
            return error.reason
        except (OSError, KeyError):
            return None
        return None if readable else "it may not be read by the server"

    @contextlib.contextmanager
    def _folder(self, name: str) -> Iterator[int]:
        """Open the folder that holds ``name``, or will hold it."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno in REFUSALS or error.errno in SERVER_FAULTS:
                raise
            logger.error("the folder %s cannot be used: %s", self.directory, error.strerror)
            raise NotStored("The folder of this server cannot be used.", 500) from error
        parent = name.rpartition("/")[0]
        try:
            folder = self._open_beneath(parent or ".", os.O_DIRECTORY)
        except OSError as error:
            # The same for a folder that exists outside: a link in ``parent`` may lead there.
            if parent and error.errno not in SERVER_FAULTS:
                raise InvalidName(name, f"there is no folder {parent!r}") from None
            raise
        try:
            yield folder
        finally:
            os.close(folder)


def _may_read(entry: os.DirEntry[str], status: os.stat_result, folder: int) -> bool:
    """Whether a file or folder may be read; KeyError for anything else."""
    wanted, access = _READABLE[stat.S_IFMT(status.st_mode)]
    # No need to ask the system about a file that everybody may read.
    return status.st_mode & wanted == wanted or os.access(entry.name, access, dir_fd=folder)


def _open_regular(descriptor: int) -> StoredFile:
    """Take over the descriptor of a regular file; close any other and raise ``OSError``."""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError
        return StoredFile(Span(descriptor), status)
    except BaseException:
        os.close(descriptor)
        raise


def _version_or_none(folder: int, leaf: str) -> Version | None:
    try:
        return target(folder, leaf, leaf)
    except InvalidName:
        return None
