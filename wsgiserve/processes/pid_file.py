"""The files of ``--pid-file PATH``: PATH has the process id and nothing else, PATH.status how it stands.

The status is JSON, replaced as a whole whenever it changes: ``state`` (starting, serving, reloading,
stopping), the ``generation`` that serves, the ``latest`` that was tried and its ``outcome`` (serving, failed,
superseded, or empty while it starts) with the ``reason``, and the ``workers``. Nothing is written that was
not asked for.
"""

from __future__ import annotations

import json
import logging
import os
from typing import Any

logger = logging.getLogger("wsgiserve")

SUFFIX = ".status"


class Standing:
    """Write the two files; what cannot be written is logged once."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self._pid = os.getpid()
        self._written: dict[str, Any] = {}

    def begin(self) -> None:
        """Write the process id; OSError if that cannot be.

        Whose it was before is only logged: a process with that id may have nothing to do with us.
        """
        other = _running(self.path)
        if other not in (None, self._pid):
            logger.warning(
                "%s named the process %d, which still runs; now it names this one", self.path, other
            )
        _replace(self.path, f"{self._pid}\n")

    def tell(self, status: dict[str, Any]) -> None:
        """Write the status if it has changed."""
        if status == self._written:
            return
        self._written = status
        try:
            _replace(self.path + SUFFIX, json.dumps({"pid": self._pid, **status}, indent=1) + "\n")
        except OSError as error:
            logger.error("cannot write the status: %s", error)

    def end(self) -> None:
        """Remove them, unless another has written them since."""
        try:
            if read_pid(self.path) == self._pid:
                os.unlink(self.path)
        except (OSError, ValueError):
            pass  # Somebody else has removed it.
        try:
            if read_status(self.path).get("pid") == self._pid:
                os.unlink(self.path + SUFFIX)
        except OSError:
            pass


def _replace(path: str, text: str) -> None:
    draft = f"{path}.{os.getpid()}"
    with open(draft, "w") as file:
        file.write(text)
    os.replace(draft, path)


def _running(path: str) -> int | None:
    """Return the process that a pid file names, if there is one."""
    try:
        pid = read_pid(path)
        os.kill(pid, 0)
    except PermissionError:  # It runs, as another user.
        return pid
    except (OSError, ValueError, OverflowError):
        return None
    return pid


def read_pid(path: str) -> int:
    """Return the process id that a pid file names; OSError or ValueError if it names none."""
    with open(path) as file:
        pid = int(file.read())
    if pid <= 0:
        raise ValueError(f"{pid} is no process id")
    return pid


def read_status(path: str) -> dict[str, Any]:
    """Return the status beside a pid file, {} if there is none."""
    try:
        with open(path + SUFFIX) as file:
            return dict(json.load(file))
    except (OSError, ValueError):
        return {}
