"""JSON Schema from annotations, checked inside a whole OpenAPI document."""

from __future__ import annotations

import datetime
import enum
import sys
import types
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Optional, TypedDict

import msgspec
import pytest

from tests.web.documents import Note, document, responses_of
from wsgiserve import App, Request
from wsgiserve.web.schemas import Schemas, free_name

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


def reply_to(annotation: object) -> dict[str, Any]:
    """Return the responses of a view with this annotation, and the components."""

    def view(request: Request) -> None: ...

    view.__annotations__["return"] = annotation
    return responses_of(view)


def schema_of(annotation: object) -> dict[str, Any]:
    """Return the schema of a type; the view returns a list of it, so that every type is JSON."""
    return reply_to(list[annotation])["200"]["content"]["application/json"]["schema"].get("items", {})  # type: ignore[valid-type]


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
        (datetime.timedelta, {"type": "string", "format": "duration"}),
        (Annotated[int, msgspec.Meta(ge=1, lt=9)], {"type": "integer", "minimum": 1, "exclusiveMaximum": 9}),
        (
            Annotated[float, msgspec.Meta(gt=0, le=1, multiple_of=0.5)],
            {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "multipleOf": 0.5},
        ),
        (
            Annotated[str, msgspec.Meta(min_length=1, max_length=5, pattern="^a", description="A name")],
            {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^a", "description": "A name"},
        ),
        (
            Annotated[list[int], msgspec.Meta(min_length=1, extra_json_schema={"uniqueItems": True})],
            {"type": "array", "items": {"type": "integer"}, "minItems": 1, "uniqueItems": True},
        ),
        (
            Annotated[int, msgspec.Meta(ge=1)] | None,
            {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
        ),
        (
            NewType("Age", Annotated[int, "years", msgspec.Meta(ge=1)]),  # type: ignore[valid-newtype]
            {"type": "integer", "minimum": 1},
        ),
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
def test_each_type_has_its_schema(annotation: object, schema: dict[str, Any]) -> None:
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


def test_a_struct_is_a_component_with_the_names_that_are_sent() -> None:
    class Base(msgspec.Struct):
        colour: Colour

    class Sized(Base, rename="camel", tag="big", kw_only=True):
        """A thing with a size."""

        how_large: Annotated[int, msgspec.Meta(ge=1)]
        parts: list[Note] = msgspec.field(default_factory=list)
        weird: Missing = None  # type: ignore

    assert reply_to(Sized)["Sized"] == {
        "type": "object",
        "description": "A thing with a size.",
        "properties": {
            "type": {"enum": ["big"]},
            "howLarge": {"type": "integer", "minimum": 1},
            "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Note"}},
            "weird": {},
            "colour": {"$ref": "#/components/schemas/Colour"},
        },
        "required": ["type", "colour", "howLarge"],
    }


def test_a_struct_that_is_sent_as_an_array_is_one() -> None:
    class Point(msgspec.Struct, array_like=True):
        x: int

    assert reply_to(Point)["Point"] == {"type": "array"}


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


def test_names_in_an_annotation_are_looked_up_in_the_module_of_the_view() -> None:
    assert "Note" in reply_to(list["Note"])
    assert "Note" in reply_to(Optional["Note"])
    assert "Note" in reply_to(tuple["Note", Literal[201]])


def test_an_annotation_that_cannot_be_resolved_is_any_value() -> None:
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


def test_a_class_in_the_closure_of_a_view_is_found() -> None:
    @dataclass
    class Local:
        x: int

    app = App()

    @app.get("/")
    def view(request: Request) -> Local:
        return Local(1)

    assert "Local" in document(app)["components"]["schemas"]


def test_a_named_type_is_referred_to_and_described_once() -> None:
    schemas = Schemas()
    reference = {"$ref": "#/components/schemas/Colour"}
    assert schemas.of(list[Colour]) == {"type": "array", "items": reference}
    assert schemas.of(Colour) == reference
    assert schemas.components == {"Colour": {"type": "string", "enum": ["red", "blue"]}}


def test_a_taken_name_gets_a_number() -> None:
    assert free_name("Note", []) == "Note"
    assert free_name("Note", ["Note", "Note_2"]) == "Note_3"


def test_a_field_of_a_base_is_read_with_the_names_of_the_base_s_module(monkeypatch):
    """Under future annotations a name means what it means in the module that wrote it."""
    future = "from __future__ import annotations\n"
    base = types.ModuleType("schemas_base")
    derived = types.ModuleType("schemas_derived")
    for module in base, derived:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(
        future + "import enum, dataclasses, typing\n"
        "class Colour(enum.Enum): RED = 'red'\n"
        "@dataclasses.dataclass\nclass Base:\n    colour: Colour\n"
        "class Keys(typing.TypedDict):\n    colour: Colour\n",
        vars(base),
    )
    exec(
        future + "import dataclasses, schemas_base\nColour = int\n"
        "@dataclasses.dataclass\nclass Derived(schemas_base.Base):\n    other: Colour\n"
        "class More(schemas_base.Keys):\n    other: Colour\n",
        vars(derived),
    )
    schemas = Schemas()
    expected = {"colour": {"$ref": "#/components/schemas/Colour"}, "other": {"type": "integer"}}
    for name in "Derived", "More":
        schemas.of(getattr(derived, name))
        assert schemas.components[name]["properties"] == expected
    assert schemas.components["Colour"] == {"type": "string", "enum": ["red"]}
