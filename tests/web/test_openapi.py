"""The OpenAPI document of routes and annotations, checked by a public validator."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from werkzeug.routing import BaseConverter

from tests.web.documents import Note, document, responses_of
from wsgiserve import App, Group, Request, Response
from wsgiserve.web.openapi import describe_api

if TYPE_CHECKING:
    pass


def reply_to(annotation: object) -> dict[str, Any]:
    """Return the responses of a view with this annotation, and the components."""

    def view(request: Request) -> None: ...

    view.__annotations__["return"] = annotation
    return responses_of(view)


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
def test_each_converter_has_its_schema(braces: str, schema: dict[str, Any]) -> None:
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
def test_an_annotation_that_chooses_the_converter_gives_the_schema(
    annotation: object, schema: dict[str, Any]
) -> None:
    def view(x: object) -> None: ...

    view.__annotations__["x"] = annotation
    app = App()
    app.get("/{x}")(view)
    (parameter,) = document(app)["paths"]["/{x}"]["get"]["parameters"]
    assert parameter["schema"] == schema


def test_a_user_s_converter_has_the_schema_of_the_annotation() -> None:
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


def test_rules_of_one_shape_share_an_item() -> None:
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
def test_each_reply_has_its_response(annotation: object, responses: dict[str, str | None]) -> None:
    found = reply_to(annotation)
    assert {status: next(iter(found[status].get("content", {None: 0}))) for status in found} == responses
    assert all(found[status]["description"] for status in found)


def test_several_replies_of_one_kind_are_alternatives() -> None:
    content = reply_to(list[int] | dict[str, int])["200"]["content"]["application/json"]
    assert content["schema"]["anyOf"] == [
        {"type": "array", "items": {"type": "integer"}},
        {"type": "object", "additionalProperties": {"type": "integer"}},
    ]


# -- requests


def test_the_request_body_is_named_beside_the_request() -> None:
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


def test_without_routes_there_are_no_paths() -> None:
    assert describe_api([], "Notes", "2.0") == {
        "openapi": "3.1.0",
        "info": {"title": "Notes", "version": "2.0"},
        "paths": {},
    }
