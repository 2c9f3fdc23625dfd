"""A draft: a new file that is written out of sight and then published whole, in one step.

* The bytes go to a file without a name (``O_TMPFILE``) in the target folder. So publishing never copies, and
  a crash leaves nothing behind: the kernel frees a file without name and descriptor.
* ``link`` gives the file a new name, and fails if the name is taken. So of any number of writers, in any
  number of processes, exactly one creates the name.
* ``rename`` replaces an existing name, so that a reader gets the old file or the new one. ``rename`` needs a
  first name, so for a moment the draft has a hidden one, always the same: whoever publishes holds the lock of
  the folder. If a crash leaves the hidden name behind, the next writer removes it.
* Where files without a name do not work, a draft has a hidden name of its own from the beginning.
* ``manners`` finds out which of the two works, and what to lock.
* The file is synced before it gets its name, and the folder afterwards. So a file that was acknowledged
  survives a power cut.
* Publishing sets the time of change, in nanoseconds. So two versions of equal size differ in their time,
  however fast one follows the other.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal, Self

from wsgiserve.files.store import HIDDEN, Version

if TYPE_CHECKING:
    from _typeshed import SupportsRead

Lock = Literal["folder", "file"] | None
"""What writers lock: the folder; or a hidden file in it, where servers do not see each other's locks of
folders; or nothing, where there are no locks."""

_REPLACING = HIDDEN + "replacing"
_LOCK = HIDDEN + "lock"
_CHUNK = 256 * 1024
_PAUSE = 0.02  # seconds between two looks at a lock; flock(2) itself waits without an end
_A_DAY = 24 * 60 * 60
# fsync(2): the errors of a file system that cannot sync a folder.
_NO_SYNC = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}


class Draft:
    """A draft; leaving the ``with`` block drops it unless it was published.

    ``folder`` is the descriptor of the target folder; the caller closes it. ``unnamed`` asks for a file
    without a name. That takes ``/proc/self/fd``, to give it a name later, and a lock: ``lock``, or one that
    the caller holds.
    """

    def __init__(self, folder: int, *, unnamed: bool, lock: Lock = "folder") -> None:
        self._folder = folder
        self._lock = lock
        self._hidden: str | None = None
        self._file = os.fdopen(self._open_unnamed() if unnamed else self._open_hidden(), "wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            # On a full disk closing fails like the write before it, whose error is the one to raise.
            with contextlib.suppress(OSError):
                self._file.close()
        finally:
            if self._hidden is not None:
                with contextlib.suppress(FileNotFoundError):  # Somebody has deleted the folder.
                    os.unlink(self._hidden, dir_fd=self._folder)

    def write_all(
        self, stream: SupportsRead[bytes], receive: Callable[[bytes], object] = lambda chunk: None
    ) -> None:
        """Copy ``stream`` to its end; ``receive`` is called with each chunk before it is written."""
        while chunk := stream.read(_CHUNK):
            receive(chunk)
            self._file.write(chunk)

    def publish(self, name: str, check: Callable[[], object] = lambda: None) -> tuple[bool, Version]:
        """Give the file its name, durably; return whether the name is new, and the version of the file.

        ``check`` is called while the folder is locked, before the name is created and again before it is
        replaced. An exception of ``check`` drops the draft.
        """
        self._file.flush()
        now = time.time_ns()
        os.utime(self._file.fileno(), ns=(now, now))
        os.fsync(self._file.fileno())
        with locked(self._folder, self._lock):
            created = give_name(name, check, self._link, self._rename)
        sync_folder(self._folder)
        return created, Version.of(os.fstat(self._file.fileno()))

    def _open_unnamed(self) -> int:
        return os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o666, dir_fd=self._folder)

    def _open_hidden(self) -> int:
        hidden = HIDDEN + secrets.token_hex(8)
        descriptor = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666, dir_fd=self._folder)
        self._hidden = hidden
        return descriptor

    def _link(self, name: str) -> None:
        if self._hidden is None:
            source = f"/proc/self/fd/{self._file.fileno()}"
            # With a dir_fd Python calls linkat with AT_SYMLINK_FOLLOW, as open(2) requires for O_TMPFILE.
            os.link(source, name, dst_dir_fd=self._folder, follow_symlinks=True)
        else:
            os.link(self._hidden, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def _rename(self, name: str) -> None:
        if self._hidden is None:
            self._link(_REPLACING)
            self._hidden = _REPLACING
        os.rename(self._hidden, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._hidden = None


def give_name(
    name: str,
    check: Callable[[], object],
    link: Callable[[str], object],
    rename: Callable[[str], object],
) -> bool:
    """Create ``name`` by ``link``, or replace it by ``rename``; return whether it is new.

    ``check`` is called before each. The caller holds the lock of the folder.
    """
    check()
    try:
        link(name)
    except FileExistsError:
        check()  # A program that ignores the lock may have created the name just now.
        rename(name)
        return False
    return True


@contextlib.contextmanager
def locked(folder: int, lock: Lock = "folder") -> Iterator[None]:
    """Lock a folder against other writers of a store, in any thread and process; OSError if that fails."""
    with contextlib.ExitStack() as opened:
        descriptor = folder
        if lock == "file":
            # Open for writing too: else NFS grants no exclusive lock.
            flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(_LOCK, flags, 0o666, dir_fd=folder)
            opened.callback(os.close, descriptor)
        if lock is not None:
            opened.enter_context(exclusive(descriptor))
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_REPLACING, dir_fd=folder)  # A crash left it behind, see above.
        yield


@contextlib.contextmanager
def exclusive(descriptor: int, *, patience: float = math.inf) -> Iterator[None]:
    """Lock an open file or folder; BlockingIOError if another holds it for so many seconds more."""
    if patience == math.inf:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    else:
        _lock_within(patience, descriptor)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            # Explicitly: closing the descriptor keeps the lock if a child process has it too.
            fcntl.flock(descriptor, fcntl.LOCK_UN)


def _lock_within(seconds: float, descriptor: int) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE)


def sync_folder(folder: int) -> None:
    """Have the names in a folder outlast a power cut, where the file system can do that."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def remove_lock(folder: int) -> None:
    """Remove the file that writers lock, where there cannot be writers."""
    with contextlib.suppress(OSError):
        os.unlink(_LOCK, dir_fd=folder)


def remove_leftovers(folder: int) -> None:
    """Remove the lock, and drafts that a crash left behind, from a folder that holds nothing else."""
    names = os.listdir(folder)
    if all(name in (_LOCK, _REPLACING) or _is_old_draft(folder, name) for name in names):
        for name in names:
            os.unlink(name, dir_fd=folder)


def _is_old_draft(folder: int, name: str) -> bool:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return name.startswith(HIDDEN) and stat.S_ISREG(status.st_mode) and status.st_mtime < time.time() - _A_DAY
