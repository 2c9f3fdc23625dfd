"""JSON text of Python values.

Besides the types of JSON: a dataclass becomes an object of its fields, an ``Enum`` its value, a date or time
its ISO 8601 text, and a ``UUID``, ``Decimal`` or path its text. They may be nested, and may be keys. A
``Struct`` becomes what msgspec makes of it. NaN, infinities, sets, which have no order, and all other types
are errors.
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
        try:
            text = _encode(value)
        except TypeError:  # perhaps for a key that is no JSON
            text = _encode(_with_text_keys(value))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    # JSON can write a lone surrogate only as \udxxx.
    return text.encode("utf-8", "backslashreplace")


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: getattr(value, name) for name in _field_names(type(value))}
    if hasattr(value, "__struct_fields__") and not isinstance(value, type):
        import msgspec  # an optional library, which made this class

        return msgspec.to_builtins(value, enc_hook=_plain, str_keys=True)
    for types, convert in _AS:
        if isinstance(value, types):
            return convert(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON")


def _with_text_keys(value: object) -> object:
    """Return a value whose dicts have as keys what their keys are as JSON values."""
    if isinstance(value, dict):
        known: dict[object, object] = {}
        for key, each in value.items():
            text = _key(key)
            if text in known:
                raise ValueError(f"two keys of a dict are {text!r} in JSON")
            known[text] = _with_text_keys(each)
        return known
    if isinstance(value, list | tuple):
        return [_with_text_keys(each) for each in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _with_text_keys(_plain(value))
    return value


def _key(key: object) -> object:
    """Return a key that JSON has, made of one that ``_plain`` can make text of."""
    return next((_key(convert(key)) for types, convert in _AS if isinstance(key, types)), key)


@cache
def _field_names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode
