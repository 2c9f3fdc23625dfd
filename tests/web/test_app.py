"""The application: mounted apps, middleware, and URLs of its views."""

from __future__ import annotations

import pytest
from webtest import TestApp
from werkzeug.middleware.proxy_fix import ProxyFix

from tests.web.conftest import make_notes
from wsgiserve.web.app import App


def show(environ, start_response):
    """Answer with the paths and the method of the request."""
    body = f"{environ['SCRIPT_NAME']} | {environ['PATH_INFO']} | {environ['REQUEST_METHOD']}".encode(
        "latin-1"
    )
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture
def app():
    app = App()
    app.mount("/admin", show)
    app.get("/admin/own")(lambda: "the app's own")
    app.get("/administrator")(lambda: "not mounted")
    return app


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        (b"/admin", b"/admin |  | GET"),
        (b"/admin/", b"/admin | / | GET"),
        (b"/admin/a//b/../", b"/admin | /a//b/../ | GET"),
        (b"/admin/\xff\xfe", b"/admin | /\xff\xfe | GET"),
        ("/admin/grüße".encode(), "/admin | /grüße | GET".encode()),
        (b"/admin//", b"/admin | // | GET"),
        (b"/admin/own/x", b"/admin | /own/x | GET"),
        (b"/admin/own", b"the app's own"),
        (b"/administrator", b"not mounted"),
    ],
)
def test_the_prefix_moves_to_the_script_name_and_the_rest_is_as_sent(app, send, path, seen):
    assert send(app, path).body == seen
    assert send(app, path).body == seen  # from the cache


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "DELETE", "PROPFIND"])
def test_a_mounted_app_answers_every_method(app, method):
    with pytest.warns() if method == "PROPFIND" else pytest.MonkeyPatch.context():
        assert TestApp(app).request("/admin/x", method=method).text == f"/admin | /x | {method}"


def test_mounts_nest_and_the_script_name_grows():
    inner, outer = App(), App()
    inner.mount("/b", show)
    outer.mount("/a", inner)

    reply = TestApp(outer).get("/a/b/c", extra_environ={"SCRIPT_NAME": "/root"})

    assert reply.text == "/root/a/b | /c | GET"


def test_a_prefix_need_not_be_ascii(send):
    app = App()
    app.mount("/grüße", show)

    assert send(app, "/grüße/x".encode()).body == "/grüße | /x | GET".encode()


def test_a_url_below_a_prefix_is_percent_encoded(send):
    outer, inner = App(), App()
    inner.get("/n")(lambda request: inner.url_for("GET /n", request))
    outer.mount("/50% é?", inner)

    assert send(outer, "/50% é?/n".encode()).text == "/50%25%20%C3%A9%3F/n"


def test_an_old_app_at_the_root_answers_paths_without_a_route():
    app = App()
    app.mount("", show)
    app.get("/new")(lambda: "new")
    client = TestApp(app)

    assert client.get("/new").text == "new"
    assert client.get("/old").text == " | /old | GET"
    assert client.get("/").text == " | / | GET"


def test_hooks_are_not_called_for_a_mounted_app(app):
    app.before_request(lambda request: "from the hook")

    assert TestApp(app).get("/admin/x").text == "/admin | /x | GET"
    assert TestApp(app).get("/administrator").text == "from the hook"


def test_a_mounted_app_cannot_change_the_environ_of_the_outer_app(app):
    def spoil(environ, start_response):
        environ.clear()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "0")])
        return []

    app.mount("/spoil", spoil)
    seen = []

    def remember(inner):
        def call(environ, start_response):
            result = inner(environ, start_response)
            seen.append(environ["PATH_INFO"])
            return result

        return call

    app.wrap(remember)
    TestApp(app, lint=False).get("/spoil/x")

    assert seen == ["/spoil/x"]


@pytest.mark.parametrize("prefix", ["admin", "/admin/", "/", "/{name}", "/<int:id>", "//host", "/a//b"])
def test_an_invalid_prefix_is_an_error_that_shows_the_right_form(prefix):
    with pytest.raises(ValueError, match="write a fixed prefix, such as '/admin'"):
        App().mount(prefix, show)


def test_a_mounted_app_has_to_be_callable():
    with pytest.raises(TypeError, match="a WSGI app is a callable"):
        App().mount("/x", "text")


def test_a_mount_that_hides_a_route_is_an_error_that_names_both():
    def everything(rest):
        return rest

    app = App()
    app.mount("/admin", show)
    with pytest.raises(ValueError, match=r"everything \(.*already answered by.*show \(.*test_app.py:\d+\)"):
        app.get("/admin/{rest:path}")(everything)
    with pytest.raises(ValueError, match="already answered by"):
        app.mount("/admin", show)

    other = App()
    other.get("/admin/{rest:path}")(everything)
    with pytest.raises(ValueError, match="already answered by"):
        other.mount("/admin", show)


def test_a_mounted_app_starts_and_ends_with_the_outer_one():
    inner, outer, calls = App(), App(), []
    inner.on_startup(lambda: calls.append("inner up"))
    inner.on_shutdown(lambda: calls.append("inner down"))
    outer.on_startup(lambda: calls.append("outer up"))
    outer.on_shutdown(lambda: calls.append("outer down"))
    outer.mount("/inner", inner)

    outer.startup()
    TestApp(outer).get("/inner/x", status=404)
    outer.shutdown()

    assert calls == ["outer up", "inner up", "inner down", "outer down"]


# Middleware


def test_the_last_middleware_is_the_outermost():
    def tag(inner, name):
        def call(environ, start_response):
            environ["tags"] = [*environ.get("tags", ()), name]
            return inner(environ, start_response)

        return call

    app = App()
    app.get("/")(lambda request: request.environ["tags"])
    app.wrap(tag, name="inner")
    app.wrap(tag, name="outer")

    assert isinstance(app, App)
    assert TestApp(app).get("/").json == ["outer", "inner"]


def test_async_middleware_is_refused_when_it_wraps():
    async def asgi(scope, receive, send): ...

    async def factory(app): ...

    for middleware in factory, lambda app: asgi, lambda app: None:
        app = App()
        app.get("/")(lambda: "still served")
        with pytest.raises(TypeError, match="wrap: "):
            app.wrap(middleware)
        assert TestApp(app).get("/").text == "still served"


def test_proxy_middleware_sets_address_and_scheme():
    app = App()
    app.get("/")(lambda request: f"{request.remote_addr} {request.scheme}")
    app.wrap(ProxyFix, x_for=1, x_proto=1)

    headers = {"X-Forwarded-For": "9.9.9.9, 203.0.113.7", "X-Forwarded-Proto": "https"}
    assert TestApp(app).get("/", headers=headers).text == "203.0.113.7 https"


# Building URLs


@pytest.fixture
def shop():
    app = App()
    app.include(make_notes())

    @app.get("/files/{name:path}")
    def file(name):
        return name

    @app.get("/pages/")
    @app.get("/pages/{page}")
    def pages(page="first"):
        return page

    return app


@pytest.mark.parametrize(
    ("endpoint", "values", "path"),
    [
        ("notes.index", {}, "/notes"),
        ("notes.show", {"id": 7}, "/notes/7"),
        ("notes.show", {"id": 7, "draft": "a b", "tag": ["x", "y"]}, "/notes/7?draft=a+b&tag=x&tag=y"),
        ("file", {"name": "a/b c?.txt"}, "/files/a/b%20c%3F.txt"),
        ("pages", {}, "/pages/"),
        ("pages", {"page": "zwölf"}, "/pages/zw%C3%B6lf"),
    ],
)
def test_url_for_builds_a_path_that_leads_to_the_view(shop, endpoint, values, path):
    assert shop.url_for(endpoint, **values) == path
    assert TestApp(shop).get(path).status_int == 200


def test_url_for_takes_the_view_itself():
    app = App()
    view = app.get("/users/{endpoint}/{request}")(lambda **values: "")

    assert app.url_for(view, endpoint="a", request="b") == "/users/a/b"


def test_url_for_puts_the_script_name_first(shop):
    @shop.get("/here")
    def here(request):
        return shop.url_for("notes.show", request, id=7)

    reply = TestApp(shop).get("/here", extra_environ={"SCRIPT_NAME": "/shop"})

    assert reply.text == "/shop/notes/7"
    umlaut = TestApp(shop).get("/here", extra_environ={"SCRIPT_NAME": "/\xc3\xbc"})
    assert umlaut.text == "/%C3%BC/notes/7"


@pytest.mark.parametrize(
    ("endpoint", "values", "error", "complaint"),
    [
        ("notes.shwo", {}, LookupError, "only file, notes.index, notes.remove, notes.show, pages"),
        (len, {}, LookupError, "not registered"),
        ("notes.show", {"name": "x"}, ValueError, r"/notes/\{id:int\} cannot be made of name='x'"),
        ("notes.show", {"id": "x"}, ValueError, "'notes.show'.*'x'"),
        ("pages", {"page": "a/b"}, ValueError, "'a/b' does not fit"),
    ],
)
def test_url_for_names_the_mistake(shop, endpoint, values, error, complaint):
    with pytest.raises(error, match=complaint):
        shop.url_for(endpoint, **values)


def test_routes_lists_rules_methods_endpoints_and_parameters(shop):
    [*_, file, pages, _] = shop.routes

    assert (file.rule, sorted(file.methods), file.endpoint) == ("/files/{name:path}", ["GET", "HEAD"], "file")
    assert [(known.name, known.converter) for known in file.parameters] == [("name", "path")]
    assert pages.view(page="x") == "x"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_data": "10M"}, ValueError),
        ({"max_data": -1}, ValueError),
        ({"max_form_memory": 1e6}, ValueError),
        ({"max_form_parts": True}, ValueError),
        ({"debug": "0"}, TypeError),
        ({"debug": None}, TypeError),
    ],
    ids=str,
)
def test_a_wrong_option_is_an_error_at_construction(options, error):
    with pytest.raises(error, match=f"{next(iter(options))} is "):
        App(**options)
