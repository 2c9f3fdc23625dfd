"""A JSON schema of the file's table, for editors and ``validate-pyproject``; made from the declarations."""

from __future__ import annotations

from typing import Any

from wsgiserve.config import units
from wsgiserve.config.fields import FIELDS, Field, kind


def schema() -> dict[str, Any]:
    """Return the schema, in the version of JSON schema that both taplo and validate-pyproject know."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "urn:wsgiserve:configuration",
        "title": "wsgiserve.toml, or [tool.wsgiserve] in pyproject.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _property(field) for name, field in FIELDS.items()},
    }


def _property(field: Field) -> dict[str, Any]:
    default: Any = field.default
    if kind(field) == "list":
        default = [str(value) for value in default]
    return {"description": field.metadata["help"], "default": default, **_type(field)}


def _type(field: Field) -> dict[str, Any]:
    its, least = kind(field), field.metadata["least"]
    if its == "switch":
        return {"type": "boolean"}
    if its == "text":
        words = field.metadata["words"]
        if words:
            return {"enum": list(words)}
        return {"type": ["string", "boolean"] if field.metadata["off"] else "string"}
    if its == "list":
        texts = {"type": "array", "items": {"type": "string"}, "minItems": 1 if field.default else 0}
        return {"anyOf": [{"type": "string"}, texts]}
    number = {"type": "number" if its == "time" else "integer", "minimum": least}
    if its == "number":
        word = field.metadata["word"]
        return {"anyOf": [number, {"const": word}]} if word else number
    pattern = units.TIME if its == "time" else units.SIZE
    return {"anyOf": [number, {"type": "string", "pattern": pattern}]}
