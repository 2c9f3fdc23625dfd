"""What is known of a view before it is called: its name, its place, what it takes.

A view is inspected once, at registration, so that a wrong one is an error at start and not a 500
later. Only the names of its parameters are read; annotations are never evaluated, since they may
name things that exist only for a type checker.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any

View = Callable[..., object]

_AS_WRITTEN: dict[str, Any] = {}
if sys.version_info >= (3, 14):
    # Since PEP 649 reading a signature evaluates annotations, unless asked for as text.
    import annotationlib

    _AS_WRITTEN = {"annotation_format": annotationlib.Format.STRING}


def describe(view: View) -> str:
    """Name a view and where it is written, as ``name (file:line)``."""
    name = getattr(view, "__qualname__", None) or repr(view)
    where = place(view)
    return f"{name} ({where[0]}:{where[1]})" if where else name


def place(view: View) -> tuple[str, int] | None:
    """Return the file and the line where a view is written, if it is written in Python."""
    code = getattr(inspect.unwrap(view), "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code else None


def check(view: View, purpose: str, names: Iterable[str], form: str, positional: int = 1) -> None:
    """Raise TypeError unless the view takes so many positional arguments and these names.

    ``purpose`` says in the message what the view is for, ``form`` how to write it.
    """
    if not callable(view):
        raise TypeError(f"{purpose}: {view!r} is not callable; write {form}")
    if inspect.iscoroutinefunction(view):
        raise TypeError(f"{purpose}: view {describe(view)} is async, and WSGI is synchronous; write {form}")
    try:
        signature = inspect.signature(view, **_AS_WRITTEN)
    except ValueError:  # a callable written in C may have no signature to read
        return
    try:
        signature.bind(*[None] * positional, **dict.fromkeys(names))
    except TypeError as error:
        raise TypeError(f"{purpose}: view {describe(view)}: {error}; write {form}") from None
