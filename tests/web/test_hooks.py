"""Hooks around a view."""

from __future__ import annotations

import functools

import pytest
from webtest import TestApp

from wsgiserve.web import App, Group, Request, Response, abort
from wsgiserve.web.hooks import hooks_of


@pytest.fixture
def calls():
    return []


@pytest.fixture
def app(calls):
    """An app with a group; all hooks and views record their calls."""
    app, group = App(), Group("/group")
    app.include(group)
    for name, each in ("app", app), ("group", group):
        each.before_request(lambda request, name=name: calls.append(f"{name} before"))
        each.after_request(lambda request, response, name=name: calls.append(f"{name} after"))
        each.teardown_request(lambda request, error, name=name: calls.append(f"{name} teardown {error!r}"))

    @group.get("/fine")
    def fine():
        calls.append("view")
        return "fine"

    @group.get("/broken")
    def broken():
        raise KeyError("broken")

    @group.get("/stream")
    def stream():
        for number in range(3):
            calls.append(f"block {number}")
            yield f"{number}\n"

    return app


def test_the_hooks_of_a_group_run_inside_those_of_the_app(app, calls):
    assert TestApp(app).get("/group/fine").text == "fine"
    assert calls == [
        "app before",
        "group before",
        "view",
        "group after",
        "app after",
        "group teardown None",
        "app teardown None",
    ]


def test_an_error_is_answered_before_the_after_hooks(app, calls):
    app.errorhandler(KeyError)(lambda request, error: calls.append("handler") or ("sorry", 500))

    assert TestApp(app).get("/group/broken", status=500).text == "sorry"
    assert calls == [
        "app before",
        "group before",
        "handler",
        "group after",
        "app after",
        "group teardown KeyError('broken')",
        "app teardown KeyError('broken')",
    ]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("POST", "/group/fine", 405),
        ("OPTIONS", "/group/fine", 204),
        ("GET", "/group/slash", 308),
    ],
)
def test_the_hooks_of_the_app_run_without_a_view_too(app, calls, method, path, status):
    app.get("/group/slash/")(lambda: "")

    TestApp(app).request(path, method=method, status=status)

    assert [call.split(" <")[0].split(" 4")[0] for call in calls][:2] == ["app before", "app after"]


def test_the_teardown_of_a_stream_runs_at_its_end(app, calls):
    assert TestApp(app).get("/group/stream").text == "0\n1\n2\n"
    assert calls[2:] == [
        "block 0",  # read first, for the type
        "group after",
        "app after",
        "block 1",
        "block 2",
        "group teardown None",
        "app teardown None",
    ]


def test_the_teardown_of_a_stream_gets_its_error(app, calls):
    @app.get("/half")
    def half():
        yield "half"
        raise KeyError("half")

    result = app({"REQUEST_METHOD": "GET", "PATH_INFO": "/half"}, lambda *_: None)
    with pytest.raises(KeyError):
        list(result)
    result.close()
    assert calls[-1] == "app teardown KeyError('half')"


@pytest.mark.parametrize("replies", [True, False])
def test_a_stream_that_an_after_hook_replaces_is_closed_once(replies):
    class Stream:
        closed = 0

        def __iter__(self):
            return self

        def __next__(self):
            return "more"

        def close(self):
            self.closed += 1

    app, stream = App(), Stream()
    app.get("/")(lambda: stream)

    @app.after_request
    def other(request, response):
        if replies:
            return Response("other")
        raise KeyError("other")

    TestApp(app).get("/", status="*")
    assert stream.closed == 1


def test_the_teardown_of_a_stream_runs_when_its_client_leaves(app, calls):
    environ = TestApp(app).RequestClass.blank("/group/stream").environ
    result = app(environ, lambda status, headers, exc_info=None: None)
    next(iter(result))
    assert "app teardown None" not in calls

    result.close()

    assert calls[-1] == "app teardown None"


def test_the_reply_of_a_before_hook_is_the_answer(app, calls):
    guarded = Group("/guarded")

    @guarded.before_request
    def check(request):
        if "token" not in request.args:
            abort(401, "Send a token.")
        if request.args["token"] != "right":
            return {"error": "wrong token"}, 403
        return None

    guarded.before_request(lambda request: calls.append("the next hook"))
    guarded.get("/")(lambda: calls.append("view") or "secret")
    app.include(guarded)
    client = TestApp(app)

    assert client.get("/guarded/", status=401).text == "Send a token.\n"
    assert client.get("/guarded/?token=wrong", status=403).json == {"error": "wrong token"}
    assert "view" not in calls
    assert "the next hook" not in calls
    assert "app after" in calls
    assert client.get("/guarded/?token=right").text == "secret"


def test_an_after_hook_may_change_or_replace_the_response():
    app = App()
    app.get("/")(lambda: "old")

    @app.after_request
    def mark(request, response):
        response.headers["X-Frame-Options"] = "DENY"

    @app.after_request
    def replace(request, response):
        if "new" in request.args:
            return Response("new")
        return None

    client = TestApp(app)
    assert client.get("/").headers["X-Frame-Options"] == "DENY"
    assert client.get("/nowhere", status=404).headers["X-Frame-Options"] == "DENY"
    assert client.get("/?new").text == "new"


def test_an_after_hook_that_returns_something_else_is_a_500_that_names_it(caplog):
    app = App()
    app.get("/")(lambda: "")

    @app.after_request
    def wrong(request, response):
        return "text"

    assert TestApp(app).get("/", status=500)
    assert f"wrong ({__file__}:" in caplog.text or "wrong (" in caplog.text
    assert "return the response, another Response or None" in caplog.text


@pytest.mark.parametrize("kind", ["before_request", "after_request"])
def test_an_exception_of_a_hook_is_answered_like_one_of_a_view(app, calls, kind):
    def fail(request, response=None):
        raise ZeroDivisionError

    getattr(app, kind)(fail)
    app.errorhandler(ZeroDivisionError)(lambda request, error: ("handled", 500))

    assert TestApp(app).get("/group/fine", status=500).text == "handled"
    assert calls[-1] == "app teardown ZeroDivisionError()"


def test_a_teardown_hook_that_raises_is_logged_and_the_others_run(caplog):
    app, calls = App(), []
    app.get("/")(lambda: "fine")

    @app.teardown_request
    def fail(request, error):
        raise RuntimeError("in teardown")

    app.teardown_request(lambda request, error: calls.append("the other"))

    assert TestApp(app).get("/").text == "fine"
    assert calls == ["the other"]
    assert "in teardown" in caplog.text


def test_a_file_is_still_sent_by_the_server(app, calls):
    class Wrapper(list):
        """A body for ``wsgi.file_wrapper``."""

    body = Wrapper([b"file"])
    app.get("/file")(lambda: Response(body, direct_passthrough=True))

    result = app(TestApp(app).RequestClass.blank("/file").environ, lambda *start: None)

    assert result is body
    assert calls[-1] == "app teardown None"


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("before_request", r"def hook\(request\)"),
        ("after_request", r"def hook\(request, response\)"),
        ("teardown_request", r"def hook\(request, error\)"),
        ("on_startup", r"def hook\(\)"),
        ("on_shutdown", r"def hook\(\)"),
    ],
)
def test_a_hook_with_other_parameters_is_an_error(kind, form):
    with pytest.raises(TypeError, match=form):
        getattr(App(), kind)(lambda one, two, three: None)


def test_before_hooks_go_inwards_and_the_others_outwards():
    outer, inner = Group(), Group()
    for group in (outer, inner):
        group.before_request(lambda request: None)
        group.after_request(lambda request, response: None)
        group.teardown_request(lambda request, error: None)

    assert hooks_of((outer, inner)) == (
        (*outer.before, *inner.before),
        (*inner.after, *outer.after),
        (*inner.teardown, *outer.teardown),
    )
    assert hooks_of((Group(), Group())) is None


async def a_coroutine(*arguments): ...


async def an_async_generator(*arguments):
    yield


def a_generator(*arguments):
    yield


class AsyncCall:
    async def __call__(self, *arguments): ...


class GeneratorCall:
    def __call__(self, *arguments):
        yield


NEVER_RUN = [
    a_coroutine,
    an_async_generator,
    AsyncCall(),
    AsyncCall().__call__,
    functools.partial(a_coroutine),
    functools.partial(functools.partial(an_async_generator)),
    functools.partial(AsyncCall()),
    functools.cache(a_coroutine),
]
ONLY_ITERATED = [
    a_generator,
    GeneratorCall(),
    functools.partial(a_generator),
    functools.partial(GeneratorCall()),
]
KINDS = ["before_request", "after_request", "teardown_request", "on_startup", "on_shutdown"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hook", NEVER_RUN)
def test_an_async_hook_of_any_kind_is_refused(kind, hook):
    with pytest.raises(TypeError, match="is async, and WSGI is synchronous, so it would never run"):
        getattr(App(), kind)(hook)


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("hook", ONLY_ITERATED)
def test_a_generator_that_nobody_iterates_is_refused(kind, hook):
    with pytest.raises(TypeError, match="is a generator, and nobody would iterate it"):
        getattr(App(), kind)(hook)


@pytest.mark.parametrize("function", NEVER_RUN)
def test_an_async_view_handler_or_job_is_refused(function):
    app = App()
    with pytest.raises(TypeError, match="is async"):
        app.get("/")(function)
    with pytest.raises(TypeError, match="is async"):
        app.errorhandler(404)(function)
    with pytest.raises(TypeError, match="is async"):
        app.mount("/at", function)
    with pytest.raises(TypeError, match="is async"):
        app.after_response(Request({}), function)


def test_a_decorator_that_runs_an_async_function_is_a_view():
    @functools.wraps(a_coroutine)
    def call(*arguments):
        a_coroutine(*arguments).close()
        return "ran"

    app = App()
    app.get("/")(call)
    assert app.client().get("/").text == "ran"


def test_a_hook_that_hides_a_generator_is_told_when_it_is_called(caplog):
    app = App()
    app.get("/")(lambda: "")
    app.on_startup(lambda: a_generator())
    with pytest.raises(TypeError, match=r"on_startup .* returned generator, so its code did not run"):
        app.startup()

    app = App()
    app.get("/")(lambda: "")
    app.teardown_request(lambda request, error: a_generator())
    app.client().get("/")
    assert "returned generator, so its code did not run" in caplog.text
