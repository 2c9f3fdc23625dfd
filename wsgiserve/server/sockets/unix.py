"""Listening on Unix sockets: making one with its owner and mode, and removing it at the end.

Rules
- A file in the way is removed only if it is a socket and nobody answers on it.
- Mode and owner are set between ``bind`` and ``listen``: until then nobody can connect.
- At the end the name is removed only if it is still our socket, and only by the process that made it.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterable

from wsgiserve.config.binds import user_and_group
from wsgiserve.server.errors import ListenError
from wsgiserve.server.system import Socket


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
        try:
            if _identity(self.path) == self.identity:
                os.unlink(self.path)
        except OSError:
            pass  # It is gone, or the folder may not be written any more.


def listen(path: str, backlog: int, mode: str, owner: str) -> tuple[socket.socket, SocketFile]:
    """Listen on ``path``; raise OSError, or ListenError with a text for the user."""
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
            file.remove()
        raise
    return sock, file


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
