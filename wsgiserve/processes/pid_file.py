"""The files of ``--pid-file PATH``: PATH contains the process id and nothing else, PATH.status the state.

The status file is JSON and is replaced as a whole whenever it changes: ``state`` (starting, serving,
reloading, stopping), the ``generation`` that serves, the ``latest`` one that was tried, its ``outcome``
(serving, failed, or empty while it starts) and the ``reason`` for a failure, the ``workers``, and where the
``ops`` endpoint listens.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from contextlib import suppress
from typing import Any

logger = logging.getLogger("wsgiserve")

SUFFIX = ".status"


class StatusFiles:
    """Writes the two files; a status that cannot be written is logged once, and tried again."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self._pid = os.getpid()
        self._written: dict[str, Any] = {}
        self._fails = False

    def begin(self) -> None:
        """Write the process id; OSError if that fails.

        If the file names another running process, this is only logged: process ids are used again.
        """
        other = _running(self.path)
        if other not in (None, self._pid):
            logger.warning(
                "%s named the process %d, which still runs; now it names this one", self.path, other
            )
        _replace(self.path, f"{self._pid}\n")

    def check(self) -> None:
        """Write nothing that stays; OSError if ``begin`` would fail."""
        draft = f"{self.path}.{self._pid}"
        with open(draft, "w"):
            pass
        os.unlink(draft)
        if os.path.isdir(self.path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))

    def write(self, status: dict[str, Any]) -> bool:
        """Have the file contain the status; return False if that failed."""
        if status == self._written:
            return True
        try:
            _replace(self.path + SUFFIX, json.dumps({"pid": self._pid, **status}, indent=1) + "\n")
        except OSError as error:
            if not self._fails:
                logger.error("cannot write the status, which is tried again: %s", error)
            self._fails = True
        else:
            self._written, self._fails = status, False
        return not self._fails

    def end(self) -> None:
        """Remove the files, unless another server has written them since."""
        try:
            if read_pid(self.path) == self._pid:
                os.unlink(self.path)
        except (OSError, ValueError):
            pass  # It was removed, or overwritten.
        try:
            if read_status(self.path).get("pid") == self._pid:
                os.unlink(self.path + SUFFIX)
        except OSError:
            pass


def _replace(path: str, text: str) -> None:
    draft = f"{path}.{os.getpid()}"
    try:
        with open(draft, "w") as file:
            file.write(text)
        os.replace(draft, path)
    except OSError:
        with suppress(OSError):
            os.unlink(draft)
        raise


def _running(path: str) -> int | None:
    """Return the process that a pid file names, if it runs."""
    try:
        pid = read_pid(path)
        os.kill(pid, 0)
    except PermissionError:  # It runs as another user.
        return pid
    except (OSError, ValueError, OverflowError):
        return None
    return pid


def read_pid(path: str) -> int:
    """Return the process id in a pid file; OSError or ValueError if there is none."""
    with open(path) as file:
        pid = int(file.read())
    if pid <= 0:
        raise ValueError(f"{pid} is no process id")
    return pid


def read_status(path: str) -> dict[str, Any]:
    """Return the content of the status file beside a pid file, {} if there is none."""
    try:
        with open(path + SUFFIX) as file:
            return dict(json.load(file))
    except (OSError, TypeError, ValueError):
        return {}
