"""Open files beneath a folder, and refuse links that lead out of it.

* The file is opened first, and its place is checked by its descriptor. A path that is checked first can be
  swapped before it is opened.
* Paths are compared by components: ``/srv/files-old`` is not beneath ``/srv/files``.
* Linux tells the path of a descriptor (``/proc``). Elsewhere the links are resolved first, and the result is
  opened component by component with ``O_NOFOLLOW``, so that a link which appears meanwhile is an error.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePath

# O_NONBLOCK: do not wait for the writer of a FIFO. O_NOCTTY: do not adopt a terminal.
_FLAGS = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def open_beneath(directory: Path, name: str, flags: int) -> int:
    """Open ``name`` in ``directory`` and return the descriptor; ``FileNotFoundError`` if outside.

    Needs ``/proc/self/fd``, see proc(5).
    """
    root = os.open(directory, os.O_DIRECTORY | os.O_PATH)
    try:
        descriptor = os.open(name, flags | _FLAGS, dir_fd=root)
        try:
            home = _components(root)
            if _components(descriptor)[: len(home)] != home:
                raise FileNotFoundError
        except BaseException:  # readlink fails for a path of more than 4,096 bytes
            os.close(descriptor)
            raise
        return descriptor
    finally:
        os.close(root)


def open_beneath_stepwise(directory: Path, name: str, flags: int) -> int:
    """Do the same without ``/proc``."""
    home = os.path.realpath(directory)
    place = PurePath(os.path.realpath(directory / name))
    if not place.is_relative_to(home):
        raise FileNotFoundError
    *parents, leaf = place.relative_to(home).parts or (".",)
    with contextlib.ExitStack() as steps:
        folder = os.open(home, os.O_DIRECTORY)
        steps.callback(os.close, folder)
        for parent in parents:
            folder = os.open(parent, os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            steps.callback(os.close, folder)
        return os.open(leaf, flags | _FLAGS | os.O_NOFOLLOW, dir_fd=folder)


def _components(descriptor: int) -> list[str]:
    return os.readlink(f"/proc/self/fd/{descriptor}").rstrip("/").split("/")
