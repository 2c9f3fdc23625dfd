"""The folder with the account, the certificates and the answers, which several servers may share.

::

    STORAGE/                       folders have mode 700, files 600
      acme-v02.api.letsencrypt.org-12ab34cd/     one CA
        lock                       held by the helper that talks to the CA
        account.json               our account: key and URL
        answers/                   see ``answers``
        shop.example-56ef78ab/     one set of domains
          certificate.pem          the key and the CA's certificates, in force
          order.json               an order that is not finished: its URL and key
          state.json               when to renew, and what failed; see ``schedule``

Rules
- A file is whole: it is written beside its place, and renamed. Key and certificate are one file, so that they
  change together.
- Nothing in here is needed twice: what a killed helper left is used, or written again.
- Whoever wants to change anything but a temporary file holds the lock. The system frees the lock of a process
  that ends.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOOK_SECONDS = 0.5  # between two looks at a lock that another server holds


def default_folder(environ: Mapping[str, str]) -> str:
    """Return the storage below the folder for a user's data (XDG); "" if there is no home."""
    home = environ.get("HOME") or environ.get("USERPROFILE") or ""
    data = environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data):  # The specification has others ignored.
        data = os.path.join(home, ".local", "share") if os.path.isabs(home) else ""
    return os.path.join(data, "wsgiserve", "acme") if data else ""


class Storage:
    """The part of ``folder`` for one CA, named by the URL of its directory, and one set of domains."""

    def __init__(self, folder: str, directory: str, domains: tuple[str, ...]) -> None:
        ca = os.path.join(
            os.path.abspath(folder), _folder_name(re.sub("^https?://", "", directory), directory)
        )
        names = sorted(domains)  # The order of --domain means nothing.
        own = os.path.join(ca, _folder_name(names[0], " ".join(names)))
        self.answers = os.path.join(ca, "answers")
        self.folder = own
        self._folders = (os.path.abspath(folder), ca, self.answers, own)
        self._lock = os.path.join(ca, "lock")
        self.account = os.path.join(ca, "account.json")
        self.certificate = os.path.join(own, "certificate.pem")
        self.order = os.path.join(own, "order.json")
        self.state = os.path.join(own, "state.json")

    def open(self) -> None:
        """Make the folders, readable for us alone; OSError if they cannot be written, or are not safe.

        The first one may have more in it, and a group that writes: if it is there already, it stays as it is.
        """
        os.makedirs(os.path.dirname(self._folders[0]), exist_ok=True)
        for folder in self._folders:
            os.makedirs(folder, 0o700, exist_ok=True)
            _require_safe(folder)
            if folder != self._folders[0] and os.name == "posix" and os.stat(folder).st_mode & 0o077:
                os.chmod(folder, 0o700)
        probe = os.path.join(self._folders[-1], f".{os.getpid()}.probe")
        _write(probe, b"")
        self.remove(probe)  # A server on another machine with our process id may have removed it.

    def publish(self, path: str, content: str | dict[str, Any]) -> None:
        """Put a file in its place, all at once; OSError if that fails."""
        text = content if isinstance(content, str) else json.dumps(content, indent=1) + "\n"
        draft = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}")
        try:
            _write(draft, text.encode())
            os.replace(draft, path)
        except OSError:
            self.remove(draft)
            raise
        _sync_folder(os.path.dirname(path))

    def read(self, path: str) -> dict[str, Any]:
        """Return the content of a JSON file; {} if it is not there, or not what we wrote."""
        try:
            content = json.loads(self.text(path))
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}

    def text(self, path: str) -> str:
        """Return the content of a file; "" if it is not there, or cannot be read."""
        try:
            with open(path, encoding="utf-8") as file:
                return file.read()
        except (OSError, ValueError):
            return ""

    def remove(self, path: str) -> None:
        """Remove a file that may not be there."""
        try:
            os.unlink(path)
        except OSError:
            pass  # It is gone, or stays: nothing depends on it.

    @contextmanager
    def locked(self, waiting: Callable[[float], object]) -> Iterator[None]:
        """Hold the lock; ``waiting`` is called with the seconds so far while another server has it."""
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            began = time.monotonic()
            while not _take(descriptor):
                waiting(time.monotonic() - began)
                time.sleep(LOOK_SECONDS)
            yield
        finally:
            os.close(descriptor)  # This frees the lock.


def _folder_name(text: str, identity: str) -> str:
    """Return a name for a folder that a person recognises, and that no other identity has."""
    plain = re.sub("[^a-z0-9.-]+", "_", text.lower().split("/")[0])[:100]
    return f"{plain}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def _require_safe(folder: str) -> None:
    """Raise PermissionError if another user could put something else in the place of our files."""
    if os.name != "posix":
        return
    status = os.stat(folder)
    if status.st_uid not in (0, os.geteuid()):
        text = f"it belongs to the user {status.st_uid}, and the server runs as {os.geteuid()}; use a folder"
        raise PermissionError(errno.EPERM, f"{text} of its own, or change the owner", folder)
    if status.st_mode & 0o002 and not status.st_mode & 0o1000:
        raise PermissionError(errno.EPERM, "every user can write to it; use chmod o-w", folder)


def _write(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _sync_folder(path: str) -> None:
    """Have a rename outlast a loss of power, where the system can do that."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # Not every file system knows it.
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    """Lock a file if nobody else has; False if somebody has."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
