"""JSON text of Python values.

Besides the types of JSON: a dataclass becomes an object of its fields, an ``Enum`` its value, a date or time
its ISO 8601 text, and a ``UUID``, ``Decimal`` or path its text. They may be nested. NaN, infinities, sets,
which have no order, and all other types are errors.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from enum import Enum
from functools import cache
from pathlib import PurePath
from typing import Any
from uuid import UUID

_AS: tuple[tuple[type | tuple[type, ...], Callable[[Any], object]], ...] = (
    ((date, time), lambda value: value.isoformat()),
    ((UUID, Decimal, PurePath), str),
    (Enum, lambda value: value.value),
)


def encode_json(value: object) -> bytes:
    """Return a value as JSON, in UTF-8 and without spaces; TypeError or ValueError if it has no JSON."""
    try:
        text = _encode(value)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    # JSON can write a lone surrogate only as \udxxx.
    return text.encode("utf-8", "backslashreplace")


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: getattr(value, name) for name in _field_names(type(value))}
    for types, convert in _AS:
        if isinstance(value, types):
            return convert(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON")


@cache
def _field_names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode
