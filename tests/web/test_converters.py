"""Converters, and the annotations that choose them."""

from __future__ import annotations

import functools
import logging
import subprocess
import sys
import warnings
from datetime import date
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Optional
from urllib.parse import quote, urljoin
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from webtest import TestApp
from werkzeug.routing import BaseConverter, ValidationError

from wsgiserve.web import App, abort
from wsgiserve.web.converters import CONVERTERS, for_annotation
from wsgiserve.web.paths import has_dot_segment

if TYPE_CHECKING:
    from nowhere import Missing

UserId = NewType("UserId", int)


def by_int(x: int):
    return repr(x)


def by_float(x: float):
    return repr(x)


def by_uuid(x: UUID):
    return repr(x)


def by_str(x: str):
    return repr(x)


def by_any(x: Any):
    return repr(x)


def by_none(x):
    return repr(x)


def by_literal(x: Literal["about", "a b"]):
    return repr(x)


def by_new_type(x: UserId):
    return repr(x)


def by_annotated(x: Annotated[int, "a number"]):
    return repr(x)


def by_optional(x: Optional[int]):  # noqa: UP045 -- both ways are seen
    return repr(x)


def by_union(x: int | None = None):
    return repr(x)


def by_path(x: Path):
    return repr(x)


def by_pure_path(x: PurePath):
    return repr(x)


class Numbered:
    def method(self, request, x: int):
        return repr(x)

    def __call__(self, x: int):
        return repr(x)


@pytest.mark.parametrize(
    ("view", "path", "value"),
    [
        (by_int, "/7", "7"),
        (by_float, "/7.5", "7.5"),
        (by_uuid, f"/{UUID(int=5)}", repr(UUID(int=5))),
        (by_str, "/7", "'7'"),
        (by_any, "/7", "'7'"),
        (by_none, "/7", "'7'"),
        (by_literal, "/a%20b", "'a b'"),
        (by_new_type, "/7", "7"),
        (by_annotated, "/7", "7"),
        (by_optional, "/7", "7"),
        (by_union, "/7", "7"),
        (by_path, "/a/b", "PurePosixPath('a/b')"),
        (by_pure_path, "/", "PurePosixPath('.')"),
        (Numbered().method, "/7", "7"),
        (Numbered(), "/7", "7"),
        (functools.partial(by_int), "/7", "7"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_annotation_chooses_the_converter_if_the_braces_name_none(view, path, value):
    app = App()
    app.get("/{x}")(view)

    assert TestApp(app).get(path).text == value


@pytest.mark.parametrize(
    ("view", "path"),
    [(by_int, "/a"), (by_float, "/7"), (by_uuid, "/7"), (by_literal, "/b"), (by_str, "/a/b")],
)
def test_text_that_does_not_fit_the_annotation_is_404(view, path):
    app = App()
    app.get("/{x}")(view)

    assert TestApp(app).get(path, status=404)


def test_a_converter_in_the_braces_wins_over_the_annotation():
    app = App()
    app.get("/{x:str}")(by_int)

    assert TestApp(app).get("/7").text == "'7'"


def test_a_path_is_a_str_unless_it_is_annotated_as_a_path():
    app = App()
    app.get("/str/{x:path}")(by_str)
    app.get("/path/{x:path}")(by_path)
    client = TestApp(app)

    assert client.get("/str/a//../b").text == "'a//../b'"
    assert client.get("/path/a/b").text == "PurePosixPath('a/b')"
    assert isinstance(PurePosixPath(), PurePath)


@pytest.mark.parametrize("path", ["/../etc/passwd", "/a/../../b", "//etc/passwd", "/a%00b", "/.."])
def test_a_path_that_leads_out_of_a_folder_is_404(path):
    app = App()
    app.get("/files/{x}")(by_path)

    assert TestApp(app).get(f"/files{path}", status=404)


def test_an_annotation_that_cannot_be_resolved_means_str_and_is_logged(caplog):
    app = App()

    def view(request: Missing, name: Missing, day: date) -> Missing:
        return f"{name!r} {day!r}"

    with warnings.catch_warnings(), caplog.at_level(logging.WARNING, "wsgiserve.app"):
        warnings.simplefilter("error")  # for users who run with -W error
        app.get("/{name}/{day}")(view)

    assert TestApp(app).get("/me/today").text == "'me' 'today'"
    place = f"({__file__}:{view.__code__.co_firstlineno})"
    unresolved, unknown = (record.getMessage() for record in caplog.records)
    assert place in unresolved
    assert "the annotation of 'name'" in unresolved
    assert "cannot be resolved" in unresolved
    assert "write {name:str}" in unresolved
    assert "picks no converter (<class 'datetime.date'>)" in unknown


def test_an_annotation_may_use_names_of_the_enclosing_function():
    Number = NewType("Number", int)
    app = App()

    @app.get("/{x}")
    def view(x: Number):
        return repr(Number(x))

    assert TestApp(app).get("/7").text == "7"
    assert TestApp(app).get("/seven", status=404)


def test_other_annotations_are_not_read(caplog):
    app = App()

    @app.get("/{name:str}")
    def view(request: Missing, name: Missing) -> Missing:
        return name

    assert TestApp(app).get("/me").text == "me"
    assert not caplog.records


def test_annotations_work_without_the_future_import():
    script = (
        "from wsgiserve import App\n"
        "app = App()\n"
        "@app.get('/{x}/{y}')\n"
        "def view(x: int, y: 'Nowhere'): ...\n"
        "print([known.converter for known in app.routes[0].parameters])\n"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert out.stdout.strip() == "['int', 'str']"
    assert "the annotation of 'y' in view view" in out.stderr


class Day(BaseConverter):
    regex = r"\d{4}-\d\d-\d\d"
    made = 0

    def to_python(self, value):
        Day.made += 1
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValidationError from None

    def to_url(self, value):
        return value.isoformat()


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("/{x:int}", -1),
        ("/{x:int(max=9)}", 10),
        ("/{x:int(min=3)}", 2),
        ("/{x:int(fixed_digits=2)}", 100),
        ("/{x:float}", -0.5),
        ("/{x:float}", float("nan")),
        ("/{x:float(signed=True)}", float("-inf")),
        ("/{x:str(length=2)}", "abc"),
        ("/{x:uuid}", "abc"),
        ("/{x:any(a, b)}", "c"),
        ("/{x:path(pure=True)}", "../x"),
    ],
)
def test_a_url_that_would_not_match_is_not_built(rule, value):
    app = App()
    app.route(rule, endpoint="x")(lambda x: "")
    with pytest.raises(ValueError, match=r"^url_for 'x': .* (does not fit|is not one of)"):
        app.url_for("x", x=value)


@pytest.fixture(scope="module")
def comes_back():
    """Whether a view gets the value that its URL was built from."""
    app = App()
    found = []
    for rule in ("/f/{x:float(signed=True)}", "/i/{x:int(signed=True)}/end", "/p/{x:path}", "/s/{x}/end"):
        app.route(rule, endpoint=rule[1])(lambda x: found.append(x) or "")
    client = TestApp(app, lint=False)

    def comes_back(endpoint, value):
        client.get(app.url_for(endpoint, x=value))
        return found.pop() == value

    return comes_back


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back_from_their_url(comes_back, value):
    assert comes_back("f", value)


@given(st.integers())
def test_integers_come_back_from_their_url(comes_back, value):
    assert comes_back("i", value)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_text_comes_back_from_its_url(comes_back, value):
    assume(not value.startswith("/") and not has_dot_segment(f"/{value}"))  # these have no URL
    assert comes_back("p", value)
    assert "/" in value or comes_back("s", value)


def test_a_float_that_is_too_large_is_404():
    app = App()
    app.get("/{x:float}")(lambda x: {"x": x})
    assert TestApp(app).get(f"/{'9' * 400}.0", status=404)


def test_a_user_s_converter_matches_and_builds():
    app = App()
    app.converter("day", Day)

    @app.get("/diary/{day:day}")
    def diary(day: date):
        return f"{day:%d.%m.%Y}"

    client = TestApp(app)
    assert client.get("/diary/2026-11-20").text == "20.11.2026"
    assert client.get("/diary/2026-11-31", status=404)
    assert app.url_for(diary, day=date(2026, 1, 2)) == "/diary/2026-01-02"


def test_a_user_s_converter_is_called_for_each_request():
    app = App()
    app.converter("day", Day)
    app.get("/{day:day}")(lambda day: "")
    client = TestApp(app)
    before = Day.made

    for _ in range(3):
        client.get("/2026-11-20")

    assert Day.made == before + 3


def test_a_refusal_of_a_user_s_converter_is_not_cached():
    notes = set()

    class Note(BaseConverter):
        def to_python(self, value):
            if value not in notes:
                raise ValidationError
            return value

    app = App()
    app.converter("note", Note)
    app.get("/notes/{name:note}")(lambda name: name)
    client = TestApp(app)
    assert client.get("/notes/milk", status=404)
    notes.add("milk")
    assert client.get("/notes/milk").text == "milk"


@pytest.mark.parametrize("rule", ["/notes/{name:note}", "/notes/{name:note}/lines"])
def test_an_exception_of_a_user_s_converter_is_answered_like_one_of_a_view(rule):
    class Note(BaseConverter):
        def to_python(self, value):
            if value == "forbidden":
                abort(403)
            return b"\xff".decode() if value == "undecodable" else {}[value]

    app = App()
    app.converter("note", Note)
    app.get(rule)(lambda name: name)

    @app.errorhandler(KeyError)
    def missing(request, error):
        return f"no note {error}", 410

    seen = []
    app.teardown_request(lambda request, error: seen.append(type(error).__name__))
    client = TestApp(app)
    path = rule.replace("{name:note}", "{}")
    assert client.get(path.format("forbidden"), status=403)
    assert client.get(path.format("undecodable"), status=500)
    assert client.get(path.format("milk"), status=410).text == "no note 'milk'"
    assert seen == ["Forbidden", "UnicodeDecodeError", "KeyError"]


@pytest.mark.parametrize(
    ("name", "converter", "error"),
    [
        ("int", Day, ValueError),
        ("a day", Day, ValueError),
        ("day", str, TypeError),
        ("day", Day(None), TypeError),
    ],
)
def test_an_invalid_converter_is_an_error(name, converter, error):
    with pytest.raises(error, match=f"converter '{name}'"):
        App().converter(name, converter)


@pytest.mark.parametrize(
    "rules",
    [
        ["/{x}", "/{x:uuid}", "/{x:any(a, b)}", "/{x:int}", "/{x:str(length=2)}", "/a"],
        ["/a", "/{x:str(length=2)}", "/{x:int}", "/{x:any(a, b)}", "/{x:uuid}", "/{x}"],
    ],
)
def test_the_most_specific_rule_wins_in_any_order(rules):
    app = App()
    for rule in rules:
        app.get(rule)(lambda rule=rule, **values: rule)
    client = TestApp(app)

    assert client.get("/a").text == "/a"
    assert client.get("/b").text == "/{x:any(a, b)}"
    assert client.get("/7").text == "/{x:int}"
    assert client.get("/ab").text == "/{x:str(length=2)}"
    assert client.get(f"/{UUID(int=5)}").text == "/{x:uuid}"
    assert client.get("/abc").text == "/{x}"


@pytest.mark.parametrize(
    ("annotation", "converter"),
    [
        (int, ("int", "")),
        (Path, ("path", "(pure=True)")),
        (Literal["a", "b"], ("any", "('a', 'b')")),
        (Literal["a", 1], None),
        (int | str, None),
        (date, None),
        ([], None),
    ],
    ids=str,
)
def test_each_annotation_chooses_a_converter_or_none(annotation, converter):
    assert for_annotation(annotation) == converter
    assert converter is None or converter[0] in CONVERTERS


@pytest.mark.parametrize("value", ["..", ".", "../x", "x/../y", "a/.", "./a", "/x", "//h/x"])
def test_no_url_is_built_that_clients_send_as_another(value):
    app = App()
    app.get("/{x:path}", endpoint="all")(lambda x: x)
    app.get("/files/{x:path}", endpoint="files")(lambda x: x)
    app.get("/users/{x}", endpoint="user")(lambda x: x)
    for endpoint in ("all", "files", *(["user"] if "/" not in value else [])):
        with pytest.raises(ValueError, match=r"clients would remove the dot segment|begins with a slash"):
            app.url_for(endpoint, x=value)


@pytest.mark.parametrize("value", ["...", "..a", "a..", ".a", "%2e", "a/..b/c", "a//b", ""])
def test_other_dots_and_slashes_stay(value):
    app = App()
    app.get("/files/{x:path}", endpoint="files")(lambda x: x)
    url = app.url_for("files", x=value)
    assert urljoin("http://h/", url.replace("//", "/")) == f"http://h{url.replace('//', '/')}"
    assert TestApp(app).get(url).text == value


@pytest.mark.parametrize("word", ["a b", "\u00fc", "x?y#z", "50%", "a;b", "a+b"])
def test_a_word_of_a_literal_is_quoted_in_a_url(word):
    app = App()

    @app.get("/pages/{page}")
    def page(page: Literal["a b", "\u00fc", "x?y#z", "50%", "a;b", "a+b"]) -> str:
        return page

    url = app.url_for(page, page=word)
    assert url == f"/pages/{quote(word, safe=';+')}"
    assert TestApp(app).get(url).text == word


@pytest.mark.parametrize("rule", ["/{x:any('a/b')}", "/{x:any('..', a)}", "/./{x}", "/a/../b", "/a/."])
def test_a_rule_that_no_client_reaches_is_an_error(rule):
    with pytest.raises(ValueError, match=r"no segment of a path|has a dot segment"):
        App().get(rule)(lambda **values: "")
