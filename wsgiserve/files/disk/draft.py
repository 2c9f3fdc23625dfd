"""A file in the making: written where nobody sees it, then published whole, in one step.

* The bytes go to a file without a name (``O_TMPFILE``) in the folder where it will stand, so that
  publishing never copies, and a crash leaves nothing: the kernel frees a file that has neither
  name nor descriptor.
* ``link`` publishes a new name and fails if the name is taken. So of any number of writers, in
  any number of processes, exactly one creates it.
* ``rename`` replaces a name; a reader gets the old file or the new one. It needs a name to start
  from, so the draft carries a hidden one for that moment: always the same, since whoever publishes
  holds the folder's lock. A crash in that moment leaves it behind, and the next to publish there
  removes it. Where there are no unnamed files, a draft carries a name of its own from the beginning.
* The file is synced before it gets its name and the folder after: what was acknowledged survives
  a power cut.
* Its time of change is set to the nanosecond when it is published, so that two versions of equal size
  never have the same, however fast one follows the other.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wsgiserve.files.store import HIDDEN
from wsgiserve.files.validators import Version

if TYPE_CHECKING:
    from _typeshed import SupportsRead

_REPLACING = HIDDEN + "replacing"
_CHUNK = 256 * 1024
# open(2): the file system, or the kernel, does not know O_TMPFILE.
_NO_UNNAMED_FILES = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}
# flock(2): network file systems that do not know it, or not for a folder.
_NO_LOCKS = {errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}


class Draft:
    """Hold one file until it is published; leaving the ``with`` block before that drops it.

    ``folder`` is the descriptor of the folder where the file will stand; it remains the caller's.
    ``unnamed`` says whether there is ``/proc/self/fd``, through which a file without a name gets
    one.
    """

    def __init__(self, folder: int, *, unnamed: bool) -> None:
        self._folder = folder
        self._hidden: str | None = None
        self._file = os.fdopen(self._open_unnamed() if unnamed else self._open_hidden(), "wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            # A full disk refuses the buffered rest once more; the first refusal is the one to tell.
            with contextlib.suppress(OSError):
                self._file.close()
        finally:
            if self._hidden is not None:
                os.unlink(self._hidden, dir_fd=self._folder)

    def write_all(
        self, stream: SupportsRead[bytes], receive: Callable[[bytes], object] = lambda chunk: None
    ) -> None:
        """Copy ``stream`` to its end; ``receive`` is called with each chunk before it is written."""
        while chunk := stream.read(_CHUNK):
            receive(chunk)
            self._file.write(chunk)

    def publish(self, name: str, check: Callable[[], object] = lambda: None) -> tuple[bool, Version]:
        """Give the file its name, durably; return whether it is new, and its version.

        ``check`` is called while nobody else publishes in the folder, before the file is created, and again
        before one is replaced; what it raises drops the draft.
        """
        self._file.flush()
        now = time.time_ns()
        os.utime(self._file.fileno(), ns=(now, now))
        os.fsync(self._file.fileno())
        with locked(self._folder):
            created = self._give_name(name, check)
        os.fsync(self._folder)
        return created, Version.of(os.fstat(self._file.fileno()))

    def _give_name(self, name: str, check: Callable[[], object]) -> bool:
        check()
        try:
            self._link(name)
        except FileExistsError:
            check()  # Programs that know nothing of our lock may have created it just now.
            self._rename(name)
            return False
        return True

    def _open_unnamed(self) -> int:
        try:
            return os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o666, dir_fd=self._folder)
        except OSError as error:
            if error.errno not in _NO_UNNAMED_FILES:
                raise
            return self._open_hidden()

    def _open_hidden(self) -> int:
        hidden = HIDDEN + secrets.token_hex(8)
        descriptor = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666, dir_fd=self._folder)
        self._hidden = hidden
        return descriptor

    def _link(self, name: str) -> None:
        if self._hidden is None:
            source = f"/proc/self/fd/{self._file.fileno()}"
            # With a dir_fd Python calls linkat, with AT_SYMLINK_FOLLOW, as open(2) asks here.
            os.link(source, name, dst_dir_fd=self._folder, follow_symlinks=True)
        else:
            os.link(self._hidden, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def _rename(self, name: str) -> None:
        if self._hidden is None:
            self._link(_REPLACING)
            self._hidden = _REPLACING
        os.rename(self._hidden, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._hidden = None


@contextlib.contextmanager
def locked(folder: int) -> Iterator[None]:
    """Keep everybody else who asks for it from publishing in a folder, in whatever thread or process.

    Where the file system has no such locks, nothing is kept: ``link`` still creates a name only once.
    """
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_REPLACING, dir_fd=folder)  # What a crash left behind: see above.
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            # By word, not by closing: a child process may have the descriptor too.
            fcntl.flock(folder, fcntl.LOCK_UN)
