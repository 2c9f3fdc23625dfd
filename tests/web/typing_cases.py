"""Uses of the public API for a type checker: ``test_typing`` runs mypy on them and never imports them.

A line that must be refused ends with the code of its error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, assert_type
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.middleware.proxy_fix import ProxyFix

from wsgiserve import App, Group, Request, Response, Server, abort, json_response, redirect, serve

app = App(max_data=1000)
App(1000)  # error: call-arg arg-type
App(max_data="1 MB")  # error: arg-type

# An App is a WSGI app, for any server.
wsgi: WSGIApplication = app
Server(app, port=0)


# A decorator keeps the view's type.
@app.get("/hello/{name}")
def hello(request: Request, name: str) -> str:
    assert_type(request.args.get("a"), str | None)
    assert_type(request.get_json(), Any)
    return name


assert_type(hello(Request({}), "ann"), str)
hello(Request({}), 7)  # error: arg-type
hello("ann")  # error: call-arg arg-type


@app.route("/stream", methods=["GET", "POST"])
def stream() -> Iterator[bytes]:
    yield b""


assert_type(stream(), Iterator[bytes])
app.get("/number")(7)  # error: type-var
app.get(7)  # error: arg-type
app.route("/one", methods=7)  # error: arg-type


# A group has the decorators of an app.
group = Group("/notes", name="notes")


@group.get("/{id}")
def note(id: int) -> Response:
    if id > 9:
        abort(404)
    return redirect("/") if id else json_response([id], 201)


assert_type(note(1), Response)
app.include(group)
app.include(hello)  # error: arg-type


# Hooks and handlers.
@app.before_request
def before(request: Request) -> tuple[str, int] | None:
    return None


@app.after_request
def after(request: Request, response: Response) -> None:
    response.headers["X"] = "y"


@app.errorhandler(ZeroDivisionError)
def division(request: Request, error: ZeroDivisionError) -> tuple[str, int]:
    return "not by zero", 422


assert_type(before(Request({})), tuple[str, int] | None)
assert_type(division(Request({}), ZeroDivisionError()), tuple[str, int])
app.errorhandler("404")  # error: arg-type


@app.on_startup
def start() -> int:
    return 1


assert_type(start(), int)


@app.on_startup  # error: type-var
def needs(x: int) -> None: ...


# After abort() no return is needed.
def found(id: int) -> str:  # noqa: RET503
    if id:
        return "it"
    abort(404, "No such note.")


# Other apps around and below.
def other(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return []


app.mount("/other", other)
app.mount("/other", hello)  # error: arg-type
app.wrap(ProxyFix, x_for=1)


# Methods to call directly.
def tell(name: str, *, loud: bool = False) -> None: ...


def use(request: Request) -> None:
    assert_type(app.url_for("hello", request, name="ann"), str)
    assert_type(app.url_for(hello, name="ann"), str)
    app.url_for(7)  # error: arg-type
    app.after_response(request, tell, "ann", loud=True)
    app.after_response(request, tell, 7)  # error: arg-type
    assert_type(app.openapi(title="Notes", version="1"), dict[str, Any])
    app.openapi("Notes", "1")  # error: call-arg
    app.run(bind="127.0.0.1:0", threads=8)
    app.run(bind=8000)  # error: arg-type
    assert_type(serve(app), bool)
    with Server(app, port=0) as server:
        assert_type(server.url, str)
    app.no_such_thing()  # error: attr-defined
