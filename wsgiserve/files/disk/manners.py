"""Find out how a file system behaves, by trying, before the first upload to it.

* Two drafts are published under the same hidden name, as uploads are, and the result is read. Without hard
  links this fails, and uploads are refused.
* Files without a name are used only on file systems that are known to be local. A mounted JuiceFS gives such
  a file its name, and loses it after it is closed. No trial can show that for certain, because ``close`` does
  not wait for FUSE.
* Writers lock their folder. On FUSE and most network file systems other machines do not see such a lock, and
  NFS has none. So on a file system that is not known to be local writers lock a hidden file.
* A fault that may pass, such as a full disk, is raised; the next upload tries again.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
from io import BytesIO
from typing import NamedTuple

from wsgiserve.files.disk.draft import Draft, Lock, locked, remove_lock
from wsgiserve.files.disk.errors import SERVER_FAULTS
from wsgiserve.files.store import HIDDEN, NotStored

logger = logging.getLogger("wsgiserve.files")

# Types of file systems that one machine writes at a time, in its own kernel; see filesystems(5).
_LOCAL = {
    "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fuseblk", "jfs", "overlay", "ramfs",
    "tmpfs", "vfat", "xfs", "zfs",
}  # fmt: skip
# flock(2): the errors of network file systems without locks, or without locks on folders.
_NO_LOCKS = {errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}
_PROBE = HIDDEN + "probe"
_MAY_PASS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES} | SERVER_FAULTS

NO_LINKS = (
    "The file system of this folder cannot publish a file in one step, because it has no hard links (FAT has "
    "none); use a folder on another one, or an object store by --store."
)
NO_LOCKS = (
    "The file system of this folder has no locks: it cannot replace or delete a certain version only, nor "
    "take a file in several requests."
)


class Manners(NamedTuple):
    """What works on a file system; see ``Draft``."""

    unnamed: bool
    lock: Lock


def find_out(folder: int, *, has_proc: bool) -> Manners:
    """Try what uploads to ``folder`` rely on; ``NotStored`` if they cannot work there."""
    lock = lock_of(folder, has_proc=has_proc)
    # Under the lock the name is always the same, so that the next trial removes what a crash left behind.
    name = _PROBE if lock else f"{_PROBE}-{secrets.token_hex(8)}"
    with locked(folder, lock):
        if has_proc and file_system(folder) in _LOCAL and lock and _publishes(folder, name, unnamed=True):
            return Manners(True, lock)
        with Draft(folder, unnamed=False):  # An error of this is about the folder, not about its file system.
            pass
        if _publishes(folder, name, unnamed=False):
            if lock is None:
                logger.warning("uploads with If-Match, and resumable ones, are refused: %s", NO_LOCKS)
            return Manners(False, lock)
        remove_lock(folder)
    logger.warning("uploads are refused: %s", NO_LINKS)
    raise NotStored(NO_LINKS, 501)


def lock_of(folder: int, *, has_proc: bool) -> Lock:
    """Return what to lock in ``folder``."""
    choices: tuple[Lock, ...] = (
        ("folder", "file") if not has_proc or file_system(folder) in _LOCAL else ("file",)
    )
    for choice in choices:
        try:
            with locked(folder, choice):
                return choice
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
    return None


def _publishes(folder: int, name: str, *, unnamed: bool) -> bool:
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        return all(
            _publish(folder, name, content, unnamed=unnamed) is (content == b"new")
            and _content(folder, name) == content
            for content in (b"new", b"replaced")
        )
    except OSError as error:
        if error.errno in _MAY_PASS:
            raise
        return False
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folder)


def _publish(folder: int, name: str, content: bytes, *, unnamed: bool) -> bool:
    with Draft(folder, unnamed=unnamed, lock=None) as draft:
        draft.write_all(BytesIO(content))
        return draft.publish(name)[0]


def _content(folder: int, name: str) -> bytes:
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder), "rb") as file:
        return file.read()


def file_system(folder: int) -> str:
    """Return the type of the folder's file system, "" if it is unknown."""
    # See proc_pid_fdinfo(5) and proc_pid_mountinfo(5).
    with open(f"/proc/self/fdinfo/{folder}") as facts:
        number = next((line.split()[1] for line in facts if line.startswith("mnt_id:")), "")
    with open("/proc/self/mountinfo", errors="surrogateescape") as mounts:
        for line in mounts:
            fields = line.split()
            if fields[0] == number:
                return fields[fields.index("-") + 1]
    return ""
