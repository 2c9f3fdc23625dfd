"""Mistakes are errors at registration, and say what to write."""

from __future__ import annotations

import functools
import re

import pytest
from webtest import TestApp
from werkzeug.exceptions import HTTPException

from wsgiserve.web import App


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
def test_a_malformed_rule_is_named_and_answered_with_the_right_form(rule, instead):
    with pytest.raises(ValueError, match=re.escape(repr(rule))) as raised:
        App().get(rule)(lambda request, **values: "")

    assert instead in str(raised.value)


def test_a_decorator_without_its_rule_says_so():
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
def test_wrong_methods(methods, error, instead):
    with pytest.raises(error, match=re.escape(instead)):
        App().route("/x", methods=methods)(lambda request: "")


def test_methods_may_be_in_lower_case():
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
        # The matcher cannot tell these apart, and would never come to the second.
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
def test_a_view_that_cannot_take_the_rule_is_a_type_error(view, complaint):
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
def test_the_request_is_given_to_views_that_take_it(view, text):
    app = App()
    app.get("/")(view)

    assert TestApp(app).get("/").text == text


def test_a_parameter_may_be_all_that_a_view_takes():
    app = App()

    @app.get("/{first}/{second}")
    def view(second, first):
        return f"{first} {second}"

    assert TestApp(app).get("/a/b").text == "a b"


def test_the_request_comes_first():
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
def test_a_decorator_may_give_a_view_more_than_the_rule_has(wrapper):
    app = App()
    app.get("/{name}")(_decorated(_takes_a_database, wrapper))

    assert TestApp(app).get("/me").text == "GET db me"


def test_a_decorator_may_take_what_its_view_does_not():
    app = App()
    app.get("/{name}")(_decorated(lambda note: note, lambda name: f"the note {name}"))

    assert TestApp(app).get("/me").text == "the note me"


@pytest.mark.parametrize(
    "wrapper", [lambda request: "", lambda *args, **values: "", lambda request, **values: ""]
)
def test_a_decorated_view_is_looked_at_too(wrapper):
    with pytest.raises(TypeError, match="'name'"):
        App().get("/{name}")(_decorated(takes_no_parameter, wrapper))


def test_what_cannot_be_called_is_no_view():
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
def test_every_callable_that_fits_is_a_view(view, text):
    app = App()
    app.get("/{name}")(view)

    assert TestApp(app).get("/me").text == text


def test_a_callable_without_a_readable_signature_is_taken_at_its_word():
    app = App()
    app.get("/x")(type)  # inspect.signature(type) raises ValueError

    assert TestApp(app).get("/x", status=500)


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (200, ValueError),
        (600, ValueError),
        ("404", TypeError),
        (object, TypeError),
        (KeyboardInterrupt, TypeError),
    ],
)
def test_errorhandler_takes_error_statuses_and_exception_classes(key, error):
    with pytest.raises(error, match=r"errorhandler\(.*write a status"):
        App().errorhandler(key)(lambda request, error: "")


def test_an_errorhandler_takes_the_request_and_the_error():
    with pytest.raises(TypeError, match=r"def handler\(request, error\)"):
        App().errorhandler(404)(lambda error: "")


def test_a_second_handler_for_the_same_error_is_refused():
    app = App()
    app.errorhandler(HTTPException)(lambda request, error: "")

    with pytest.raises(ValueError, match=r"already answered by .*<lambda>.*remove one"):
        app.errorhandler(HTTPException)(lambda request, error: "")
