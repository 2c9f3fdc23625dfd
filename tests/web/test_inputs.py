"""Query parameters and bodies by annotation: read and checked, or refused at registration."""

from __future__ import annotations

import enum
import functools
import subprocess
import sys
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict
from uuid import UUID

import msgspec
import pytest
from webtest import TestApp

from wsgiserve import App, Request
from wsgiserve.web.inputs import NO_INPUTS, find_inputs


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Line:
    text: str
    count: int = 1


@dataclass
class New:
    text: str
    lines: list[Line] | None = None


class Typed(TypedDict):
    text: str


class Struct(msgspec.Struct):
    text: str


@dataclass
class Prices:
    of: dict[str, Decimal]
    colour: Colour = Colour.RED
    cheaper: Prices | None = None


class Database:
    pass


@dataclass
class Holds:
    database: Database


def client(view: Callable[..., object], *methods: str) -> TestApp:
    app = App()
    app.route("/", methods or ("GET",))(view)
    return app.client()


def asked(annotation: object, query: str, **default: object) -> object:
    """Return the value that a view gets, or the status and text of the refusal."""
    seen = []

    def view(request: Request, *, x: Any) -> str:
        seen.append(x)
        return ""

    if default:
        view.__kwdefaults__ = {"x": default["default"]}
    view.__annotations__["x"] = annotation
    answer = client(view).get(f"/?{query}", expect_errors=True)
    return seen[0] if answer.status_int == 200 else (answer.status_int, answer.text.strip())


@pytest.mark.parametrize(
    ("annotation", "query", "value"),
    [
        (int, "x=5", 5),
        (int, "x=4&x=5", 5),
        (str, "x=", ""),
        (str, "x=%C3%A9", "é"),
        (bool, "x=true", True),
        (float, "x=1.5", 1.5),
        (Decimal, "x=1.50", Decimal("1.50")),
        (date, "x=2026-11-29", date(2026, 11, 29)),
        (UUID, f"x={UUID(int=7)}", UUID(int=7)),
        (Colour, "x=red", Colour.RED),
        (Literal["a", "b"], "x=b", "b"),
        (Literal[1, 2], "x=2", 2),
        (list[int], "x=1&x=2", [1, 2]),
        (list[str], "x=1", ["1"]),
        (Sequence[int], "x=1&x=2", [1, 2]),
        (Set[Colour], "x=red", {Colour.RED}),
        (Decimal, "x=1e999999999", Decimal("1e999999999")),
        (int | None, "x=5", 5),
        (Annotated[int, msgspec.Meta(ge=1)], "x=1", 1),
    ],
    ids=str,
)
def test_a_query_parameter_has_the_type_of_its_annotation(annotation, query, value):
    assert asked(annotation, query) == value
    assert type(asked(annotation, query)) is type(value)


@pytest.mark.parametrize("annotation", [int, int | None, list[int], str, Colour])
def test_a_default_holds_where_the_query_has_no_such_field(annotation):
    marker = object()
    assert asked(annotation, "y=5", default=marker) is marker


@pytest.mark.parametrize(
    ("annotation", "query", "text"),
    [
        (int, "", "The query lacks the parameter 'x'."),
        (int, "x=", "The query parameter 'x' is wrong: Expected `int`."),
        (int, "x=5x", "The query parameter 'x' is wrong: Expected `int`."),
        (float, "x=nan", "The query parameter 'x' is wrong: Expected finite numbers."),
        (list[float], "x=1&x=-inf", "The query parameter 'x' is wrong: Expected finite numbers."),
        (Decimal, "x=sNaN", "The query parameter 'x' is wrong: Expected finite numbers."),
        (set[Decimal] | None, "x=Infinity", "The query parameter 'x' is wrong: Expected finite numbers."),
        (bool, "x=perhaps", "The query parameter 'x' is wrong: Expected `bool`."),
        (list[int], "x=1&x=b", "The query parameter 'x' is wrong at [1]: Expected `int`."),
        (Colour, "x=blue", "The query parameter 'x' is wrong: Invalid enum value."),
        (Literal["a"], "x=b - at `$.c`", "The query parameter 'x' is wrong: Invalid enum value."),
        (
            Annotated[int, msgspec.Meta(ge=1)],
            "x=0",
            "The query parameter 'x' is wrong: Expected `int` >= 1.",
        ),
    ],
    ids=str,
)
def test_a_wrong_query_is_a_400_that_names_the_parameter(annotation, query, text):
    assert asked(annotation, query) == (400, text)


def test_the_first_parameter_may_be_a_query_parameter_or_the_body():
    def required(page: int):
        return {"page": page}

    def optional(page: int = 1):
        return {"page": page}

    def body(new: New):
        return {"text": new.text}

    assert client(required).get("/?page=5").json == {"page": 5}
    assert client(optional).get("/?page=5").json == {"page": 5}
    assert client(optional).get("/").json == {"page": 1}
    assert client(body, "POST").post_json("/", {"text": "milk"}).json == {"text": "milk"}


@pytest.mark.parametrize(
    ("kind", "sent", "got"),
    [
        (New, {"text": "a", "lines": [{"text": "b"}]}, New("a", [Line("b")])),
        (Typed, {"text": "a"}, {"text": "a"}),
        (Struct, {"text": "a"}, Struct("a")),
        (list[Line], [{"text": "b", "count": 2}], [Line("b", 2)]),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (New | None, {"text": "a"}, New("a")),
        (list, [1, "a"], [1, "a"]),
        (dict | list, [], []),
        (Sequence[Line], [{"text": "b"}], [Line("b")]),
        (Prices, {"of": {"tea": "1.50"}}, Prices({"tea": Decimal("1.50")})),
    ],
    ids=str,
)
def test_a_body_becomes_a_value_of_its_type(kind, sent, got):
    seen = []

    def view(request, *, new):
        seen.append(new)

    view.__annotations__["new"] = kind
    client(view, "POST").post_json("/", sent, status=204)
    assert seen == [got]


@pytest.mark.parametrize("form", ["beside the request", "as a parameter"])
@pytest.mark.parametrize(
    ("sent", "status", "text"),
    [
        (b'{"text": 5}', 422, "The body is wrong at text: Expected `str`, got `int`."),
        (b"{}", 422, "The body is wrong at its top: Object missing required field `text`."),
        (b"[]", 422, "The body is wrong at its top: Expected `object`, got `array`."),
        (
            b'{"text": "a", "lines": [{"text": "b"}, {"text": "c", "count": "d"}]}',
            422,
            "The body is wrong at lines[1].count: Expected `int`, got `str`.",
        ),
        (b"{", 400, None),
        (b"", 400, None),
        (b'{"text": NaN}', 400, None),
    ],
    ids=str,
)
def test_a_wrong_body_says_what_is_wrong_and_where(form, sent, status, text):
    def beside(request: Annotated[Request, New]):
        return request.get_json()

    def parameter(request, new: New):
        return {}

    view = beside if form == "beside the request" else parameter
    answer = client(view, "POST").post("/", sent, content_type="application/json", status=status)
    assert text is None or answer.text.strip() == text


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ({"of": {}, "colour": "blue"}, "The body is wrong at colour: Invalid enum value."),
        ({"of": {"tea": "NaN"}}, "The body is wrong at its top: Expected finite numbers."),
        (
            {"of": {}, "cheaper": {"of": {"tea": "-inf"}}},
            "The body is wrong at its top: Expected finite numbers.",
        ),
    ],
    ids=str,
)
def test_a_refusal_does_not_repeat_what_was_sent(sent, text):
    def view(new: Prices):
        return {}

    assert client(view, "POST").post_json("/", sent, status=422).text.strip() == text


def test_a_body_of_another_type_is_a_415():
    def view(new: New):
        return {}

    assert client(view, "POST").post("/", "text=a", status=415)


def test_a_body_with_a_default_may_be_missing_and_get_has_none():
    def view(request, new: New | None = None):
        return {"new": new and new.text}

    served = client(view, "GET", "POST")
    assert served.get("/").json == {"new": None}
    assert served.post("/", "").json == {"new": None}
    assert served.post_json("/", {"text": "a"}).json == {"new": "a"}


def test_a_parameter_without_annotation_keeps_its_default():
    def view(request, page=1):
        return {"page": page}

    assert client(view).get("/?page=5").json == {"page": 1}
    assert find_inputs(view, "rule '/'", (), True, {"GET"}) == NO_INPUTS


def test_a_path_parameter_wins_over_the_query():
    app = App()

    @app.get("/{id}")
    def view(id: int, page: int = 1):
        return [id, page]

    assert app.client().get("/7?id=8&page=2").json == [7, 2]


def test_hooks_and_error_handlers_apply():
    app = App()
    seen = []

    @app.before_request
    def before(request):
        seen.append(request.path)

    @app.errorhandler(400)
    def wrong(request, error):
        return {"wrong": error.description}

    @app.get("/")
    def view(page: int):
        return [page]

    assert app.client().get("/?page=x", status=400).json["wrong"].startswith("The query parameter 'page'")
    assert app.client().get("/?page=5").json == [5]
    assert seen == ["/", "/"]


def wrapped(view):
    @functools.wraps(view)
    def call(*args, **kwargs):
        return view(*args, **kwargs)

    return call


def test_a_decorator_passes_the_query_on():
    @wrapped
    def view(request, page: int = 1):
        return [page]

    assert client(view).get("/?page=5").json == [5]


def test_what_a_decorator_supplies_is_not_read():
    def with_user(view):
        @functools.wraps(view)
        def call(request, **kwargs):
            return view(request, user="ann", **kwargs)

        return call

    @with_user
    def view(request, user: str):
        return [user]

    assert client(view).get("/?user=eve").json == ["ann"]


def unreadable(request, db: Database = None): ...  # type: ignore[assignment]
def first_unreadable(db: Database): ...
def no_request(request: New): ...
def body_of_get(new: New): ...
def body_of_get_with_default(request, new: New = New("a")): ...  # noqa: B008
def bare_list_of_get(tag: list | None = None): ...
def two_bodies(request, one: New, two: New): ...
def two_forms(request: Annotated[Request, New], two: New): ...
def holds_unreadable(request, it: Holds): ...
def by_position(request, page: int = 1, /): ...
def unresolved(request, it: Missing): ...  # noqa: F821


@pytest.mark.parametrize(
    ("view", "methods", "sentence"),
    [
        (unreadable, ["GET"], "leave the annotation out to keep its default"),
        (first_unreadable, ["GET"], "annotate it Request, or leave the annotation out"),
        (no_request, ["POST"], "annotate it Request, or leave the annotation out"),
        (body_of_get, ["GET"], "write a view for POST, PUT or PATCH alone"),
        (body_of_get_with_default, ["GET"], "which a GET does not have"),
        (bare_list_of_get, ["GET"], "such as int or list[str]"),
        (body_of_get, ["POST", "DELETE"], "which a DELETE does not have"),
        (two_bodies, ["POST"], "write one dataclass with the fields of both"),
        (two_forms, ["POST"], "write one dataclass with the fields of both"),
        (holds_unreadable, ["POST"], "Database'> is neither a JSON type nor a dataclass"),
        (by_position, ["GET"], "cannot be passed by name"),
        (unresolved, ["POST"], "annotate it as a plain type"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_cannot_be_read_is_refused_at_registration(view, methods, sentence):
    with pytest.raises(TypeError) as raised:
        App().route("/", methods)(view)

    assert sentence in str(raised.value)
    assert view.__name__ in str(raised.value)


WITHOUT = """
import sys
sys.modules["msgspec"] = None
from dataclasses import dataclass
from typing import Annotated
from wsgiserve import App, Request
@dataclass
class New:
    text: str
app = App()
@app.post("/plain")
def plain(request: Annotated[Request, New], page=1):
    return request.get_json()
print(app.client().post_json("/plain", {"text": 5}).json)
for kind in int, New:
    def view(request, *, it): ...
    view.__annotations__["it"] = kind
    try:
        app.post("/" + kind.__name__)(view)
    except TypeError as error:
        print(error)
"""


@pytest.mark.slow
def test_without_msgspec_the_plain_form_works_and_others_name_what_to_install(tmp_path: Path):
    run = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=60)

    first, *refused = run.stdout.splitlines()
    assert first == "{'text': 5}"
    assert len(refused) == 2
    assert all("pip install msgspec" in line for line in refused)
    assert "not checked" in run.stderr


def test_openapi_shows_query_parameters_and_bodies():
    app = App()

    @app.post("/{id:int}")
    def view(request: Request, id: int, page: int = 1, tag: list[str] = [], new: New | None = None): ...  # noqa: B006

    @app.get("/")
    def search(q: Annotated[str, msgspec.Meta(min_length=1)], colour: Colour = Colour.RED): ...

    paths = app.openapi(title="", version="")["paths"]
    post = paths["/{id}"]["post"]
    assert post["parameters"][1:] == [
        {"name": "page", "in": "query", "required": False, "schema": {"type": "integer", "default": 1}},
        {
            "name": "tag",
            "in": "query",
            "required": False,
            "schema": {"type": "array", "items": {"type": "string"}},
        },
    ]
    assert post["requestBody"]["required"] is False
    assert [(each["name"], each["required"]) for each in paths["/"]["get"]["parameters"]] == [
        ("q", True),
        ("colour", False),
    ]
