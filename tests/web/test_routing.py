"""The table of routes: registration, and a comparison of its matches with a MapAdapter."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from webtest import TestApp
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, RequestRedirect, Rule

from wsgiserve.web import App
from wsgiserve.web.converters import CONVERTERS
from wsgiserve.web.routing import RouteTable, SlashMissing


def test_a_decorator_without_its_rule_is_an_error_that_shows_the_right_form():
    with pytest.raises(TypeError, match=re.escape("@app.get('/path')")):
        App().get(lambda request: "")(lambda request: "")


@pytest.mark.parametrize(
    ("methods", "error", "instead"),
    [
        ("POST", TypeError, "methods=['POST']"),
        ([], ValueError, "methods=['GET']"),
        (["GET POST"], ValueError, "'GET'"),
        ([""], ValueError, "'GET'"),
    ],
)
def test_invalid_methods_are_errors_that_show_the_right_form(methods, error, instead):
    with pytest.raises(error, match=re.escape(instead)):
        App().route("/x", methods=methods)(lambda request: "")


def test_methods_may_be_registered_in_lower_case():
    app = App()
    app.route("/x", methods=["post"])(lambda request: request.method)

    assert TestApp(app).post("/x").text == "POST"


def first_view(request, **values):
    return "first"


def second_view(request, **values):
    return "second"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("/a", ["GET"]), ("/a", ["POST", "GET"])),
        (("/a", ["GET"]), ("/a", ["HEAD"])),
        (("/a/{x}", ["PUT"]), ("/a/{y:str}", ["put"])),
        (("/{x:int(min=1)}", ["PUT"]), ("/{y:int(min=1)}", ["PUT"])),
        # The matcher does not distinguish these, and would never try the second.
        (("/{x:int(max=9)}", ["PUT"]), ("/{y:int(min=10)}", ["PUT"])),
    ],
)
def test_a_duplicate_names_both_views_with_file_and_line(first, second):
    app = App()
    app.route(first[0], methods=first[1])(first_view)

    with pytest.raises(ValueError, match="is already answered by") as raised:
        app.route(second[0], methods=second[1])(second_view)

    for view in (first_view, second_view):
        place = f"{view.__name__} ({view.__code__.co_filename}:{view.__code__.co_firstlineno})"
        assert place in str(raised.value)
    assert first[0] in str(raised.value)
    assert second[0] in str(raised.value)


def test_two_views_of_one_name_are_refused_and_named_with_file_and_line():
    def make(text):
        def page():
            return text

        return page

    app = App()
    first, second = make("first"), make("second")
    app.get("/a")(first)

    with pytest.raises(ValueError, match="give one of them another name with endpoint=") as raised:
        app.get("/b")(second)

    for view in (first, second):
        assert f"page ({__file__}:{view.__code__.co_firstlineno})" in str(raised.value)
    app.get("/b", endpoint="second")(second)
    assert app.url_for("second") == "/b"


def test_one_view_may_answer_several_rules_and_one_rule_may_have_several_views():
    app = App()
    app.get("/a")(app.get("/b")(first_view))
    app.post("/a")(second_view)
    client = TestApp(app)

    assert [client.get("/a").text, client.get("/b").text] == ["first", "first"]
    assert client.post("/a").text == "second"
    assert client.options("/a").headers["Allow"] == "GET, HEAD, OPTIONS, POST"


FIXED = ["a", "7"]  # few, so that rules meet


BRACES = ["{}", "a{}", "{:int}", "{:int(max=8)}", "{:path}", "{:any(a, b)}"]


SEGMENTS = st.sampled_from([*FIXED, *BRACES])


METHODS = st.sampled_from([("GET",), ("POST",), ("GET", "POST")])


@st.composite
def rules(draw):
    segments = draw(st.lists(SEGMENTS, min_size=1, max_size=2))
    names = (f"{{{chr(ord('x') + place)}" for place in range(3))
    rule = "/" + "/".join(
        segment.replace("{", next(names)) if "{" in segment else segment for segment in segments
    )
    return rule + draw(st.sampled_from(["", "", "/"])) if segments else rule, draw(METHODS)


PATHS = st.lists(st.sampled_from(["a", "7", "9", "", "ab", "b"]), max_size=4)


def verdict(match):
    """Return a match, or the status of the error."""
    try:
        return match()
    except NotFound:
        return 404
    except MethodNotAllowed as error:
        return 405, {*error.valid_methods} - {"OPTIONS"}
    except (RequestRedirect, SlashMissing):
        return 308


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(rules(), min_size=2, max_size=5), PATHS, st.sampled_from(["GET", "POST", "HEAD", "PUT"]))
def test_random_rules_match_random_paths_as_a_map_adapter_does(registered, segments, method):
    table, reference = RouteTable(), Map(converters=CONVERTERS, merge_slashes=False, redirect_defaults=False)
    for rule, methods in registered:
        try:
            table.add(rule, methods, lambda **values: None)
        except ValueError:  # a duplicate
            continue
        angled = rule
        for parameter in table.routes[-1].parameters:
            written = angled[angled.index("{") : angled.index("}") + 1]
            angled = angled.replace(written, f"<{parameter.pattern}:{parameter.name}>", 1)
        reference.add(Rule(angled, methods=methods, endpoint=table.routes[-1]))
    assume(table.routes)
    path = "/" + "/".join(segments)
    assume(not path.startswith("//"))  # an adapter strips slashes

    def ours():
        (route, _), values = table.match(path, method)
        return route, dict(values)

    assert verdict(ours) == verdict(lambda: reference.bind("").match(path, method))
