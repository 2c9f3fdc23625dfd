"""Errors: handlers, the plain answers, the log."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

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

from wsgiserve.web import App, Problem, Response, abort

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
    for accept in [
        None,
        "",
        "*/*",
        "text/plain",
        "image/png",
        "text/plain, text/html;q=0.5",
        "text/html;q=0",
    ]:
        answer = client.get(path, headers={} if accept is None else {"Accept": accept}, status="*")

        assert (answer.status, answer.text) == (status, text)
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Vary"] == "Accept"


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "application/problem+json",
        "application/json; charset=utf-8",
        "application/json, text/plain, */*",  # axios
        "application/json, text/javascript, */*; q=0.01",  # jQuery
        "application/json, text/html",
        "application/*",
    ],
)
def test_a_client_that_names_json_gets_a_problem_document(client, accept):
    answer = client.get("/teapot", headers={"Accept": accept}, status=418)

    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json == {
        "type": "about:blank",
        "title": "I'm a teapot",
        "status": 418,
        "detail": "Short and stout.",
    }
    assert answer.headers["Vary"] == "Accept"


@pytest.mark.parametrize(
    "accept", [BROWSER, "text/html", "text/*", "text/html;level=1", "text/html, application/json;q=0.9"]
)
def test_a_client_that_names_html_gets_a_page(client, accept):
    assert client.get("/teapot", headers={"Accept": accept}, status=418).content_type == "text/html"


def test_a_problem_has_members_of_its_own(app, client):
    @app.get("/pay")
    def pay(request):
        raise Problem(
            402,
            "It costs 50, and you have 30.",
            type="https://example.com/problems/no-credit",
            title="Not enough credit",
            instance="/accounts/12/bookings/7",
            balance=Decimal(30),
            accounts=["/accounts/12"],
        )

    answer = client.get("/pay", headers={"Accept": "application/json"}, status=402)
    assert answer.json == {
        "type": "https://example.com/problems/no-credit",
        "title": "Not enough credit",
        "status": 402,
        "detail": "It costs 50, and you have 30.",
        "instance": "/accounts/12/bookings/7",
        "balance": "30",
        "accounts": ["/accounts/12"],
    }
    assert client.get("/pay", status=402).text == "It costs 50, and you have 30.\n"
    page = client.get("/pay", headers={"Accept": "text/html"}, status=402)
    assert "<h1>402 Not enough credit</h1>" in page.text


@pytest.mark.parametrize(
    ("arguments", "members", "complaint"),
    [((200,), {}, "write a status from 400 to 599"), ((400,), {"what": object()}, "is not JSON")],
)
def test_a_problem_that_cannot_be_told_fails_where_it_is_made(
    app, client, caplog, arguments, members, complaint
):
    @app.get("/odd")
    def odd(request):
        raise Problem(*arguments, **members)

    assert client.get("/odd", headers={"Accept": "application/json"}, status=500)
    assert complaint in caplog.text


def test_a_problem_is_handled_like_any_other_error(app, client):
    @app.get("/odd")
    def odd(request):
        raise Problem(409, "Twice.")

    app.errorhandler(409)(lambda request, error: f"handled: {error.description}")

    assert client.get("/odd", status=409).text == "handled: Twice."


@pytest.mark.parametrize(
    ("accept", "shown"),
    [
        ("*/*", "\nRequest id: abc&1\n"),
        ("text/html", "<p>Request id: abc&amp;1</p>"),
        ("application/json", '"request_id":"abc&1"'),
    ],
)
def test_a_500_tells_the_requests_id_and_so_does_the_log(client, caplog, accept, shown):
    headers = {"Accept": accept, "X-Request-Id": "abc&1"}
    answer = client.get("/broken/x", headers=headers, status=500)

    assert shown in answer.text
    assert answer.headers["X-Request-Id"] == "abc&1"
    assert caplog.records[0].getMessage() == "GET /broken/x [abc&1]: ZeroDivisionError: x"
    answer = client.get("/teapot", headers=headers, status=418)
    assert "abc" not in answer.text
    assert "X-Request-Id" not in answer.headers


def test_a_500_that_is_dressed_up_keeps_the_requests_id(app, client):
    app.errorhandler(500)(lambda request, error: {"sorry": request.id})

    answer = client.get("/broken/x", headers={"X-Request-Id": "abc"}, status=500)
    assert (answer.json, answer.headers["X-Request-Id"]) == ({"sorry": "abc"}, "abc")


def test_an_ill_formed_id_is_told_nowhere(client, caplog):
    answer = client.get("/broken/x", headers={"X-Request-Id": "a b\x7f"}, status=500)

    assert "X-Request-Id" not in answer.headers
    assert "Request id" not in answer.text
    assert caplog.records[0].getMessage() == "GET /broken/x: ZeroDivisionError: x"


def test_a_browser_gets_a_page_with_everything_escaped(client):
    answer = client.get("/missing", headers={"Accept": BROWSER}, status=404)

    assert answer.content_type == "text/html"
    assert "<h1>404 Not Found</h1>" in answer.text
    assert "<p>&lt;script&gt;&amp;&quot;&#x27;\r\n{title}</p>" in answer.text
    assert "<script" not in answer.text


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255)))
def test_no_accept_header_breaks_the_error(accept):
    answer = TestApp(App()).get("/", headers={"Accept": accept}, status=404)

    assert answer.content_type in ("text/plain", "text/html", "application/problem+json")


def test_the_input_is_not_repeated_by_the_answers_of_the_house(client):
    for path in ["/<script>alert(1)</script>", "/broken/<script>"]:
        for accept in [BROWSER, "*/*", "application/json"]:
            answer = client.get(path, headers={"Accept": accept}, status="*")
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


def test_a_fault_of_the_client_passes_through_a_handler(app):
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
