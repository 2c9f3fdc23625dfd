"""A file in the making: written where nobody sees it, then published whole, in one step.

* The bytes go to a file without a name (``O_TMPFILE``) in the folder where it will stand, so that
  publishing never copies, and a crash leaves nothing: the kernel frees a file that has neither
  name nor descriptor.
* ``link`` publishes a new name and fails if the name is taken. So of any number of writers, in
  any number of processes, exactly one creates it.
* ``rename`` replaces a name; a reader gets the old file or the new one. It needs a name to start
  from, so the draft carries a hidden one for that moment. Where there are no unnamed files, it
  carries it from the beginning.
* The file is synced before it gets its name and the folder after: what was acknowledged survives
  a power cut.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from types import TracebackType
from typing import IO, Self

HIDDEN = ".wsgiserve-"
"""How a draft's name begins, while it has one. The store neither reads nor writes such names."""

_CHUNK = 256 * 1024
# open(2): the file system, or the kernel, does not know O_TMPFILE.
_NO_UNNAMED_FILES = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}


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

    def write_all(self, stream: IO[bytes]) -> int:
        """Copy ``stream`` to its end, a chunk at a time; return the number of bytes."""
        shutil.copyfileobj(stream, self._file, _CHUNK)
        return self._file.tell()

    def publish(self, name: str) -> bool:
        """Give the file its name, durably; return True if it is new, False if it replaced one."""
        self._file.flush()
        os.fsync(self._file.fileno())
        try:
            self._link(name)
            created = True
        except FileExistsError:
            self._rename(name)
            created = False
        os.fsync(self._folder)
        return created

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
            hidden = HIDDEN + secrets.token_hex(8)
            self._link(hidden)
            self._hidden = hidden
        os.rename(self._hidden, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._hidden = None
