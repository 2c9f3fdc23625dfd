"""The way of a request through an application: routes, methods, bad input."""

from __future__ import annotations

from webtest import TestApp

from wsgiserve.web import App


def test_a_view_gets_the_request_and_the_parameters_by_name() -> None:
    app = App()

    @app.get("/echo/{text}")
    def echo(request, text):  # type: ignore[no-untyped-def]
        return f"{request.method} {text}"

    reply = TestApp(app).get("/echo/hello")

    assert reply.status == "200 OK"
    assert reply.content_type == "text/plain"
    assert reply.text == "GET hello"
