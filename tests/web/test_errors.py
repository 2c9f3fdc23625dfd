"""Error handlers, and the log of unhandled errors."""

from __future__ import annotations

import subprocess
import sys

import pytest
from webtest import TestApp
from webtest.app import TestRequest
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    InternalServerError,
    NotFound,
    TooManyRequests,
    Unauthorized,
)

from wsgiserve.web import App, Response, abort
from wsgiserve.web.errors import answer_error
from wsgiserve.web.handlers import ErrorHandlers
from wsgiserve.web.requests import Request


class Teapot(HTTPException):
    code = 418
    description = "Short and stout."


@pytest.fixture
def app():
    app = App()

    @app.get("/ready")
    def ready(request):
        abort(Response("as it is", 409))

    @app.get("/teapot")
    def teapot(request):
        raise Teapot

    @app.get("/busy")
    def busy(request):
        raise TooManyRequests("Later.", retry_after=7)

    @app.get("/form")
    def form(request):
        return request.args["absent"]

    @app.get("/broken/{name}")
    def broken(request, name):
        raise ZeroDivisionError(name)

    return app


@pytest.fixture
def client(app):
    return TestApp(app)


def test_abort_with_a_response_sends_it_and_calls_no_handler(app, client):
    app.errorhandler(HTTPException)(lambda request, error: "handled")

    assert client.get("/ready", status=409).text == "as it is"


def test_the_fields_of_an_error_are_sent(client):
    assert client.get("/busy", status=429).headers["Retry-After"] == "7"


def test_a_missing_query_parameter_is_a_400(client):
    assert client.get("/form", status=400)


def test_the_reply_of_a_handler_has_the_status_of_the_error_by_default(app, client):
    @app.errorhandler(404)
    def not_found(request, error):
        return {"path": request.path, "error": error.name}

    @app.errorhandler(418)
    def teapot(request, error):
        return "coffee", 200

    answer = client.get("/nothing", status=404)
    assert answer.json == {"path": "/nothing", "error": "Not Found"}
    assert client.get("/teapot").text == "coffee"


def test_an_exception_that_is_handled_is_not_logged(app, client, caplog):
    @app.errorhandler(ArithmeticError)
    def arithmetic(request, error):
        return f"caught {type(error).__name__}"

    assert client.get("/broken/x", status=500).text == "caught ZeroDivisionError"
    assert not caplog.records


@pytest.mark.parametrize("key", [500, InternalServerError, HTTPException])
def test_an_unhandled_exception_is_logged_even_if_a_handler_for_500_answers(app, client, caplog, key):
    @app.errorhandler(key)
    def apologise(request, error):
        return f"sorry for the {type(error.original_exception).__name__}"

    assert client.get("/broken/x", status=500).text == "sorry for the ZeroDivisionError"
    assert len(caplog.records) == 1


def test_an_unhandled_exception_is_a_plain_500_with_the_traceback_in_the_log(client, caplog):
    answer = client.get("/broken/secret%0Aforged%20line", status=500)

    assert answer.status == "500 Internal Server Error"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    (record,) = caplog.records
    assert record.name == "wsgiserve.app"
    assert record.getMessage().startswith("GET /broken/secret%0Aforged line: ZeroDivisionError: ")
    assert "in broken" in caplog.text


def test_the_answer_of_a_handler_for_405_has_the_allow_field(app, client):
    app.errorhandler(405)(lambda request, error: "no")

    answer = client.post("/teapot", status=405)
    assert (answer.text, answer.headers["Allow"]) == ("no", "GET, HEAD, OPTIONS")


def test_a_field_of_the_handler_replaces_that_of_the_error(app, client):
    app.errorhandler(429)(lambda request, error: ("wait", 429, {"Retry-After": "60"}))

    assert client.get("/busy", status=429).headers.getall("Retry-After") == ["60"]


def test_the_answer_of_a_handler_for_401_has_every_challenge(app, client):
    from werkzeug.datastructures import WWWAuthenticate

    @app.get("/private")
    def private(request):
        challenges = [WWWAuthenticate("basic"), WWWAuthenticate("digest")]
        raise Unauthorized(www_authenticate=challenges)

    app.errorhandler(401)(lambda request, error: "who are you?")

    answer = client.get("/private", status=401)
    assert len(answer.headers.getall("WWW-Authenticate")) == 2


def test_a_handler_that_raises_is_logged_and_the_answer_is_a_plain_500(app, client, caplog):
    @app.errorhandler(404)
    @app.errorhandler(500)
    def broken_handler(request, error):
        raise RuntimeError("again")

    assert client.get("/nothing", status=500).text.startswith("The server encountered")
    assert [record.exc_info[0] for record in caplog.records] == [RuntimeError]


@pytest.mark.parametrize("reply", [Teapot(), 5], ids=["error", "nonsense"])
def test_an_error_that_a_handler_returns_gets_its_plain_answer(app, client, reply, caplog):
    app.errorhandler(404)(lambda request, error: reply)

    status = 500 if reply == 5 else 418
    assert client.get("/nothing", status=status)
    assert len(caplog.records) == (reply == 5)


def test_an_error_of_the_client_in_a_handler_is_left_to_the_server(app):
    class Gone(ConnectionError):
        client_fault = True

    @app.errorhandler(404)
    def not_found(request, error):
        raise Gone

    with pytest.raises(Gone):
        TestApp(app).get("/nothing")


def test_a_handler_may_return_nothing(app, client):
    app.errorhandler(404)(lambda request, error: None)

    answer = client.get("/nothing", status=404)
    assert answer.body == b""


@pytest.mark.slow
def test_without_logging_the_traceback_is_on_stderr():
    script = """
from webtest import TestApp
from wsgiserve.web import App
app = App()
app.get("/")(lambda request: 1 / 0)
print(TestApp(app).get("/", status=500).status)
"""
    command = [sys.executable, "-W", "ignore", "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=True)

    assert result.stdout == "500 Internal Server Error\n"
    assert result.stderr.startswith("GET /: ZeroDivisionError: division by zero\nTraceback")
    assert result.stderr.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize(
    ("keys", "winner"),
    [
        ([404, NotFound, HTTPException, Exception], 404),
        ([NotFound, HTTPException, Exception], NotFound),
        ([HTTPException, Exception], HTTPException),
        ([Exception, 405, BadRequest], Exception),
    ],
    ids=["status", "class", "parent", "root"],
)
def test_the_most_specific_handler_answers(app, client, keys, winner):
    for key in keys:
        app.errorhandler(key)(lambda request, error, key=key: f"{key}")

    assert client.get("/nothing", status=404).text == f"{winner}"


def test_the_nearest_table_answers_first():
    near, far = ErrorHandlers(), ErrorHandlers()
    near.add(Exception, lambda request, error: "near")
    far.add(404, lambda request, error: "far")
    request = Request(TestRequest.blank("/").environ)

    assert answer_error(request, NotFound(), (near, far))[2] == [b"near"]
    assert answer_error(request, NotFound(), (far, near))[2] == [b"far"]
    assert answer_error(request, NotFound("No such note."), ())[2] == [b"No such note.\n"]
