"""Whatever is known beforehand, the verdict is werkzeug's: random rules and paths against a MapAdapter."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, RequestRedirect, Rule

from wsgiserve.web.converters import CONVERTERS
from wsgiserve.web.routing import RouteTable

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
    """Give a verdict, or what was raised for it."""
    try:
        return match()
    except NotFound:
        return 404
    except MethodNotAllowed as error:
        return 405, {*error.valid_methods} - {"OPTIONS"}
    except RequestRedirect:
        return 308


@settings(max_examples=300, deadline=None)
@given(st.lists(rules(), min_size=2, max_size=5), PATHS, st.sampled_from(["GET", "POST", "HEAD", "PUT"]))
def test_the_verdict_is_that_of_a_map_adapter(registered, segments, method):
    table, reference = RouteTable(), Map(converters=CONVERTERS, merge_slashes=False, redirect_defaults=False)
    for rule, methods in registered:
        try:
            table.add(rule, methods, lambda **values: None)
        except ValueError:  # one that would never be reached
            continue
        angled = rule
        for parameter in table.routes[-1].parameters:
            written = angled[angled.index("{") : angled.index("}") + 1]
            angled = angled.replace(written, f"<{parameter.pattern}:{parameter.name}>", 1)
        reference.add(Rule(angled, methods=methods, endpoint=table.routes[-1]))
    assume(table.routes)
    path = "/" + "/".join(segments)
    assume(not path.startswith("//"))  # what an adapter strips

    def ours():
        (route, _), values = table.match(path, method)
        return route, dict(values)

    assert verdict(ours) == verdict(lambda: reference.bind("").match(path, method))


@pytest.fixture
def table():
    table = RouteTable()
    for rule in [
        "/users/{id:int(max=99)}",
        "/users/me",
        "/{page}",
        "/{section}/new",
        "/files/{name:path}",
        "/file/{name:path}",
        "/files/all/index",
        "/notes/{id}",
        "/notes/{id}/",
        "/notes/last",
    ]:
        table.add(rule, ["GET"], lambda **values: None)
    return table


@pytest.mark.parametrize(
    ("path", "rule", "values"),
    [
        ("/users/7", "/users/{id:int(max=99)}", {"id": 7}),
        ("/users/me", "/users/me", {}),
        ("/users/new", "/{section}/new", {"section": "users"}),
        ("/7", "/{page}", {"page": "7"}),
        ("/files/a", "/files/{name:path}", {"name": "a"}),
        ("/files/a/b", "/files/{name:path}", {"name": "a/b"}),
        ("/files//a/", "/files/{name:path}", {"name": "/a/"}),
        ("/files/", "/files/{name:path}", {"name": ""}),
        ("/files/all", "/files/{name:path}", {"name": "all"}),
        ("/files/all/index", "/files/all/index", {}),
        ("/files/all/others", "/files/{name:path}", {"name": "all/others"}),
        ("/notes/first", "/notes/{id}", {"id": "first"}),
        ("/notes/first/", "/notes/{id}/", {"id": "first"}),
        ("/notes/last", "/notes/last", {}),
        ("/files", "/{page}", {"page": "files"}),
    ],
)
def test_each_way_to_a_match(table, path, rule, values):
    (route, _), found = table.match(path, "GET")

    assert (route.rule, found) == (rule, values)


def test_a_longer_name_is_another_place():
    table = RouteTable()
    table.add("/file/{name:path}", ["GET"], lambda name: None)

    with pytest.raises(NotFound):
        table.match("/files", "GET")


@pytest.mark.parametrize("path", ["/users/100", "/users/", "//7", "/", "", "7", "*", "/users/7/"])
def test_what_has_no_rule(table, path):
    with pytest.raises(NotFound):
        table.match(path, "GET")
