"""Annotations as types: text and forward references are resolved, wrappers are removed.

Users write annotations for other tools too, so an annotation that cannot be resolved is not an error. It
becomes ``UNRESOLVED``.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any

UNRESOLVED = object()
"""Stands for a missing annotation, and for one that cannot be resolved."""

_WRAPPERS = (typing.Annotated, typing.ClassVar, typing.Final, typing.NotRequired, typing.Required)


def evaluate(annotation: object, namespace: Mapping[str, Any]) -> object:
    """Resolve an annotation that is text (PEP 563) or a forward reference; return any other as it is."""
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, dict(namespace))
    except Exception:  # noqa: BLE001 -- an annotation may hold any expression
        return UNRESOLVED


def plain(annotation: object) -> Any:
    """Remove wrappers that do not change the type of a value: Annotated, Final, NewType and others."""
    while True:
        if typing.get_origin(annotation) in _WRAPPERS:
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif annotation is None:
            return type(None)
        else:
            return annotation


def remarks(annotation: object) -> list[object]:
    """Return what ``Annotated`` says beside a type, also inside of other wrappers; the innermost first."""
    found: list[object] = []
    while True:
        if typing.get_origin(annotation) in _WRAPPERS:
            annotation, *beside = typing.get_args(annotation)
            found = [*beside, *found]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        else:
            return found


def alternatives(annotation: object) -> list[Any]:
    """Return the members of a union, or a list of the one type."""
    kind = plain(annotation)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [other for member in typing.get_args(kind) for other in alternatives(member)]
    return [kind]
