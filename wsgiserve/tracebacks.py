"""Tracebacks for the user: from the first frame of their code on, without ours above it."""

from __future__ import annotations

import importlib
import os
import tokenize  # noqa: F401 - the first traceback imports it, and an app may have spoiled sys.path by then
import traceback
from types import TracebackType

# Files of this package, and of Python's import system.
_SKIPPED = (os.path.dirname(os.path.abspath(__file__)) + os.sep, "<frozen importlib", importlib.__file__)


def theirs(frames: TracebackType | None) -> TracebackType | None:
    """Drop our leading frames and those of an import; None if no frame is left."""
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_SKIPPED):
        frames = frames.tb_next
    return frames


def text(error: BaseException) -> str:
    """Format an error and the user's part of its traceback, as Python would print it."""
    lines = traceback.format_exception(type(error), error, theirs(error.__traceback__))
    return "".join(lines).rstrip("\n")
