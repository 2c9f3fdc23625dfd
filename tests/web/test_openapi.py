"""The OpenAPI document: what it says of routes and annotations, checked by a public validator."""

from __future__ import annotations

import datetime
import enum
import json
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Optional, TypedDict

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from werkzeug.routing import BaseConverter

from wsgiserve import App, Group, Request, Response

if TYPE_CHECKING:
    from elsewhere import Missing

PERSON = NewType("PERSON", str)


JSON = dict[str, "JSON"] | list["JSON"] | str


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Address(TypedDict):
    street: str
    number: int | None


@dataclass
class Note:
    """A thing to remember."""

    id: int
    text: str
    parent: Note | None = None
    tags: list[str] = field(default_factory=list)


def document(app: App) -> dict[str, Any]:
    """Give the document of an app, once the validator has found nothing wrong in it."""
    made = app.openapi(title="Notes", version="1.0")
    OpenAPIV31SpecValidator(json.loads(json.dumps(made))).validate()
    return made


def reply_to(annotation: object) -> dict[str, Any]:
    """Give the responses of a view with this annotation, and the components."""

    def view(request: Request) -> None: ...

    view.__annotations__["return"] = annotation
    app = App()
    app.get("/")(view)
    made = document(app)
    return made["paths"]["/"]["get"]["responses"] | made.get("components", {}).get("schemas", {})


def schema_of(annotation: object) -> dict[str, Any]:
    """Give the schema of a value, as a list's item, so that each kind is JSON."""
    return reply_to(list[annotation])["200"]["content"]["application/json"]["schema"].get("items", {})  # type: ignore[valid-type]


# -- the document


def test_an_app_without_routes() -> None:
    assert document(App()) == {
        "openapi": "3.1.0",
        "info": {"title": "Notes", "version": "1.0"},
        "paths": {},
    }


def test_a_whole_document() -> None:
    app = App()

    @app.get("/notes/{id:int}")
    def note(request: Request, id: int) -> Note | tuple[str, Literal[404]]:
        """Give a note,
        whole.

        Notes do not change.
        """

    @app.post("/notes")
    def add(request: Annotated[Request, Note]) -> tuple[Note, Literal[201], dict[str, str]]: ...

    reference = {"$ref": "#/components/schemas/Note"}
    assert document(app)["paths"] == {
        "/notes/{id}": {
            "get": {
                "operationId": "note",
                "summary": "Give a note, whole.",
                "description": "Notes do not change.",
                "parameters": [
                    {
                        "name": "id",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "integer", "minimum": 0},
                    }
                ],
                "responses": {
                    "200": {"description": "OK", "content": {"application/json": {"schema": reference}}},
                    "404": {
                        "description": "Not Found",
                        "content": {"text/plain": {"schema": {"type": "string"}}},
                    },
                },
            }
        },
        "/notes": {
            "post": {
                "operationId": "add",
                "requestBody": {"required": True, "content": {"application/json": {"schema": reference}}},
                "responses": {
                    "201": {"description": "Created", "content": {"application/json": {"schema": reference}}},
                },
            }
        },
    }


def test_the_demo_is_described() -> None:
    from app import application

    paths = document(application)["paths"]
    assert set(paths) == {"/", "/echo/{text}", "/user-agent"}  # A mounted app is not described.
    assert paths["/echo/{text}"]["get"]["responses"]["200"]["content"] == {
        "text/plain": {"schema": {"type": "string"}}
    }


# -- paths and parameters


@pytest.mark.parametrize(
    ("braces", "schema"),
    [
        ("{x}", {"type": "string", "minLength": 1}),
        ("{x:str(length=2)}", {"type": "string", "minLength": 2, "maxLength": 2}),
        ("{x:str(2, 5)}", {"type": "string", "minLength": 2, "maxLength": 5}),
        ("{x:int(min=3, max=9)}", {"type": "integer", "minimum": 3, "maximum": 9}),
        ("{x:int(signed=True)}", {"type": "integer"}),
        ("{x:float(max=1.5)}", {"type": "number", "minimum": 0, "maximum": 1.5}),
        ("{x:uuid}", {"type": "string", "format": "uuid"}),
        ("{x:any(about, help)}", {"type": "string", "enum": ["about", "help"]}),
        ("{x:path}", {"type": "string"}),
    ],
)
def test_a_converter_is_a_schema(braces: str, schema: dict[str, Any]) -> None:
    app = App()
    app.get(f"/a/{braces}")(lambda request, x: "")
    (parameter,) = document(app)["paths"]["/a/{x}"]["get"]["parameters"]
    assert parameter == {"name": "x", "in": "path", "required": True, "schema": schema}


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (int, {"type": "integer", "minimum": 0}),
        (uuid.UUID, {"type": "string", "format": "uuid"}),
        (Literal["about", "it's"], {"type": "string", "enum": ["about", "it's"]}),
        (Path, {"type": "string"}),
    ],
    ids=str,
)
def test_an_annotation_that_picks_the_converter_is_a_schema(
    annotation: object, schema: dict[str, Any]
) -> None:
    def view(x: object) -> None: ...

    view.__annotations__["x"] = annotation
    app = App()
    app.get("/{x}")(view)
    (parameter,) = document(app)["paths"]["/{x}"]["get"]["parameters"]
    assert parameter["schema"] == schema


def test_a_converter_of_the_user_s_has_the_schema_of_the_parameter() -> None:
    class Day(BaseConverter):
        def to_python(self, value: str) -> datetime.date:
            return datetime.date.fromisoformat(value)

    app = App()
    app.converter("day", Day)

    @app.get("/log/{day:day}")
    def log(day: datetime.date) -> str: ...

    @app.get("/diary/{day:day}")
    def diary(day) -> str: ...  # type: ignore[no-untyped-def]

    paths = document(app)["paths"]
    assert paths["/log/{day}"]["get"]["parameters"][0]["schema"] == {"type": "string", "format": "date"}
    assert paths["/diary/{day}"]["get"]["parameters"][0]["schema"] == {"type": "string"}


def test_groups_are_tags_and_mounted_apps_are_not_described() -> None:
    group = Group("/notes/{id:int}", name="notes")

    @group.get("/text")
    def text(id: int) -> str: ...

    app = App()
    app.include(group)
    app.mount("/other", App())
    paths = document(app)["paths"]
    assert list(paths) == ["/notes/{id}/text"]
    assert paths["/notes/{id}/text"]["get"]["tags"] == ["notes"]
    assert paths["/notes/{id}/text"]["get"]["operationId"] == "notes.text"


def test_one_path_has_one_item_whatever_its_parameters_are_called() -> None:
    """OpenAPI Specification, Paths Object: such templates are identical and invalid."""
    app = App()

    @app.get("/users/{id:int}")
    def by_number(request: Request, id: int) -> str: ...

    @app.delete("/users/{name}")
    def remove(request: Request, name: str) -> None: ...

    @app.get("/users/{name}")
    def by_name(request: Request, name: str) -> str: ...

    paths = document(app)["paths"]
    assert list(paths) == ["/users/{id}"]
    item = paths["/users/{id}"]
    assert {method: item[method]["operationId"] for method in item} == {
        "get": "by_number",
        "delete": "remove",
    }
    assert item["delete"]["parameters"][0]["name"] == "id"


def test_operation_ids_are_unique() -> None:
    app = App()

    def note(request: Request, id: int = 0) -> str: ...

    app.route("/notes", methods=["PUT", "POST"])(note)
    app.get("/notes")(note)
    app.get("/notes/{id:int}")(note)
    app.route("/notes/{id:int}", methods=["PURGE", "OPTIONS"])(note)
    operations = [
        (path, method, operation["operationId"])
        for path, item in document(app)["paths"].items()
        for method, operation in item.items()
    ]
    assert sorted(operations) == [
        ("/notes", "get", "note"),
        ("/notes", "post", "note_post"),
        ("/notes", "put", "note_put"),
        ("/notes/{id}", "get", "note_2"),
    ]


# -- replies


@pytest.mark.parametrize(
    ("annotation", "responses"),
    [
        (None, {"204": None}),
        (str, {"200": "text/plain"}),
        (bytes, {"200": "application/octet-stream"}),
        (Iterator[str], {"200": "text/plain"}),
        (Iterator[bytes], {"200": "application/octet-stream"}),
        (dict[str, int], {"200": "application/json"}),
        (dict | None, {"200": "application/json", "204": None}),
        (tuple[str, int], {"default": "text/plain"}),
        (tuple[str, Literal[200, 201]], {"200": "text/plain", "201": "text/plain"}),
        (Response, {"default": None}),
        (Any, {"default": None}),
        (tuple, {"default": None}),
        ("Missing", {"default": None}),
        ("list[", {"default": None}),
        ("1 / 0", {"default": None}),
    ],
    ids=str,
)
def test_what_a_view_returns_is_a_response(annotation: object, responses: dict[str, str | None]) -> None:
    found = reply_to(annotation)
    assert {status: next(iter(found[status].get("content", {None: 0}))) for status in found} == responses
    assert all(found[status]["description"] for status in found)


def test_several_replies_of_one_kind_are_alternatives() -> None:
    content = reply_to(list[int] | dict[str, int])["200"]["content"]["application/json"]
    assert content["schema"]["anyOf"] == [
        {"type": "array", "items": {"type": "integer"}},
        {"type": "object", "additionalProperties": {"type": "integer"}},
    ]


# -- values


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (bool, {"type": "boolean"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (str, {"type": "string"}),
        (PERSON, {"type": "string"}),
        (Annotated[int, "of cents"], {"type": "integer"}),
        (None, {"type": "null"}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (datetime.datetime, {"type": "string", "format": "date-time"}),
        (datetime.date, {"type": "string", "format": "date"}),
        (uuid.UUID, {"type": "string", "format": "uuid"}),
        (Path, {"type": "string"}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a", 1, None], {"type": ["integer", "null", "string"], "enum": ["a", 1, None]}),
        (set[int], {"type": "array", "items": {"type": "integer"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (
            tuple[int, str],
            {
                "type": "array",
                "prefixItems": [{"type": "integer"}, {"type": "string"}],
                "minItems": 2,
                "maxItems": 2,
            },
        ),
        (Mapping[str, bool], {"type": "object", "additionalProperties": {"type": "boolean"}}),
        (dict, {"type": "object"}),
        (list, {"type": "array"}),
        (list["Missing"], {"type": "array"}),
        (Any, {}),
        (object, {}),
        (Decimal, {"type": "string"}),
        (bytes, {}),
        (type, {}),
    ],
    ids=str,
)
def test_a_type_is_a_schema(annotation: object, schema: dict[str, Any]) -> None:
    assert schema_of(annotation) == schema


def test_a_dataclass_is_a_component_and_may_contain_itself() -> None:
    assert reply_to(Note)["Note"] == {
        "type": "object",
        "description": "A thing to remember.",
        "properties": {
            "id": {"type": "integer"},
            "text": {"type": "string"},
            "parent": {"anyOf": [{"$ref": "#/components/schemas/Note"}, {"type": "null"}]},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["id", "text"],
    }


def test_an_enum_and_a_typed_dict_are_components() -> None:
    assert reply_to(dict[str, Colour])["Colour"] == {"type": "string", "enum": ["red", "blue"]}
    assert reply_to(Address)["Address"] == {
        "type": "object",
        "properties": {
            "street": {"type": "string"},
            "number": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["street", "number"],
    }


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the type statement is new in Python 3.12")
def test_a_type_statement_is_a_component_and_may_contain_itself() -> None:
    namespace: dict[str, Any] = {}
    exec("type Tree = dict[str, Tree] | int\ntype Lost = Nowhere", namespace)
    tree, lost = namespace["Tree"], namespace["Lost"]
    assert reply_to(dict[str, tree])["Tree"] == {
        "anyOf": [
            {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Tree"}},
            {"type": "integer"},
        ]
    }
    assert reply_to(dict[str, lost])["Lost"] == {}


def test_two_classes_of_one_name_are_two_components() -> None:
    @dataclass
    class Other:
        note: int

    Other.__name__ = "Note"
    found = reply_to(list[Note] | list[Other])
    assert found["Note_2"]["properties"] == {"note": {"type": "integer"}}


def test_an_alias_may_contain_itself() -> None:
    @dataclass
    class Tree:
        leaves: JSON

    once = {"anyOf": [{"type": "object"}, {"type": "array"}, {"type": "string"}]}
    assert reply_to(Tree)["Tree"]["properties"]["leaves"] == once
    assert reply_to(JSON)["200"]["content"]["application/json"]["schema"]["anyOf"] == [
        {"type": "object", "additionalProperties": once},
        {"type": "array", "items": once},
    ]


def test_names_in_an_annotation_are_those_of_the_view_s_module() -> None:
    assert "Note" in reply_to(list["Note"])
    assert "Note" in reply_to(Optional["Note"])
    assert "Note" in reply_to(tuple["Note", Literal[201]])


def test_what_does_not_resolve_is_any_value() -> None:
    @dataclass
    class Parcel:
        weight: float
        label: Missing
        weird: nonsense[  # type: ignore  # noqa
            0
        ]

    component = reply_to(Parcel)["Parcel"]
    assert component["properties"] == {"weight": {"type": "number"}, "label": {}, "weird": {}}
    assert component["required"] == ["weight", "label", "weird"]


def test_a_class_that_only_the_factory_knows_is_found() -> None:
    @dataclass
    class Local:
        x: int

    app = App()

    @app.get("/")
    def view(request: Request) -> Local:
        return Local(1)

    assert "Local" in document(app)["components"]["schemas"]


# -- requests


def test_a_body_is_what_stands_beside_the_request() -> None:
    app = App()

    @app.route("/", methods=["PUT", "DELETE"])
    def view(request: Annotated[Request, list[Note]]) -> None: ...

    @app.put("/plain")
    def plain(request: Request) -> None: ...

    paths = document(app)["paths"]
    assert paths["/"]["put"]["requestBody"]["content"]["application/json"]["schema"] == {
        "type": "array",
        "items": {"$ref": "#/components/schemas/Note"},
    }
    assert "requestBody" not in paths["/"]["delete"]
    assert "requestBody" not in paths["/plain"]["put"]


def test_views_of_all_kinds_are_described() -> None:
    class Callable:
        def __call__(self, request: Request) -> str:
            return ""

        def method(self, request: Request) -> str:
            """Say it."""
            return ""

    app = App()
    app.get("/a")(Callable())
    app.get("/b")(Callable().method)
    app.get("/c")(lambda request: "")
    paths = document(app)["paths"]
    assert paths["/a"]["get"]["responses"].keys() == {"200"}
    assert paths["/b"]["get"]["summary"] == "Say it."
    assert paths["/c"]["get"]["responses"].keys() == {"default"}
