"""The way of a request through an application: paths, methods, bad input."""

from __future__ import annotations

import subprocess
import sys
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webtest import TestApp

from wsgiserve.web import dispatch
from wsgiserve.web.app import App


@pytest.fixture(scope="module")
def app():
    app = App()

    @app.get("/")
    def home(request):
        return "home"

    @app.get("/echo/{text:path}")
    def echo(request, text):
        return text

    @app.get("/users/{id:int}")
    def by_number(request, id):
        return {"number": id}

    @app.get("/users/{name}")
    def by_name(request, name):
        return {"name": name}

    @app.get("/users/me")
    def me(request):
        return {"name": "me, the fixed rule"}

    @app.route("/notes/", methods=["get", "Post"])
    def notes(request):
        return request.method

    @app.delete("/notes/{id:int}")
    @app.put("/notes/{id:int}")
    @app.patch("/notes/{id:int}")
    def note(request, id):
        return f"{request.method} {id}"

    @app.get("/query")
    def query(request):
        return request.args.get("q", "")

    return app


@pytest.fixture(scope="module")
def client(app):
    return TestApp(app)


def test_a_view_gets_the_request_and_the_parameters_by_name():
    app = App()

    @app.get("/{first}/{second}")
    def view(request, second, first):
        return f"{request.method} {first} {second}"

    reply = TestApp(app).get("/a/b")

    assert reply.status == "200 OK"
    assert reply.text == "GET a b"


def test_decorators_return_the_view_unchanged():
    app = App()

    def view(request):
        return "x"

    assert app.get("/a")(view) is view
    assert app.errorhandler(404)(lambda request, error: "y")(None, None) == "y"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (b"/echo/", b""),
        (b"/echo/a", b"a"),
        (b"/echo/a/b/", b"a/b/"),
        (b"/echo/a//b", b"a//b"),
        (b"/echo//", b"/"),
        (b"/echo///a", b"//a"),
        (b"/echo/a b+c", b"a b+c"),
        (b"/echo/a\nb\r\n", b"a\nb\r\n"),
        (b"/echo/\x00", b"\x00"),
        (b"/echo/../x/./y", b"../x/./y"),
        (b"/echo/%41", b"%41"),
        ("/echo/grüße/日本".encode(), "grüße/日本".encode()),
        (b"/echo/" + b"a/" * 50_000, b"a/" * 50_000),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_a_path_parameter_is_the_path_as_sent(app, send, path, body):
    reply = send(app, path)

    assert (reply.status_int, reply.body) == (200, body)
    assert reply.headers["Content-Length"] == str(len(body))


@pytest.mark.slow
@given(st.text(st.characters(codec="utf-8")))
def test_any_text_comes_back_as_sent(app, send, text):
    assert send(app, b"/echo/" + text.encode()).body == text.encode()


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/users/7", {"number": 7}),
        ("/users/007", {"number": 7}),
        ("/users/-7", {"name": "-7"}),
        ("/users/%D9%A7", {"name": "\u0667"}),  # an Arabic digit
        ("/users/7%0A", {"name": "7\n"}),
        ("/users/me", {"name": "me, the fixed rule"}),
        ("/users/%C3%A9", {"name": "é"}),
    ],
)
def test_converters_choose_the_view(client, path, answer):
    assert client.get(path).json == answer


@pytest.mark.parametrize(
    ("rule", "path", "value"),
    [
        ("/{x:str}", "/a", "'a'"),
        ("/{x:float}", "/1.50", "1.5"),
        ("/{x:int(min=3)}", "/3", "3"),
        ("/{x:int(signed=True)}", "/-3", "-3"),
        ("/{x:any(about, help)}", "/help", "'help'"),
        ("/{x:str(length=2)}.txt", "/ab.txt", "'ab'"),
        ("/{x:uuid}", f"/{UUID(int=5)}", repr(UUID(int=5))),
        ("/{x:path}/edit", "/a//b/edit", "'a//b'"),
        ("/x{x:path}", "/x", "''"),
        ("/{x:path}", "/", "''"),
    ],
)  # fmt: skip
def test_converters_turn_text_into_values(rule, path, value):
    app = App()
    app.get(rule)(lambda request, x: repr(x))

    assert TestApp(app).get(path).text == value


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("/{x:float}", "/1."),
        ("/{x:float}", "/.5"),
        ("/{x:float}", "/1"),
        ("/{x:int(max=5)}", "/6"),
        ("/{x:int}", "/1_0"),
        ("/{x:any(about, help)}", "/helper"),
        ("/{x:str(length=2)}", "/abc"),
        ("/{x:uuid}", "/0"),
        ("/{x:path}/edit", "/edit"),
    ],
)
def test_text_that_a_converter_refuses_is_404(rule, path):
    app = App()
    app.get(rule)(lambda request, x: "taken")

    assert TestApp(app).get(path, status=404)


@pytest.mark.parametrize(
    "path",
    [
        b"/nothing",
        b"/echo",
        b"/users/",
        b"/users/a/b",  # the path of /users/a%2Fb
        b"//users/7",
        b"//host/path",
        b"//",
        b"/-/users/7",
        b"/users/" + b"9" * 5000 + b"/",
        b"/" * 50_000,
        b"/users/" + b"9" * 5000,  # more digits than int() accepts
    ],
    ids=lambda path: repr(path[:20]),
)
def test_no_rule_is_404(app, send, path):
    assert send(app, path).status == "404 Not Found"


def test_a_leading_double_slash_reaches_a_path_parameter(send):
    app = App()
    app.get("/{rest:path}")(lambda request, rest: rest)

    assert send(app, b"//host/path").text == "/host/path"


@pytest.mark.parametrize("path", [b"*", b"users/7"])
def test_a_path_without_a_slash_is_404(app, send, path):
    assert send(app, path, lint=False).status_int == 404  # lint refuses to send it


def test_an_empty_path_is_the_root(app, send):
    assert send(app, b"").text == "home"


@pytest.mark.parametrize("path", [b"/echo/\xff", b"/\xc3", b"/echo/\xed\xa0\x80", b"/echo/\xc0\xaf"])
def test_a_path_that_is_not_utf8_is_400(app, send, path):
    reply = send(app, path)

    assert (reply.status, reply.text) == ("400 Bad Request", "The path is not valid UTF-8.\n")


@pytest.mark.parametrize(("query", "value"), [("q=%FF", "%FF"), ("q=%", "%"), ("q", ""), ("%FF&&=&q=1", "1")])
def test_a_malformed_query_reaches_the_view(client, query, value):
    assert client.get(f"/query?{query}").text == value


def test_a_missing_final_slash_is_redirected_with_the_query(app, client):
    reply = client.get("/notes?a=1&b=%2F", status=308)

    assert reply.headers["Location"] == "./notes/?a=1&b=%2F"
    assert reply.follow().text == "GET"


def test_a_redirect_keeps_a_query_that_is_not_ascii(app, send):
    assert send(app, b"/notes", query="q=\xc3\xa9&x=\xff%zz#").headers["Location"] == (
        "./notes/?q=%C3%A9&x=%FF%zz%23"
    )


def test_a_redirect_stays_below_the_mount_point_and_on_the_host(send):
    app = App()
    app.get("/{name}/")(lambda request, name: name)

    for path in [b"/evil.com", b"/http:", b"/%2f", b"/a?b", b"/\\evil.com", b"/javascript:x"]:
        location = send(app, path).headers["Location"]
        assert location.startswith("./")
        assert location.endswith("/")
        assert location.count("/") == 2
        assert "?" not in location
        assert "\\" not in location


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", b"/notes/", "GET"),
        ("POST", b"/notes/", "POST"),
        ("PUT", b"/notes/3", "PUT 3"),
        ("PATCH", b"/notes/3", "PATCH 3"),
        ("DELETE", b"/notes/3", "DELETE 3"),
    ],
)
def test_the_method_chooses_the_view(app, send, method, path, body):
    assert send(app, path, method).text == body


def test_head_is_get_without_the_body_and_with_its_length(client):
    reply = client.head("/echo/hello")

    assert (reply.status_int, reply.body) == (200, b"")
    assert reply.headers["Content-Length"] == "5"


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/notes/3", "DELETE, OPTIONS, PATCH, PUT"),
        ("/notes/", "GET, HEAD, OPTIONS, POST"),
        ("/users/me", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_and_405_list_the_methods_sorted(client, path, allow):
    options = client.options(path)
    assert (options.status, options.headers["Allow"]) == ("204 No Content", allow)

    refused = client.request(path, method="TRACE", status=405)
    assert refused.headers["Allow"] == allow


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
@pytest.mark.parametrize("method", ["get", "Get", "BREW", "get-it", "-"])
def test_a_method_that_nobody_knows_is_501(app, send, method):
    """RFC 9110 section 9.1. One that some route has is known, and a 405 elsewhere."""
    assert send(app, b"/users/me", method).status_int == 501


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
def test_a_method_of_another_route_is_405(send):
    app = App()
    app.get("/tea")(lambda: "tea")
    assert send(app, b"/tea", "BREW").status_int == 501
    app.route("/coffee", methods=["BREW"])(lambda: "coffee")
    assert send(app, b"/tea", "BREW").status_int == 405
    assert send(app, b"/coffee", "BREW").status_int == 200


def test_a_slash_is_added_to_the_path_as_it_was_sent():
    """For a client ``/a%2Fb`` is one segment, from which ``./b/`` leads elsewhere."""
    app = App()
    app.get("/{one}/{two}/")(lambda one, two: one + two)
    answer = TestApp(app).get("/a/b?x=1", extra_environ={"REQUEST_URI": "/a%2Fb?x=1"}, status=308)
    assert answer.headers["Location"] == "./a/b/?x=1"


def test_options_without_a_route_is_404(client):
    assert client.options("/nothing", status=404)


def test_options_may_have_a_view():
    app = App()
    app.route("/x", methods=["OPTIONS"])(lambda request: ("", 204, {"Allow": "OPTIONS", "Via": "me"}))
    app.get("/x")(lambda request: "x")

    assert TestApp(app).options("/x").headers["Via"] == "me"


def test_a_rule_registered_after_the_first_request_works():
    app = App()
    app.get("/{name}")(lambda request, name: name)
    client = TestApp(app)
    assert client.get("/late").text == "late"

    app.get("/late")(lambda request: "the later rule")

    assert client.get("/late").text == "the later rule"
    assert client.get("/other").text == "other"


def test_a_rejected_late_rule_leaves_the_application_as_it_was():
    app = App()
    app.get("/a")(lambda request: "a")
    client = TestApp(app)
    client.get("/a")

    with pytest.raises(ValueError, match="min"):
        app.get("/{x:int(min=a b)}")(lambda request, x: "x")

    assert client.get("/a").text == "a"
    app.get("/b")(lambda request: "b")
    assert client.get("/b").text == "b"


def test_the_framework_never_imports_the_server():
    script = (
        "import sys, wsgiserve.web.app\n"
        "print(any(name in sys.modules for name in ('wsgiserve.server', 'wsgiserve.protocol')))"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert out.stdout.strip() == "False"


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_answers_are_the_same_however_small_the_cache_is(monkeypatch, limit):
    monkeypatch.setattr(dispatch, "MAX_CACHED", limit)
    app = App()
    app.get("/{x:int}")(lambda x: {"x": x})
    client = TestApp(app)

    for _ in range(2):
        assert [client.get(f"/{x}").json for x in range(3)] == [{"x": 0}, {"x": 1}, {"x": 2}]
        assert client.get("/a", status=404)
