"""Views: their parameters are checked at registration, and any callable that fits is accepted."""

from __future__ import annotations

import functools

import pytest
from webtest import TestApp

from wsgiserve.web import App
from wsgiserve.web.annotations import UNRESOLVED
from wsgiserve.web.views import annotation, describe


def takes_nothing():
    return ""


def takes_no_parameter(request):
    return ""


def takes_other(request, other):
    return ""


def takes_too_much(request, name, more):
    return ""


async def is_async(request, name):
    return ""


@pytest.mark.parametrize(
    ("view", "complaint"),
    [
        (takes_nothing, "'name'"),
        (takes_no_parameter, "'name'"),
        (takes_other, "'other'"),
        (takes_too_much, "'more'"),
        (is_async, "async"),
    ],
)
def test_a_view_that_cannot_take_the_parameters_is_a_type_error(view, complaint):
    with pytest.raises(TypeError) as raised:
        App().get("/{name}")(view)

    message = str(raised.value)
    assert "'/{name}'" in message
    assert f"{view.__name__} ({__file__}:{view.__code__.co_firstlineno})" in message
    assert complaint in message
    assert "def view(request, name)" in message


@pytest.mark.parametrize(
    ("view", "text"),
    [
        (lambda: "nothing", "nothing"),
        (lambda request: request.method, "GET"),
        (lambda req: req.method, "GET"),
        (lambda *, page=1: f"page {page}", "page 1"),
        (lambda page=1: f"page {page}", "page 1"),
    ],
    ids=["nothing", "request", "another name", "keyword", "default"],
)
def test_a_view_gets_the_request_only_if_it_takes_it(view, text):
    app = App()
    app.get("/")(view)

    assert TestApp(app).get("/").text == text


def test_a_view_may_take_only_the_parameters_of_the_rule():
    app = App()

    @app.get("/{first}/{second}")
    def view(second, first):
        return f"{first} {second}"

    assert TestApp(app).get("/a/b").text == "a b"


def test_the_request_has_to_be_the_first_parameter():
    with pytest.raises(TypeError, match=r"def view\(request, name\)"):
        App().get("/{name}")(lambda name, request: "")


def _decorated(view, wrapper):
    return functools.wraps(view)(wrapper)


def _takes_a_database(request, database, name):
    return f"{request.method} {database} {name}"


@pytest.mark.parametrize(
    "wrapper",
    [
        lambda request, **values: _takes_a_database(request, "db", **values),
        lambda request, *rest, **values: _takes_a_database(request, "db", *rest, **values),
        lambda *args, **values: _takes_a_database(*args, database="db", **values),
        lambda request, name: _takes_a_database(request, "db", name),
        lambda request, name, **more: _takes_a_database(request, "db", name),
    ],
)
def test_a_decorator_may_pass_a_view_more_arguments_than_the_rule_has(wrapper):
    app = App()
    app.get("/{name}")(_decorated(_takes_a_database, wrapper))

    assert TestApp(app).get("/me").text == "GET db me"


def test_a_decorator_may_take_parameters_that_its_view_does_not():
    app = App()
    app.get("/{name}")(_decorated(lambda note: note, lambda name: f"the note {name}"))

    assert TestApp(app).get("/me").text == "the note me"


@pytest.mark.parametrize(
    "wrapper", [lambda request: "", lambda *args, **values: "", lambda request, **values: ""]
)
def test_the_view_inside_a_decorator_is_checked_too(wrapper):
    with pytest.raises(TypeError, match="'name'"):
        App().get("/{name}")(_decorated(takes_no_parameter, wrapper))


def test_a_view_has_to_be_callable():
    with pytest.raises(TypeError, match="'text' is not callable"):
        App().get("/x")("text")


class Greeter:
    def __call__(self, request, name="you"):
        return f"hello {name}"

    def method(self, request, *, name):
        return f"method {name}"


@pytest.mark.parametrize(
    ("view", "text"),
    [
        (Greeter(), "hello me"),
        (Greeter().method, "method me"),
        (lambda request, /, **values: f"{values}", "{'name': 'me'}"),
        (lambda *anything, **values: f"{len(anything)} {values}", "1 {'name': 'me'}"),
    ],
    ids=["object", "bound-method", "keywords", "anything"],
)
def test_any_callable_that_fits_is_a_view(view, text):
    app = App()
    app.get("/{name}")(view)

    assert TestApp(app).get("/me").text == text


def test_a_callable_without_a_signature_is_accepted_unchecked():
    app = App()
    app.get("/x")(type)  # inspect.signature(type) raises ValueError

    assert TestApp(app).get("/x", status=500)


def test_a_view_is_described_by_its_name_and_its_place():
    line = takes_nothing.__code__.co_firstlineno

    assert describe(takes_nothing) == f"takes_nothing ({__file__}:{line})"
    assert describe(functools.partial(takes_nothing)).endswith(f"({__file__}:{line})")
    assert describe(len) == "len"  # written in C: it has no place


def test_names_in_annotations_are_looked_up_in_globals_and_closure():
    local = int

    def view(a: local, b: functools.partial, c: nowhere):  # noqa: F821 -- it cannot be resolved
        return local

    assert annotation(view, "a") is int
    assert annotation(view, "b") is functools.partial
    assert annotation(view, "c") is UNRESOLVED
