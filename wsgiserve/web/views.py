"""Inspection of views: name, place in the source, parameters, annotations.

A view is inspected once, at registration, so that a view with wrong parameters is an error at start and not a
500 later. Only the annotations of parameters without a converter are read, because others may use names that
exist only for a type checker. An annotation that cannot be resolved is not an error, also where annotations
are evaluated lazily (PEP 649).
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from inspect import Parameter, Signature
from typing import Any

from wsgiserve.web.annotations import UNRESOLVED, evaluate

View = Callable[..., object]

_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_VARIABLE = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_LAZILY: dict[str, Any] = {}
if sys.version_info >= (3, 14):
    # PEP 649: reading a signature evaluates annotations. Names that do not exist become forward references.
    import annotationlib

    _LAZILY = {"annotation_format": annotationlib.Format.FORWARDREF}


def describe(view: object) -> str:
    """Return the name and the place of a view, as ``name (file:line)``."""
    name = getattr(view, "__qualname__", None) or repr(view)
    where = place(view)
    return f"{name} ({where[0]}:{where[1]})" if where else name


def place(view: object) -> tuple[str, int] | None:
    """Return the file and the line of a view; None if it is not written in Python."""
    code = getattr(function_of(view), "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code else None


def signature_of(view: View) -> Signature | None:
    """Return the signature of a view; None for a function in C that has none."""
    try:
        return inspect.signature(view, **_LAZILY)
    except ValueError:
        return None


def check(view: View, purpose: str, names: Iterable[str], form: str, positional: int = 1) -> None:
    """Raise TypeError unless the view accepts that many positional arguments and all of the names.

    The message begins with ``purpose``, such as ``rule '/users'``, and ends with ``form``, a correct
    signature.
    """
    check_result(view, purpose, form)
    arguments, named = [None] * positional, dict.fromkeys(names)
    signature, outer = signature_of(view), _signature_of_decorator(view)
    try:
        if outer is not None:
            outer.bind(*arguments, **named)
            if signature is not None and _hands_on(outer, named):
                signature.bind_partial(*arguments, **named)  # the decorator may supply the others
        elif signature is not None:
            signature.bind(*arguments, **named)
    except TypeError as error:
        raise TypeError(f"{purpose}: view {describe(view)}: {error}; write {form}") from None


def check_result(function: object, purpose: str, form: str, *, streams: bool = True) -> None:
    """Raise TypeError for what is not callable, or whose call would not run its code: one that is async.

    A generator function is one too, unless somebody iterates its result, as ``streams`` says.
    """
    if not callable(function):
        raise TypeError(f"{purpose}: {function!r} is not callable; write {form}")
    called = _called(function)
    if any(map(inspect.iscoroutinefunction, called)) or any(map(inspect.isasyncgenfunction, called)):
        raise TypeError(
            f"{purpose}: {describe(function)} is async, and WSGI is synchronous, so it would never run; "
            f"write {form}"
        )
    if not streams and any(map(inspect.isgeneratorfunction, called)):
        raise TypeError(
            f"{purpose}: {describe(function)} is a generator, and nobody would iterate it, so it would never "
            f"run; write {form} without yield"
        )


def never_ran(result: object) -> bool:
    """Whether the result of a call shows that its code did not run: a coroutine or a generator."""
    return inspect.isawaitable(result) or inspect.isasyncgen(result) or inspect.isgenerator(result)


def _called(function: object) -> list[object]:
    """Return what a call of ``function`` calls: inside partials and callable objects, but not decorators."""
    while isinstance(function, functools.partial):
        function = function.func
    if hasattr(function, "__wrapped__") and not hasattr(function, "__code__"):
        return [function, *_called(function.__wrapped__)]  # such as functools.cache
    if inspect.isroutine(function) or inspect.isclass(function):
        return [function]
    inner = type(function).__call__
    while isinstance(inner, functools.partial | functools.partialmethod):
        inner = inner.func
    return [function, inner]


def takes_request(view: View, names: Iterable[str], may_be: Callable[[object], bool]) -> bool:
    """Whether the first positional parameter of a view is the request, and not another input.

    ``may_be`` tells whether a parameter with an annotation can be the request.
    """
    signature = signature_of(view) if callable(view) else None
    if signature is None:
        return True
    first = _first(signature)
    outer = _signature_of_decorator(view)
    if outer is not None and (outermost := _first(outer)) and outermost.kind in _POSITIONAL:
        first = outermost
    if first is None:
        return False
    if first.kind in _POSITIONAL:
        if first.name == "request":
            return True
        free = first.name not in names and first.default is Parameter.empty
        return free and may_be(evaluate(first.annotation, namespace_of(view)))
    return first.kind is Parameter.VAR_POSITIONAL


def _first(signature: Signature) -> Parameter | None:
    return next(iter(signature.parameters.values()), None)


def _signature_of_decorator(view: View) -> Signature | None:
    """Return the signature of the outermost decorator that ``functools.wraps`` marked, if there is one."""
    if not hasattr(view, "__wrapped__"):
        return None
    try:
        return inspect.signature(view, follow_wrapped=False, **_LAZILY)
    except ValueError:
        return None


def _hands_on(outer: Signature, names: Iterable[str]) -> bool:
    """Whether a decorator passes on arguments by ``*args`` or ``**kwargs``, and does not take all by name."""
    names, known = {*names}, outer.parameters
    return any(each.kind in _VARIABLE for each in known.values()) and not (names and names <= known.keys())


def annotation(view: View, name: str) -> object:
    """Return a parameter's annotation, resolved; ``str`` if it has none, UNRESOLVED if that fails."""
    signature = signature_of(view)
    parameter = signature.parameters.get(name) if signature else None
    if parameter is None or parameter.annotation is Parameter.empty:
        return str
    found = evaluate(parameter.annotation, namespace_of(view))
    return UNRESOLVED if isinstance(found, str) else found


def namespace_of(view: View) -> dict[str, Any]:
    """Return the names that a view's annotations may use: its globals and its closure."""
    function = function_of(view)
    namespace = dict(getattr(function, "__globals__", {}))
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    for name, cell in zip(names, getattr(function, "__closure__", None) or (), strict=False):
        try:
            namespace[name] = cell.cell_contents
        except ValueError:  # not bound yet
            continue
    return namespace


def function_of(view: object) -> object:
    """Return the function inside decorators, partials and callable objects."""
    while isinstance(view, functools.partial):
        view = view.func
    view = inspect.unwrap(view) if callable(view) else view
    if hasattr(view, "__code__") or inspect.isclass(view):
        return view
    return getattr(type(view).__call__, "__func__", type(view).__call__) if callable(view) else view
