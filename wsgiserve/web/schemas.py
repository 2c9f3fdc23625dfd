"""JSON Schema from annotations: the JSON of a value, as far as its type tells.

A dataclass, a ``TypedDict``, a ``Struct``, an ``Enum`` or a ``type`` statement becomes a named component, and
other schemas refer to it by name, so it may contain itself. A ``Meta`` beside a type (``Annotated``) adds its
limits. A type that cannot be resolved, or has no JSON, gets the schema ``{}``: any value. No annotation is an
error.
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

from wsgiserve.web.annotations import UNRESOLVED, alternatives, evaluate, plain, remarks

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
    datetime.timedelta: {"type": "string", "format": "duration"},
    uuid.UUID: {"type": "string", "format": "uuid"},
    PurePath: {"type": "string"},
    Decimal: {"type": "string"},
}
_LIMITS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
    "title": "title",
    "description": "description",
}
_COUNTED = {"string": "Length", "array": "Items", "object": "Properties"}
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
            return self._of_annotation(annotation)
        if annotation in self._open:  # an alias that contains itself: JSON = dict[str, "JSON"] | str
            return {}
        outer, self._open = self._open, self._open | {annotation}
        # A TypedDict forgets its bases, but its annotations know the module that they were written in.
        module = getattr(annotation, "__forward_module__", None)
        names = _names_in(module) if module else self.namespace
        schema = self._of_annotation(evaluate(annotation, names))
        self._open = outer
        return schema

    def _of_annotation(self, annotation: object) -> Schema:
        schema = self._of_type(plain(annotation))
        for remark in remarks(annotation):
            if hasattr(remark, "extra_json_schema"):
                schema = {**schema, **_limits(remark, schema.get("type"))}
        return schema

    def _of_type(self, kind: Any) -> Schema:
        if len(alternatives(kind)) > 1:
            return {"anyOf": [self.of(member) for member in typing.get_args(kind)]}
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
        elif _is_struct(kind):
            schema = self._struct(kind)
        else:
            schema = self._object(kind, _attribute(kind, "__annotations__", {}), kind.__required_keys__)
        text = inspect.cleandoc(kind.__dict__.get("__doc__") or "")
        if not text or text.startswith(f"{kind.__name__}("):  # dataclass makes up the latter
            return schema
        return {**schema, "description": text}

    def _struct(self, kind: Any) -> Schema:
        """Describe a Struct, which may rename its fields, and have one more that names the class."""
        from msgspec import NODEFAULT  # an optional library, which made this class

        config, names, defaults = kind.__struct_config__, kind.__struct_fields__, kind.__struct_defaults__
        if config.array_like:
            return {"type": "array"}
        may_lack = [default is not NODEFAULT for default in defaults]
        may_lack = [False] * (len(names) - len(defaults)) + may_lack
        written = {name: _attribute(_class_of_field(kind, name), "__annotations__", {}) for name in names}
        fields = {name: hints.get(name, UNRESOLVED) for name, hints in written.items()}
        schema = self._object(
            kind, fields, [name for name, may in zip(names, may_lack, strict=True) if not may]
        )
        sent = dict(zip(names, kind.__struct_encode_fields__, strict=True))
        properties = {sent[name]: value for name, value in schema["properties"].items()}
        required = [sent[name] for name in schema.get("required", ())]
        if config.tag_field:
            properties = {config.tag_field: {"enum": [config.tag]}, **properties}
            required = [config.tag_field, *required]
        return _of_properties(properties, required)

    def _object(self, kind: Any, fields: Mapping[str, object], required: Collection[str]) -> Schema:
        properties = {}
        for name, annotation in fields.items():
            self.namespace = _names_in(_class_of_field(kind, name).__module__)
            properties[name] = self.of(annotation)
        needed = [name for name in properties if name in required]
        return _of_properties(properties, needed)


def free_name(wanted: str, taken: Collection[str]) -> str:
    """Return the wanted name if it is free, else with a number after it."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


def _of_properties(properties: Schema, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _is_named(kind: type) -> bool:
    described = dataclasses.is_dataclass(kind) or typing.is_typeddict(kind) or _is_struct(kind)
    return described or issubclass(kind, enum.Enum)


def _is_struct(kind: type) -> bool:
    return hasattr(kind, "__struct_fields__")


def _class_of_field(kind: type, name: str) -> type:
    """Return the class that wrote a field's annotation, which may be a base."""
    return next((base for base in kind.__mro__ if name in _attribute(base, "__annotations__", ())), kind)


def _limits(remark: object, type: object) -> Schema:
    """Return the schema of the limits in a ``Meta`` of msgspec."""
    found = {word: getattr(remark, name) for name, word in _LIMITS.items()}
    counted = _COUNTED.get(str(type))
    if counted:
        found |= {"min" + counted: remark.min_length, "max" + counted: remark.max_length}  # type: ignore[attr-defined]
    found |= remark.extra_json_schema or {}  # type: ignore[attr-defined]
    return {word: value for word, value in found.items() if value is not None}


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
