"""Errors: handlers, the plain answers, the log."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webtest import TestApp
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    InternalServerError,
    NotFound,
    TooManyRequests,
    Unauthorized,
)

from wsgiserve.web import App, Response, abort

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
INPUT = "<script>&\"'\r\n{title}"


class Teapot(HTTPException):
    code = 418
    description = "Short and stout."


class Vague(HTTPException):
    """An error without a status."""


@pytest.fixture
def app():
    app = App()

    @app.get("/missing")
    def missing(request):
        abort(404, INPUT)

    @app.get("/returned")
    def returned(request):
        return NotFound("Returned, not raised.")

    @app.get("/early")
    def early(request):
        abort(404, "Before the first item.")
        yield "never"

    @app.get("/ready")
    def ready(request):
        abort(Response("as it is", 409))

    @app.get("/teapot")
    def teapot(request):
        raise Teapot

    @app.get("/vague")
    def vague(request):
        raise Vague

    @app.get("/busy")
    def busy(request):
        raise TooManyRequests("Later.", retry_after=7)

    @app.get("/form")
    def form(request):
        return request.args["absent"]

    @app.get("/broken/{name}")
    def broken(request, name):
        raise ZeroDivisionError(name)

    @app.get("/key")
    def key(request):
        return {}["absent"]

    return app


@pytest.fixture
def client(app):
    return TestApp(app)


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/missing", "404 Not Found", INPUT + "\n"),
        ("/returned", "404 Not Found", "Returned, not raised.\n"),
        ("/early", "404 Not Found", "Before the first item.\n"),
        ("/teapot", "418 I'm a teapot", "Short and stout.\n"),
        ("/vague", "500 Internal Server Error", "Unknown Error\n"),
    ],
)
def test_a_client_that_takes_anything_gets_the_description_as_text(client, path, status, text):
    for accept in [None, "*/*", "text/plain", "application/json", "text/plain, text/html;q=0.5"]:
        answer = client.get(path, headers={"Accept": accept} if accept else {}, status="*")

        assert (answer.status, answer.text) == (status, text)
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Vary"] == "Accept"


def test_a_browser_gets_a_page_with_everything_escaped(client):
    answer = client.get("/missing", headers={"Accept": BROWSER}, status=404)

    assert answer.content_type == "text/html"
    assert "<h1>404 Not Found</h1>" in answer.text
    assert "<p>&lt;script&gt;&amp;&quot;&#x27;\r\n{title}</p>" in answer.text
    assert "<script" not in answer.text


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255)))
def test_no_accept_header_breaks_the_error(accept):
    answer = TestApp(App()).get("/", headers={"Accept": accept}, status=404)

    assert answer.content_type in ("text/plain", "text/html")


def test_the_input_is_not_repeated_by_the_answers_of_the_house(client):
    for path in ["/<script>alert(1)</script>", "/broken/<script>"]:
        answer = client.get(path, headers={"Accept": BROWSER}, status="*")
        assert "script" not in answer.text


def test_head_of_an_error_keeps_the_length(client):
    assert client.head("/teapot", status=418).headers["Content-Length"] == "17"


def test_abort_with_a_response_sends_it_and_asks_no_handler(app, client):
    app.errorhandler(HTTPException)(lambda request, error: "handled")

    assert client.get("/ready", status=409).text == "as it is"


def test_headers_of_the_error_are_sent(client):
    assert client.get("/busy", status=429).headers["Retry-After"] == "7"


def test_an_absent_parameter_is_a_400(client):
    assert client.get("/form", status=400)


def test_a_handler_for_a_status_keeps_the_status_unless_it_gives_one(app, client):
    @app.errorhandler(404)
    def not_found(request, error):
        return {"path": request.path, "error": error.name}

    @app.errorhandler(418)
    def teapot(request, error):
        return "coffee", 200

    answer = client.get("/nothing", status=404)
    assert answer.json == {"path": "/nothing", "error": "Not Found"}
    assert client.get("/teapot").text == "coffee"


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
def test_the_nearest_handler_wins(app, client, keys, winner):
    for key in keys:
        app.errorhandler(key)(lambda request, error, key=key: f"{key}")

    assert client.get("/nothing", status=404).text == f"{winner}"


def test_an_exception_that_is_handled_is_not_logged(app, client, caplog):
    @app.errorhandler(ArithmeticError)
    def arithmetic(request, error):
        return f"caught {type(error).__name__}"

    assert client.get("/broken/x", status=500).text == "caught ZeroDivisionError"
    assert not caplog.records


@pytest.mark.parametrize("key", [500, InternalServerError, HTTPException])
def test_an_unhandled_exception_is_logged_and_may_be_dressed_up(app, client, caplog, key):
    @app.errorhandler(key)
    def dress_up(request, error):
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


def test_a_405_keeps_its_allow_under_a_handler(app, client):
    app.errorhandler(405)(lambda request, error: "no")

    answer = client.post("/teapot", status=405)
    assert (answer.text, answer.headers["Allow"]) == ("no", "GET, HEAD, OPTIONS")


def test_a_header_of_the_handler_wins_over_the_errors_own(app, client):
    app.errorhandler(429)(lambda request, error: ("wait", 429, {"Retry-After": "60"}))

    assert client.get("/busy", status=429).headers.getall("Retry-After") == ["60"]


def test_every_challenge_is_kept_under_a_handler(app, client):
    from werkzeug.datastructures import WWWAuthenticate

    @app.get("/private")
    def private(request):
        challenges = [WWWAuthenticate("basic"), WWWAuthenticate("digest")]
        raise Unauthorized(www_authenticate=challenges)

    app.errorhandler(401)(lambda request, error: "who are you?")

    answer = client.get("/private", status=401)
    assert len(answer.headers.getall("WWW-Authenticate")) == 2


def test_a_handler_that_fails_is_logged_and_ends_in_a_plain_500(app, client, caplog):
    @app.errorhandler(404)
    @app.errorhandler(500)
    def broken_handler(request, error):
        raise RuntimeError("again")

    assert client.get("/nothing", status=500).text.startswith("The server encountered")
    assert [record.exc_info[0] for record in caplog.records] == [RuntimeError]


@pytest.mark.parametrize("reply", [Teapot(), 5], ids=["error", "nonsense"])
def test_a_handler_that_returns_an_error_ends_in_its_plain_answer(app, client, reply, caplog):
    app.errorhandler(404)(lambda request, error: reply)

    status = 500 if reply == 5 else 418
    assert client.get("/nothing", status=status)
    assert len(caplog.records) == (reply == 5)


def test_a_handler_may_return_nothing(app, client):
    app.errorhandler(404)(lambda request, error: None)

    answer = client.get("/nothing", status=404)
    assert answer.body == b""


def test_bad_data_in_the_body_is_the_clients_fault():
    app = App()
    app.post("/json")(lambda request: request.get_json())
    app.post("/form")(lambda request: dict(request.form))
    client = TestApp(app)

    assert client.post("/json", "{nonsense", content_type="application/json", status=400)
    assert client.post("/json", b"\xff", content_type="application/json", status=400)
    assert client.post("/json", "{}", content_type="text/plain", status=415)
    assert client.post("/form", b"a=%FF", content_type="application/x-www-form-urlencoded").json
    too_large = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"a" * 600_000
    content_type = "multipart/form-data; boundary=x"
    assert client.post("/form", too_large + b"\r\n--x--", content_type=content_type, status=413)


def test_the_traceback_is_on_stderr_when_nobody_configured_logging():
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
