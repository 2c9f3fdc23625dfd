"""Facts that a process of ours hands to a program that it starts, or that it becomes by ``exec``.

They are in one environment variable, with the process that wrote them. The reader takes them out before it
imports the app, and acts on them only if that process is its parent, or itself. So nobody can set them by
mistake; and a program that was started by a process which has gone does not begin to serve by itself.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from wsgiserve.server.console import EXIT_USAGE, complain, fail
from wsgiserve.server.errors import reason_of

T = TypeVar("T")

AGAIN_SECONDS = 0.5

# Not WSGISERVE_…: these are options.
VARIABLE = "_WSGISERVE_HANDOVER"

Kind = Literal["worker", "trial", "inheritance", "dev child"]


def environment(kind: Kind, facts: object) -> dict[str, str]:
    """Return the environment of a program that gets these facts."""
    content = {"writer": _identity(os.getpid()), "kind": kind, "facts": facts}
    return os.environ | {VARIABLE: json.dumps(content)}


def take(kind: Kind) -> Any:
    """Take the facts of this kind out of this process's environment; None if there are none."""
    content = _content()
    if content is None or content["kind"] != kind:
        return None
    del os.environ[VARIABLE]
    return content["facts"]


def insist(call: Callable[[], T], error: type[Exception]) -> T:
    """Call; in a program that this process became by ``exec``, again until it does not raise ``error``.

    Its trial has done the same a moment ago, so the reason will pass, such as a lack of descriptors. Workers
    serve, and would end with this process.
    """
    while True:
        try:
            return call()
        except (error, MemoryError) as reason:
            if not has_replaced():
                raise
            complain(f"wsgiserve: {reason_of(reason)}; this is tried again")
            time.sleep(AGAIN_SECONDS)


def has_replaced() -> bool:
    """Whether this program has taken another one's place, and has not taken its facts yet."""
    content = _content()
    return content is not None and content["kind"] == "inheritance"


def is_there() -> bool:
    """Whether a process of ours has started this one; end the program if another has set the variable."""
    return _content() is not None


def _content() -> dict[str, Any] | None:
    text = os.environ.get(VARIABLE)
    if text is None:
        return None
    try:
        content: dict[str, Any] = json.loads(text)
        # Between a process and its child there may be a launcher on Windows.
        ours = os.name == "nt" or any(_is(content["writer"], pid) for pid in (os.getppid(), os.getpid()))
    except (KeyError, TypeError, ValueError):
        ours = False
    if not ours:
        fail(f"{VARIABLE} is for wsgiserve's own processes; start without it", EXIT_USAGE)
    return content


def _is(writer: list[int], pid: int) -> bool:
    """Whether a process wrote the facts; a start time that could not be read fits any other."""
    writers_pid, writers_start = writer
    start = _identity(pid)[1]
    return pid == writers_pid and (start == writers_start or 0 in (start, writers_start))


def _identity(pid: int) -> list[int]:
    """Return the process id and, where the system tells, the start time: ids are used again."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return [pid, int(file.read().rpartition(b")")[2].split()[19])]
    except OSError:
        return [pid, 0]
