"""An OpenAPI 3.1 document of an application, made from its routes and annotations.

- The rule gives the path, and the converters give the schemas of its parameters.
- The docstring gives the summary (its first paragraph) and the description (the rest).
- The annotation of the reply gives the responses: a body, ``tuple[Note, Literal[201]]`` for a status, a union
  for several responses.
- The inputs of the view (``inputs``) give query parameters and the request body; so does the annotation of
  the request, ``request: Annotated[Request, NewNote]``, also where nothing checks it.

Left out are annotations that cannot be resolved, methods that the Path Item Object does not have, and a
second rule of the same shape and method, such as ``/{name}`` beside ``/{id:int}``.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Generator, Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.routing.rules import parse_converter_args
from werkzeug.wrappers import Request

from wsgiserve.web.annotations import UNRESOLVED, alternatives, evaluate, plain
from wsgiserve.web.inputs import WITH_BODY, Input
from wsgiserve.web.media_types import BYTES, JSON, TEXT
from wsgiserve.web.rules import Parameter, fill
from wsgiserve.web.schemas import Schema, Schemas, free_name
from wsgiserve.web.views import View, namespace_of, signature_of

if TYPE_CHECKING:
    from wsgiserve.web.routing import Route

_METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "TRACE")  # HEAD and OPTIONS are not described
_POSITIONS = {
    "str": ("minlength", "maxlength", "length"),
    "int": ("fixed_digits", "min", "max", "signed"),
    "float": ("min", "max", "signed"),
}
"""The names of the converters' positional arguments."""


def describe_api(routes: list[Route], title: str, version: str) -> dict[str, Any]:
    """Return the document, ready for ``json.dumps``."""
    schemas = Schemas()
    paths: dict[str, dict[str, Any]] = {}
    templates: dict[str, tuple[str, list[str]]] = {}  # by shape: parameter names do not distinguish paths
    taken: set[str] = set()
    for route in routes:
        names = [parameter.name for parameter in route.parameters]
        template = fill(route.rule, [f"{{{name}}}" for name in names])
        template, names = templates.setdefault(fill(route.rule, ["{}"] * len(names)), (template, names))
        item = paths.setdefault(template, {})
        for method in _METHODS:
            if method in route.methods and method.lower() not in item:
                operation = {"operationId": _operation_id(route, method, taken), **_tags(route)}
                item[method.lower()] = {**operation, **_operation(route, method, names, schemas)}
    document: dict[str, Any] = {"openapi": "3.1.0", "info": {"title": title, "version": version}}
    document["paths"] = {template: item for template, item in paths.items() if item}
    if schemas.components:
        document["components"] = {"schemas": schemas.components}
    return document


def _operation_id(route: Route, method: str, taken: set[str]) -> str:
    """Return the name of the endpoint, made unique, as the specification requires."""
    answered = [known for known in _METHODS if known in route.methods]
    wanted = route.endpoint if answered == [method] else f"{route.endpoint}_{method.lower()}"
    name = free_name(wanted, taken)
    taken.add(name)
    return name


def _tags(route: Route) -> dict[str, Any]:
    group = route.endpoint.rpartition(".")[0]
    return {"tags": [group]} if group else {}


def _operation(route: Route, method: str, names: list[str], schemas: Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = _texts(route.view)
    hints = _Hints(route.view)
    schemas.namespace = hints.namespace
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _parameter_schema(parameter, hints, schemas)}
        for name, parameter in zip(names, route.parameters, strict=True)
    ]
    parameters += [
        {"name": each.name, "in": "query", "required": each.required, "schema": _input_schema(each, schemas)}
        for each in route.inputs.query
    ]
    if parameters:
        operation["parameters"] = parameters
    body = route.inputs.body or Input("", hints.carried())
    if method in WITH_BODY and body.type is not UNRESOLVED:
        content = {JSON: {"schema": schemas.of(body.type)}}
        operation["requestBody"] = {"required": body.required, "content": content}
    operation["responses"] = _responses(hints.reply(), schemas)
    return operation


def _input_schema(each: Input, schemas: Schemas) -> Schema:
    schema = schemas.of(each.type)
    value = each.default.value if isinstance(each.default, Enum) else each.default
    shown = not each.required and isinstance(value, bool | int | float | str)
    return {**schema, "default": value} if shown else schema


def _parameter_schema(parameter: Parameter, hints: _Hints, schemas: Schemas) -> Schema:
    positional, named = parse_converter_args(parameter.arguments[1:-1])
    given = {**dict(zip(_POSITIONS.get(parameter.converter, ()), positional, strict=False)), **named}
    match parameter.converter:
        case "str":
            low, high = given.get("minlength", 1), given.get("maxlength")
            if "length" in given:
                low = high = given["length"]
            return _without_none({"type": "string", "minLength": low, "maxLength": high})
        case "int" | "float":
            kind = "integer" if parameter.converter == "int" else "number"
            low = given.get("min", None if given.get("signed") else 0)
            return _without_none({"type": kind, "minimum": low, "maximum": given.get("max")})
        case "uuid":
            return {"type": "string", "format": "uuid"}
        case "any":
            return {"type": "string", "enum": [str(word) for word in positional]}
        case "path":
            return {"type": "string"}
    return schemas.of(hints.of(parameter.name)) or {"type": "string"}  # the user's own converter


def _without_none(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if value is not None}


def _responses(reply: object, schemas: Schemas) -> dict[str, Any]:
    found: dict[str, dict[str, list[Schema]]] = {}  # schemas by status and content type
    for alternative in alternatives(reply):
        statuses, whole = _split(evaluate(alternative, schemas.namespace))
        for body in alternatives(evaluate(whole, schemas.namespace)):
            content_type, schema = _content(body, schemas)
            for status in statuses or (_usual_status(body, content_type),):
                contents = found.setdefault(status, {})
                if content_type:
                    contents.setdefault(content_type, []).append(schema)
    return {status: _response(status, found[status]) for status in sorted(found)}


def _split(reply: Any) -> tuple[list[str], Any]:
    """Return the statuses and the body of a reply such as ``tuple[Note, Literal[201]]``."""
    if (typing.get_origin(reply) or reply) is not tuple:
        return [], reply
    body, *rest = typing.get_args(reply) or (UNRESOLVED,)
    status = plain(rest[0]) if rest else None
    if typing.get_origin(status) is not typing.Literal:
        return ["default"], body
    codes = [int(code) for code in typing.get_args(status) if isinstance(code, int)]
    return [str(code) for code in codes if 100 <= code <= 599], body


def _usual_status(body: object, content_type: str) -> str:
    return "204" if body is type(None) else "200" if content_type else "default"


def _content(body: Any, schemas: Schemas) -> tuple[str, Schema]:
    """Return the content type and schema of a body; "" for no content, or unknown content."""
    kind = typing.get_origin(body) or body
    if isinstance(kind, type) and issubclass(kind, Iterator | Generator):
        kind = next(iter(typing.get_args(body)), object)  # a stream has the type of its items
        if kind not in (str, bytes):
            return "", {}
    if kind is type(None) or not isinstance(kind, type):
        return "", {}
    if issubclass(kind, str) and not issubclass(kind, Enum):
        return TEXT.partition(";")[0], {"type": "string"}
    if issubclass(kind, bytes | bytearray | memoryview):
        return BYTES, {}
    schema = schemas.of(body)
    return (JSON, schema) if schema else ("", {})


def _response(status: str, contents: Mapping[str, list[Schema]]) -> dict[str, Any]:
    phrase = HTTP_STATUS_CODES.get(int(status), "Unknown") if status != "default" else "The reply of the view"
    response: dict[str, Any] = {"description": phrase}
    if contents:
        response["content"] = {
            content_type: {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
            for content_type, schemas in contents.items()
        }
    return response


def _texts(view: View) -> dict[str, Any]:
    text = inspect.getdoc(view) if inspect.isroutine(view) else None
    summary, _, description = (text or "").partition("\n\n")
    texts = {"summary": " ".join(summary.split()), "description": description.strip()}
    return {key: value for key, value in texts.items() if value}


class _Hints:
    """The annotations of a view, each resolved separately."""

    def __init__(self, view: View) -> None:
        self._signature = signature_of(view)
        self.namespace = namespace_of(view)

    def reply(self) -> object:
        """Return the annotation of the reply."""
        return UNRESOLVED if self._signature is None else self._resolve(self._signature.return_annotation)

    def of(self, name: str) -> object:
        """Return the annotation of a parameter."""
        parameter = self._signature.parameters.get(name) if self._signature else None
        return UNRESOLVED if parameter is None else self._resolve(parameter.annotation)

    def carried(self) -> object:
        """Return the type of the request body, such as NewNote in ``Annotated[Request, NewNote]``."""
        for name in self._signature.parameters if self._signature else ():
            annotation = self.of(name)
            kind = plain(annotation)
            if kind is not annotation and isinstance(kind, type) and issubclass(kind, Request):
                return typing.get_args(annotation)[1]
        return UNRESOLVED

    def _resolve(self, annotation: object) -> object:
        if annotation is inspect.Signature.empty:
            return UNRESOLVED
        return evaluate(annotation, self.namespace)
