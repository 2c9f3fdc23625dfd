"""A process that the app forks: it ends where the app's code comes back to ours.

An app may fork in a view, in a hook, in a job or as it is imported, and forget to end the child. The child
has a copy of our call stack, but nothing that it would take to serve. So wherever we call the app, the child
ends as soon as the call returns or raises, as a Python program ends: exit code 0, that of ``sys.exit``, or 1
and a traceback. Its non-daemon threads finish, exit handlers run, and the standard streams are flushed.

Each module that holds descriptors closes them in the child itself (``os.register_at_fork``).
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from wsgiserve.tracebacks import theirs


@contextmanager
def ending_children() -> Iterator[None]:
    """Around code of the app: a child that is forked within this context ends where it would leave it."""
    parent = os.getpid()
    try:
        yield
    except BaseException as error:
        if os.getpid() != parent:
            end_child(error)
        raise
    if os.getpid() != parent:
        end_child()


def end_child(error: BaseException | None = None) -> NoReturn:
    """End this process, which the app has forked, because its code returned or raised ``error``.

    The fork may have happened on any thread, whose end would not be that of a Python program.
    """
    code = 1
    try:
        code = _exit_code(error)
        forget_children()
        threading._shutdown()  # type: ignore[attr-defined]  # as multiprocessing ends its forked children
        atexit._run_exitfuncs()
        for stream in (sys.stderr, sys.stdout):
            if stream is not None:
                stream.flush()
    finally:
        os._exit(code)


def _exit_code(error: BaseException | None) -> int:
    """Return the exit code of a program that ends with ``error``; print what Python would print."""
    if error is None:
        return 0
    if not isinstance(error, SystemExit):
        frames = theirs(error.__traceback__) or error.__traceback__
        sys.excepthook(type(error), error.with_traceback(frames), frames)
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1


def forget_children() -> None:
    """Keep the exit handler of ``multiprocessing`` from ending processes of the parent."""
    process = sys.modules.get("multiprocessing.process")
    children: set[Any] = getattr(process, "_children", set())
    for child in list(children):
        if child._parent_pid != os.getpid():
            children.discard(child)


def forget_finalizers() -> None:
    """Run no finalizer that exists now at the exit, such as one that removes a folder of the parent."""
    for finalizer in list(getattr(weakref.finalize, "_registry", ())):
        finalizer.atexit = False
