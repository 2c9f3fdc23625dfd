"""Open what lies beneath a folder, and nothing that a link leads to elsewhere.

* What counts is where the *opened* file is. A path that is checked and then opened can be swapped
  in between; a descriptor cannot.
* Paths are compared by their components, never as strings: ``/srv/files-old`` is not beneath
  ``/srv/files``.
* Linux tells where a descriptor leads. Elsewhere the links are resolved first, and the result is
  opened step by step with ``O_NOFOLLOW``: a link put there meanwhile is an error, not a way out.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePath

# O_NONBLOCK: a FIFO without a writer must not hold us. O_NOCTTY: nor a terminal become ours.
_FLAGS = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def open_beneath(directory: Path, name: str, flags: int) -> int:
    """Open ``name`` in ``directory`` and return the descriptor; ``FileNotFoundError`` if outside.

    Needs ``/proc``: proc(5), ``/proc/[pid]/fd``.
    """
    root = os.open(directory, os.O_DIRECTORY | os.O_PATH)
    try:
        descriptor = os.open(name, flags | _FLAGS, dir_fd=root)
        home = _components(root)
        if _components(descriptor)[: len(home)] == home:
            return descriptor
        os.close(descriptor)
        raise FileNotFoundError
    finally:
        os.close(root)


def open_beneath_stepwise(directory: Path, name: str, flags: int) -> int:
    """Do the same on a system that does not tell where a descriptor leads."""
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
