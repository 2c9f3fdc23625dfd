"""Values made JSON, and what of Python is a value there.

Besides what JSON has itself: a dataclass is an object of its fields, an ``Enum`` its value, a date or time
its ISO 8601 text, and ``UUID``, ``Decimal`` and paths are their text. All may stand inside each other.
NaN and infinities are not JSON, and sets have no order: these, and every other type, are errors.
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
    """Give the JSON text of a value, in UTF-8 and without spaces; TypeError or ValueError for no value."""
    try:
        text = _encode(value)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    # Lone surrogates come out as \udxxx, which is their form in JSON.
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
