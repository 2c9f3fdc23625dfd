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
        """Write the process id; OSError if that cannot be."""
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
            with open(self.path) as file:
                if file.read().strip() != str(self._pid):
                    return
            os.unlink(self.path)
            os.unlink(self.path + SUFFIX)
        except OSError:
            pass  # Somebody else has removed them.


def _replace(path: str, text: str) -> None:
    draft = f"{path}.{os.getpid()}"
    with open(draft, "w") as file:
        file.write(text)
    os.replace(draft, path)


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
