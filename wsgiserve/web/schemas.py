"""JSON Schema from annotations: the JSON of a value, as far as its type tells.

A dataclass, a ``TypedDict``, an ``Enum`` or a ``type`` statement becomes a named component, and other schemas
refer to it by name, so it may contain itself. A type that cannot be resolved, or has no JSON, gets the schema
``{}``: any value. No annotation is an error.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import inspect
import re
import sys
import types
import typing
import uuid
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from pathlib import PurePath
from typing import Any

from wsgiserve.web.annotations import UNRESOLVED, alternatives, evaluate, plain

Schema = dict[str, Any]

_PLAIN: Mapping[object, Schema] = {
    type(None): {"type": "null"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    datetime.datetime: {"type": "string", "format": "date-time"},
    datetime.date: {"type": "string", "format": "date"},
    datetime.time: {"type": "string", "format": "time"},
    uuid.UUID: {"type": "string", "format": "uuid"},
    PurePath: {"type": "string"},
    Decimal: {"type": "string"},
}
_ALIAS: type | tuple[()] = getattr(typing, "TypeAliasType", ())  # since Python 3.12


class Schemas:
    """The schemas of a document; ``components`` holds the named ones.

    Names in annotations that are text are looked up in ``namespace``.
    """

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}
        self.namespace: Mapping[str, Any] = {}
        self._names: dict[object, str] = {}
        self._open: frozenset[object] = frozenset()  # annotations whose resolution has begun

    def of(self, annotation: object) -> Schema:
        """Return the schema of a type."""
        if not isinstance(annotation, str | typing.ForwardRef):
            return self._of_type(plain(annotation))
        if annotation in self._open:  # an alias that contains itself: JSON = dict[str, "JSON"] | str
            return {}
        outer, self._open = self._open, self._open | {annotation}
        # A TypedDict forgets its bases, but its annotations know the module that they were written in.
        module = getattr(annotation, "__forward_module__", None)
        names = _names_in(module) if module else self.namespace
        schema = self._of_type(plain(evaluate(annotation, names)))
        self._open = outer
        return schema

    def _of_type(self, kind: Any) -> Schema:
        members = alternatives(kind)
        if len(members) > 1:
            return {"anyOf": [self.of(member) for member in members]}
        origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
        if origin is typing.Literal:
            return _enumeration(arguments)
        if isinstance(origin, _ALIAS) or (isinstance(origin, type) and _is_named(origin)):
            return self._refer_to(origin)
        return self._of_class(origin, arguments) if isinstance(origin, type) else {}

    def _of_class(self, kind: type, arguments: tuple[object, ...]) -> Schema:
        for base in kind.__mro__:
            if base in _PLAIN:
                return dict(_PLAIN[base])
        if issubclass(kind, Mapping):
            return {"type": "object", **self._each("additionalProperties", arguments[1:])}
        if issubclass(kind, tuple) and arguments and arguments[-1] is not ...:
            items = [self.of(argument) for argument in arguments]
            return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
        if issubclass(kind, Collection) and not issubclass(kind, bytes | bytearray):
            return {"type": "array", **self._each("items", arguments)}
        return {}

    def _each(self, key: str, arguments: tuple[object, ...]) -> Schema:
        schema = self.of(arguments[0]) if arguments else {}
        return {key: schema} if schema else {}

    def _refer_to(self, kind: Any) -> Schema:
        if kind not in self._names:
            # The Components Object allows no other characters.
            wanted = re.sub(r"[^A-Za-z0-9._-]", "_", kind.__name__)
            name = self._names[kind] = free_name(wanted, self.components)
            self.components[name] = {}  # reserved first, because the type may contain itself
            outer = self.namespace, self._open
            self.namespace, self._open = _names_in(kind.__module__), frozenset()
            self.components[name] = self._describe(kind)
            self.namespace, self._open = outer
        return {"$ref": f"#/components/schemas/{self._names[kind]}"}

    def _describe(self, kind: Any) -> Schema:
        if isinstance(kind, _ALIAS):
            return self.of(_attribute(kind, "__value__", UNRESOLVED))
        if issubclass(kind, enum.Enum):
            schema = _enumeration([member.value for member in kind])
        elif dataclasses.is_dataclass(kind):
            fields = dataclasses.fields(kind)
            required = {field.name for field in fields if not _has_default(field)}
            schema = self._object(kind, {field.name: field.type for field in fields}, required)
        else:
            schema = self._object(kind, _attribute(kind, "__annotations__", {}), kind.__required_keys__)
        text = inspect.cleandoc(kind.__dict__.get("__doc__") or "")
        if not text or text.startswith(f"{kind.__name__}("):  # dataclass makes up the latter
            return schema
        return {**schema, "description": text}

    def _object(self, kind: Any, fields: Mapping[str, object], required: Collection[str]) -> Schema:
        properties = {}
        for name, annotation in fields.items():
            self.namespace = _names_in(_module_of_field(kind, name))
            properties[name] = self.of(annotation)
        needed = [name for name in properties if name in required]
        return {"type": "object", "properties": properties, **({"required": needed} if needed else {})}


def free_name(wanted: str, taken: Collection[str]) -> str:
    """Return the wanted name if it is free, else with a number after it."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


def _is_named(kind: type) -> bool:
    return dataclasses.is_dataclass(kind) or typing.is_typeddict(kind) or issubclass(kind, enum.Enum)


def _module_of_field(kind: type, name: str) -> str:
    """Return the module that wrote a field's annotation, which may be that of a base."""
    bases = (base for base in kind.__mro__ if name in _attribute(base, "__annotations__", ()))
    return next(bases, kind).__module__


def _names_in(module: str | None) -> Mapping[str, Any]:
    return vars(sys.modules.get(module or "", types))


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return not (field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING)


def _attribute(kind: object, name: str, otherwise: Any) -> Any:
    try:
        return getattr(kind, name)
    except Exception:  # noqa: BLE001 -- PEP 649 and 695: access evaluates the annotation
        return otherwise


def _enumeration(values: Iterable[object]) -> Schema:
    values = [value.value if isinstance(value, enum.Enum) else value for value in values]
    names = {_PLAIN[type(value)]["type"] for value in values if type(value) in _PLAIN}
    if not values or not all(
        value is None or isinstance(value, bool | int | float | str) for value in values
    ):
        return {}
    return {"type": names.pop() if len(names) == 1 else sorted(names), "enum": values}
