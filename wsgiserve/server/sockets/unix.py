"""Listening on Unix sockets: making one with its owner and mode, and removing it at the end.

Rules
- A file in the way is removed only if it is a socket and nobody answers on it.
- Mode and owner are set between ``bind`` and ``listen``: until then nobody can connect.
- At the end the name is removed only if it is still our socket, and only by the process that made it.
- Looking at a name, taking it and removing it are one step for other servers: the folder is locked meanwhile.
"""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from wsgiserve.config.binds import user_and_group
from wsgiserve.server.errors import ListenError
from wsgiserve.server.system import Socket

try:
    import fcntl
except ImportError:  # Windows, where Python has no Unix sockets either.
    fcntl = None  # type: ignore[assignment]  # used behind a Unix socket only

LOCK_SECONDS = 2.0  # a server holds the lock for a millisecond; anything else may hold it for long


class SocketFile:
    """The name of a socket in the file system, which outlives the socket unless it is removed.

    ``identity`` tells the file that this process made from a later one of the same name.
    """

    def __init__(self, path: str, identity: Iterable[int] = ()) -> None:
        self.path = path
        self.identity = tuple(identity) or _identity(path)
        self._maker = os.getpid()

    def remove(self) -> None:
        """Remove it, in the process that made it, unless another server has taken the name since."""
        if os.getpid() != self._maker:
            return
        with _locked(os.path.dirname(self.path)):
            self.discard()

    def discard(self) -> None:
        """Remove it with the folder locked."""
        try:
            if _identity(self.path) == self.identity:
                os.unlink(self.path)
        except OSError:
            pass  # It is gone, or the folder may not be written any more.


def listen(path: str, backlog: int, mode: str, owner: str) -> tuple[socket.socket, SocketFile]:
    """Listen on the absolute ``path``; raise OSError, or ListenError with a text for the user."""
    with _locked(os.path.dirname(path)):
        return _listen(path, backlog, mode, owner)


def _listen(path: str, backlog: int, mode: str, owner: str) -> tuple[socket.socket, SocketFile]:
    _clear_the_way(path)
    sock = Socket(socket.AF_UNIX, socket.SOCK_STREAM)
    file = None
    try:
        sock.bind(path)
        file = SocketFile(path)
        _hand_over(path, mode, owner)
        sock.listen(backlog)
    except OSError:
        sock.close()
        if file is not None:
            file.discard()
        raise
    return sock, file


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Lock a folder against other servers. The lock ends with this process, and is no file of its own.

    Where the lock cannot be had, as on some network file systems, the server goes on without it.
    """
    descriptor = _lock(folder)
    try:
        yield
    finally:
        if descriptor is not None:
            # Closing is not enough: a child that the app forked meanwhile may hold the descriptor.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


def _lock(folder: str) -> int | None:
    """Lock a folder; return the descriptor that holds the lock, None if there is none to be had."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # There is no folder, or we may only write there.
        return None
    give_up_at = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < give_up_at:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.002)
        except OSError:  # This file system has no locks.
            break
        else:
            return descriptor
    os.close(descriptor)
    return None


def listen_abstract(name: str, backlog: int) -> socket.socket:
    """Listen on an abstract name; it ends with the last process that has the socket."""
    sock = Socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(f"\0{name}")
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def reason(error: OSError, path: str) -> str:
    """Say in a line why a path cannot be listened on, with a remedy."""
    folder = os.path.dirname(path)
    if isinstance(error, ListenError):
        return str(error)
    if "too long" in str(error):  # Python's own, without a number
        return "the path is too long for a socket, which may have about 100 bytes; choose a shorter one"
    if isinstance(error, FileNotFoundError | NotADirectoryError) and not os.path.isdir(folder):
        return f"there is no folder {folder}; make it, or choose another one"
    if isinstance(error, PermissionError):
        return f"not permitted; the folder {folder} has to be writable for the user that the server runs as"
    return os.strerror(error.errno) if error.errno else str(error)


def _identity(path: str) -> tuple[int, ...]:
    """Return device, inode and time: the system may give the inode of a removed file to another."""
    status = os.lstat(path)
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _clear_the_way(path: str) -> None:
    """Remove a socket that a server left behind."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise ListenError("something that is no socket has this name; remove it or choose another path")
    with Socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except FileNotFoundError:
            return
        except OSError:
            pass  # A full backlog, a datagram socket, no permission: it is in use.
    raise ListenError("already in use; stop the other server or choose another path")


def _hand_over(path: str, mode: str, owner: str) -> None:
    if owner:
        try:
            os.chown(path, *user_and_group(owner))
        except PermissionError:
            raise ListenError(
                f"not permitted to give it to {owner}; only root may, or whoever is in the group to a group"
            ) from None
    if mode:
        os.chmod(path, int(mode, 8))
