"""The same three answers in each framework: an echo of the path, a JSON reply, a 404.

Each function makes an app with `routes` routes; those beyond the first two are only there to be passed over.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

JSON = {"id": 7, "name": "ann", "tags": ["a", "b"]}

Makers = Mapping[str, Callable[[int], WSGIApplication]]


def raw(routes: int) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        path: str = environ["PATH_INFO"]
        status, kind, body = "404 Not Found", "text/plain; charset=utf-8", b"Not found\n"
        if path.startswith("/echo/"):
            status, body = "200 OK", path[6:].encode("latin-1")
        elif path == "/json":
            status, kind, body = "200 OK", "application/json", json.dumps(JSON).encode()
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    return app


def ours(routes: int) -> WSGIApplication:
    from wsgiserve import App

    app = App()
    app.get("/echo/{text:path}")(lambda text: text)
    app.get("/json")(lambda: JSON)
    for number in range(routes - 2):
        app.get(f"/resource-{number}/{{id:int}}")(lambda id: str(id))
    return app


def ours_with_request(routes: int) -> WSGIApplication:
    from wsgiserve import App

    app = App()
    app.get("/echo/{text:path}")(lambda request, text: text)
    app.get("/json")(lambda request: JSON)
    for number in range(routes - 2):
        app.get(f"/resource-{number}/{{id:int}}")(lambda request, id: str(id))
    return app


def falcon(routes: int) -> WSGIApplication:
    import falcon

    class Echo:
        def on_get(self, req: falcon.Request, resp: falcon.Response, text: str) -> None:
            resp.content_type = falcon.MEDIA_TEXT
            resp.text = text

    class Json:
        def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
            resp.media = JSON

    class Resource:
        def on_get(self, req: falcon.Request, resp: falcon.Response, id: int) -> None:
            resp.text = str(id)

    app = falcon.App()
    app.add_route("/echo/{text:path}", Echo())
    app.add_route("/json", Json())
    for number in range(routes - 2):
        app.add_route(f"/resource-{number}/{{id:int}}", Resource())
    return app  # type: ignore[no-any-return]


def bottle(routes: int) -> WSGIApplication:
    import bottle

    app = bottle.Bottle()
    app.get("/echo/<text:path>")(lambda text: text)
    app.get("/json")(lambda: JSON)
    for number in range(routes - 2):
        app.get(f"/resource-{number}/<id:int>")(lambda id: str(id))
    return app  # type: ignore[no-any-return]


def flask(routes: int) -> WSGIApplication:
    import flask

    app = flask.Flask("bench", static_folder=None)
    app.get("/echo/<path:text>", endpoint="echo")(lambda text: text)
    app.get("/json", endpoint="json")(lambda: JSON)
    for number in range(routes - 2):
        app.get(f"/resource-{number}/<int:id>", endpoint=str(number))(lambda id: str(id))
    return app


CONTENDERS: Makers = {
    "raw WSGI": raw,
    "App": ours,
    "App, views take the request": ours_with_request,
    "Falcon": falcon,
    "Bottle": bottle,
    "Flask": flask,
}


def installed() -> Makers:
    """Return the contenders whose framework is installed."""
    needs = {"Falcon": "falcon", "Bottle": "bottle", "Flask": "flask"}
    found = {name for name, module in needs.items() if importlib.util.find_spec(module)}
    return {name: make for name, make in CONTENDERS.items() if name not in needs or name in found}
