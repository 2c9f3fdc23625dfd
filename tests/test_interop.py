"""Apps of other frameworks on our server, unmodified."""

from __future__ import annotations

import json
import urllib.request
from wsgiref.types import WSGIApplication

import django
import django.conf
import django.core.wsgi
import django.http
import django.urls
import flask
import pytest

from tests.conftest import ServeApp


def flask_app() -> WSGIApplication:
    app = flask.Flask(__name__)

    @app.get("/hello/<name>")
    def hello(name: str) -> str:
        return f"hello {name}"

    @app.post("/sum")
    def add() -> dict[str, int]:
        # Read with a size: the validator wants one, though PEP 3333 does not.
        return {"sum": sum(json.loads(flask.request.stream.read(100)))}

    @app.get("/stream")
    def stream() -> flask.Response:
        return flask.Response((f"{number}\n" for number in range(3)), mimetype="text/plain")

    return app


def django_app() -> WSGIApplication:
    def hello(request: django.http.HttpRequest, name: str) -> django.http.HttpResponse:
        return django.http.HttpResponse(f"hello {name}")

    def add(request: django.http.HttpRequest) -> django.http.HttpResponse:
        return django.http.JsonResponse({"sum": sum(json.loads(request.body))})

    def stream(request: django.http.HttpRequest) -> django.http.StreamingHttpResponse:
        lines = (f"{number}\n" for number in range(3))
        return django.http.StreamingHttpResponse(lines, content_type="text/plain")

    if not django.conf.settings.configured:
        urls = [
            django.urls.path("hello/<name>", hello),
            django.urls.path("sum", add),
            django.urls.path("stream", stream),
        ]
        django.conf.settings.configure(ROOT_URLCONF=tuple(urls), ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="x")
    return django.core.wsgi.get_wsgi_application()


@pytest.mark.parametrize("make_app", [flask_app, django_app])
def test_an_app_of_another_framework_is_served(make_app: object, serve_app: ServeApp) -> None:
    assert callable(make_app)
    url = serve_app(make_app())
    with urllib.request.urlopen(f"{url}/hello/w%C3%B6rld") as response:
        assert response.read().decode() == "hello wörld"
    with urllib.request.urlopen(f"{url}/stream") as response:
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert response.read() == b"0\n1\n2\n"
    request = urllib.request.Request(f"{url}/sum", b"[1, 2, 3]", {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        assert response.read().replace(b" ", b"").strip() == b'{"sum":6}'
