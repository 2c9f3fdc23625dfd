"""Shortcuts past the matcher; ``test_routing`` compares them with werkzeug on random rules."""

from __future__ import annotations

import pytest
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map

from wsgiserve.web.routing import RouteTable
from wsgiserve.web.shortcuts import Candidate, Shortcuts


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
def test_the_shortcuts_and_the_matcher_find_the_same_rule(table, path, rule, values):
    (route, _), found = table.match(path, "GET")

    assert (route.rule, found) == (rule, values)


def test_a_segment_that_only_begins_like_a_fixed_one_does_not_match():
    table = RouteTable()
    table.add("/file/{name:path}", ["GET"], lambda name: None)

    with pytest.raises(NotFound):
        table.match("/files", "GET")


@pytest.mark.parametrize("path", ["/users/100", "/users/", "//7", "/", "", "7", "*", "/users/7/"])
def test_a_path_without_a_rule_is_not_found(table, path):
    with pytest.raises(NotFound):
        table.match(path, "GET")


INT = Map().converters["int"](Map())


def candidate(rule, methods=("GET",)):
    return Candidate(rule, ("id",), (INT,), frozenset(methods), rule)


def test_one_parameter_in_the_last_segment_has_a_shortcut():
    shortcuts = Shortcuts([candidate("/users/{id}")])

    assert shortcuts.find("/users/7", "GET") == ("/users/{id}", {"id": 7})


@pytest.mark.parametrize(("path", "method"), [("/users/x", "GET"), ("/users/7", "PUT"), ("/users", "GET")])
def test_a_shortcut_leaves_every_failure_to_the_matcher(path, method):
    assert Shortcuts([candidate("/users/{id}")]).find(path, method) is None


def test_two_patterns_after_one_beginning_have_no_shortcut():
    rules = [candidate("/users/{id}"), candidate("/users/u{id}")]

    assert Shortcuts(rules).find("/users/7", "GET") is None
