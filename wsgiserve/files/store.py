"""The store: every check of a path happens here, for reading and for writing.

* A name is opened only beneath the folder, see ``beneath``; whatever else is asked, is asked of the
  descriptor that this gives.
* Reading has one outcome for everything that is not a readable file inside: the answer does not
  tell what else there is. Only a fault of ours (no descriptors left, a broken disk) is told
  apart.
* Writing says what is wrong with the name; what it says depends on the name and on what is
  inside, nothing else.
* Symbolic links that stay inside are followed to be read and to find the folder; a name that is a
  link is not written.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import logging
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

from wsgiserve.files.beneath import open_beneath, open_beneath_stepwise
from wsgiserve.files.draft import HIDDEN, Draft

logger = logging.getLogger("wsgiserve.files")

# NUL and other controls, the other system's separator, and what decoders put for bytes that are
# not UTF-8: with U+FFFD many names would become one.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff\ufffd]")

_OUR_FAULT = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO}

_REFUSALS = {
    errno.ENOSPC: (507, "The disk is full."),
    errno.EDQUOT: (507, "The disk quota is used up."),
    errno.EFBIG: (507, "The file is larger than the disk's file system can hold."),
    errno.EACCES: (403, "The server may not write here."),
    errno.EPERM: (403, "The server may not write here."),
    errno.EROFS: (403, "The disk is read-only."),
}


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

    file: io.FileIO
    size: int


class Store:
    """Keep files in one folder, which is created when the first file is saved."""

    has_proc: ClassVar[bool] = sys.platform == "linux" and os.path.isdir("/proc/self/fd")
    """Whether the kernel tells where a descriptor leads, and gives a name to a file without one."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        # Absolute, so that a later chdir does not move the store; not resolved, so that a folder
        # that is a link may be switched while we serve.
        self.directory = Path(directory).absolute()

    def open(self, name: str) -> StoredFile:
        """Open the file ``name`` for reading.

        Raise ``FileNotFoundError`` for everything that is not a readable regular file inside.
        """
        try:
            check_name(name)
            return open_regular(name, self._open_beneath)
        except (OSError, InvalidName) as error:
            if isinstance(error, OSError) and error.errno in _OUR_FAULT:
                raise
            raise FileNotFoundError(errno.ENOENT, "No such file in the store", name) from None

    def save(self, name: str, stream: IO[bytes], length: int | None = None) -> bool:
        """Store what ``stream`` gives as the file ``name``, all of it or nothing.

        ``length`` is the number of bytes announced, None if that is not known. Return True if the
        file is new, False if it replaced one. Raise ``InvalidName``, or ``NotStored`` for a body
        that is not as long as announced, a full disk, missing permission; what ``stream`` raises
        passes through.
        """
        check_name(name)
        try:
            with self._folder(name) as folder:
                leaf = name.rpartition("/")[2]
                check_target(folder, leaf, name)
                with Draft(folder, unnamed=self.has_proc) as draft:
                    check_length(draft.write_all(stream), length)
                    return draft.publish(leaf)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise InvalidName(name, "it is too long") from None
            if error.errno in _REFUSALS:
                status, reason = _REFUSALS[error.errno]
                raise NotStored(reason, status) from error
            raise

    def _open_beneath(self, name: str, flags: int) -> int:
        opened = open_beneath if self.has_proc else open_beneath_stepwise
        return opened(self.directory, name, flags)

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


def open_regular(name: str, opener: Callable[[str, int], int]) -> StoredFile:
    """Open ``name`` through ``opener``; raise ``OSError`` unless it is a regular file."""
    with contextlib.ExitStack() as on_error:
        file = on_error.enter_context(builtins.open(name, "rb", buffering=0, opener=opener))
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError
        on_error.pop_all()
        return StoredFile(file, status.st_size)


def check_name(name: str) -> None:
    """Raise ``InvalidName`` for a name that cannot be a file, whatever the folder holds."""
    if not name:
        raise InvalidName(name, "it is empty")
    if _FORBIDDEN.search(name):
        raise InvalidName(name, "it has a control character, a backslash, or is not UTF-8")
    for part in name.split("/"):
        if part in ("", ".", ".."):
            raise InvalidName(name, "it has a part that is empty, '.' or '..'")
        if part.startswith(HIDDEN):
            raise InvalidName(name, f"names that begin with {HIDDEN!r} are taken")


def check_target(folder: int, leaf: str, name: str) -> None:
    """Raise ``InvalidName`` if something stands there that is not a regular file."""
    try:
        mode = os.stat(leaf, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise InvalidName(name, "it is a folder")
    if not stat.S_ISREG(mode):
        raise InvalidName(name, "it is a link or a device")


def check_length(length: int, announced: int | None) -> None:
    """Raise ``NotStored`` unless the body is as long as announced: RFC 9112 §8, incomplete."""
    if announced is not None and length != announced:
        raise NotStored(f"{announced} bytes were announced and {length} arrived.", 400)
