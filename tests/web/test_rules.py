"""The syntax of rules."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgiserve.web import App
from wsgiserve.web.converters import CONVERTERS
from wsgiserve.web.rules import Parameter, fill, parse


@pytest.mark.parametrize(
    ("rule", "instead"),
    [
        ("echo/{text}", "'/echo/{text}'"),
        ("", "'/'"),
        ("/users/<int:id>", "'/users/{id:int}'"),
        ("/users/<id>/<string:name>", "'/users/{id}/{name}'"),
        ("/users/{id", "{name}"),
        ("/users/id}", "{name}"),
        ("/users/{{id}}", "{name}"),
        ("/users/{}", "{name}"),
        ("/users/{1st}", "{name}"),
        ("/users/{user id}", "{name}"),
        ("/users/{id:}", "{name}"),
        ("/users/{int:id}", "{id:int}"),
        ("/users/{id:number}", "str, int, float, uuid, path, any"),
        ("/users/{id:int(}", "{name:int}"),
        ("/users/{id:int(a b)}", "{id:int(min=1)}"),
        ("/users/{id:int(nonsense=1)}", "{id:int(min=1)}"),
        ("/users/{None}", "{id:int(min=1)}"),
        ("/a//b", "'/a/b'"),
        ("/{a}/{a}", "two different names"),
        ("/{rest:path}/", "'/{rest:path}'"),
    ],
)
def test_a_malformed_rule_is_an_error_that_shows_the_right_form(rule, instead):
    with pytest.raises(ValueError, match=re.escape(repr(rule))) as raised:
        App().get(rule)(lambda request, **values: "")

    assert instead in str(raised.value)


def test_the_parameters_of_a_rule_are_read_in_order():
    assert list(parse("/{a}/x{b:int(min=1)}/{c:path}", CONVERTERS)) == [
        Parameter("a"),
        Parameter("b", "int", "(min=1)"),
        Parameter("c", "path"),
    ]


@given(st.lists(st.from_regex(r"[a-z]{1,5}", fullmatch=True), min_size=1, unique=True))
def test_filling_a_rule_with_its_own_braces_gives_the_rule(names):
    rule = "".join(f"/fixed/{{{name}}}" for name in names)

    assert [parameter.name for parameter in parse(rule, CONVERTERS)] == names
    assert fill(rule, [f"{{{name}}}" for name in names]) == rule
