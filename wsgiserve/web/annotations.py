"""Annotations as values: text and forward references resolved, wrappers taken off.

An annotation is written for other readers, so one that cannot be resolved is no error, but ``UNRESOLVED``.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any

UNRESOLVED = object()
"""What stands for an annotation that is not there, or leads nowhere."""

_WRAPPERS = (typing.Annotated, typing.ClassVar, typing.Final, typing.NotRequired, typing.Required)


def evaluate(annotation: object, namespace: Mapping[str, Any]) -> object:
    """Resolve an annotation that is text (PEP 563) or a forward reference; return any other as it is."""
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, dict(namespace))
    except Exception:  # noqa: BLE001 -- whatever it is, it is only an annotation
        return UNRESOLVED


def plain(annotation: object) -> Any:
    """Take away what says nothing about the value: Annotated and its like, NewType."""
    while True:
        if typing.get_origin(annotation) in _WRAPPERS:
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif annotation is None:
            return type(None)
        else:
            return annotation


def alternatives(annotation: object) -> list[Any]:
    """Give the members of a union, or the one type that it is."""
    kind = plain(annotation)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [other for member in typing.get_args(kind) for other in alternatives(member)]
    return [kind]
