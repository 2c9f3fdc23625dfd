"""Errors of the operating system, translated into the errors of a store.

* A reader gets one outcome, ``FileNotFoundError``, for a file that is missing, invalid, outside or
  unreadable: the answer tells nothing about the rest of the disk.
* A writer gets ``NotStored`` with a reason.
* A fault of this server, such as no descriptors left, stays an ``OSError`` and becomes a 500.
* A shared folder that cannot be reached is ``Unavailable``, for both. The log says so, but not each time.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Iterator

from wsgiserve.files.seldom import Seldom
from wsgiserve.files.store import InvalidName, NotStored, Unavailable

logger = logging.getLogger("wsgiserve.files")
_lines = Seldom(10.0)  # about the same fault, in the log

# A file system by FUSE whose process has ended, or a file server that is down.
AWAY = {errno.ENOTCONN, errno.ESHUTDOWN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH}
SERVER_FAULTS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO} | AWAY

REFUSALS = {
    errno.ENOSPC: (507, "The disk is full."),
    errno.EDQUOT: (507, "The disk quota is used up."),
    errno.EFBIG: (507, "The file is larger than the disk's file system can hold."),
    errno.EACCES: (403, "The server may not write here."),
    errno.EPERM: (403, "The server may not write here."),
    errno.EROFS: (403, "The disk is read-only."),
    errno.ESTALE: (409, "Another server changes this at the same moment; send it again."),
}


@contextlib.contextmanager
def one_outcome(name: str) -> Iterator[None]:
    """Turn every failure to read ``name`` into ``FileNotFoundError``, except faults of this server."""
    try:
        yield
    except (OSError, InvalidName) as error:
        raise not_found(name, error) from None


def not_found(name: str, error: Exception | None = None) -> OSError | Unavailable:
    """Return the exception for a file that cannot be read; ``error`` is the failure itself."""
    if isinstance(error, OSError) and error.errno in AWAY:
        return _away(error)
    if isinstance(error, OSError) and error.errno in SERVER_FAULTS:
        return error
    return FileNotFoundError(errno.ENOENT, "No such file in the store", name)


@contextlib.contextmanager
def refusals(name: str) -> Iterator[None]:
    """Turn the system's refusal to write ``name`` into ``NotStored``."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InvalidName(name, "it is too long") from None
        if error.errno in REFUSALS:
            status, reason = REFUSALS[error.errno]
            raise NotStored(reason, status) from error
        if error.errno in AWAY:
            raise _away(error) from error
        raise


def _away(error: OSError) -> Unavailable:
    if _lines.is_due(error.errno):
        logger.error("the folder of files cannot be reached: %s", error)
    return Unavailable("The folder of this server cannot be reached now; try again later.", 503)
