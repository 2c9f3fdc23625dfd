"""The default answers to errors."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webtest import TestApp
from werkzeug.exceptions import (
    HTTPException,
    NotFound,
)

from wsgiserve.web import App, abort
from wsgiserve.web.problems import Problem

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

    @app.get("/teapot")
    def teapot(request):
        raise Teapot

    @app.get("/vague")
    def vague(request):
        raise Vague

    @app.get("/broken/{name}")
    def broken(request, name):
        raise ZeroDivisionError(name)

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
def test_a_client_that_names_no_type_gets_the_description_as_text(client, path, status, text):
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
        "application/json;q=.9",
        "application/json;q=1.",
        "text/html;q=0.5, application/json;q=.9;v=1",
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


def test_a_problem_has_further_members(app, client):
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
    [((200,), {}, "write a status from 400 to 599"), ((400,), {"member": object()}, "is not JSON")],
)
def test_an_invalid_problem_is_an_error_where_it_is_created(
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
def test_a_500_and_the_log_have_the_id_of_the_request(client, caplog, accept, shown):
    headers = {"Accept": accept, "X-Request-Id": "abc&1"}
    answer = client.get("/broken/x", headers=headers, status=500)

    assert shown in answer.text
    assert answer.headers["X-Request-Id"] == "abc&1"
    assert caplog.records[0].getMessage() == "GET /broken/x [abc&1]: ZeroDivisionError: x"
    answer = client.get("/teapot", headers=headers, status=418)
    assert "abc" not in answer.text
    assert "X-Request-Id" not in answer.headers


def test_the_answer_of_a_handler_for_500_has_the_id_of_the_request(app, client):
    app.errorhandler(500)(lambda request, error: {"sorry": request.id})

    answer = client.get("/broken/x", headers={"X-Request-Id": "abc"}, status=500)
    assert (answer.json, answer.headers["X-Request-Id"]) == ({"sorry": "abc"}, "abc")


def test_a_malformed_id_is_not_repeated(client, caplog):
    answer = client.get("/broken/x", headers={"X-Request-Id": "a b\x7f"}, status=500)

    assert "X-Request-Id" not in answer.headers
    assert "Request id" not in answer.text
    assert caplog.records[0].getMessage() == "GET /broken/x: ZeroDivisionError: x"


def test_a_page_is_escaped(client):
    answer = client.get("/missing", headers={"Accept": BROWSER}, status=404)

    assert answer.content_type == "text/html"
    assert "<h1>404 Not Found</h1>" in answer.text
    assert "<p>&lt;script&gt;&amp;&quot;&#x27;\r\n{title}</p>" in answer.text
    assert "<script" not in answer.text


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255)))
def test_no_accept_header_breaks_the_error(accept):
    answer = TestApp(App()).get("/", headers={"Accept": accept}, status=404)

    assert answer.content_type in ("text/plain", "text/html", "application/problem+json")


def test_default_answers_never_repeat_the_input(client):
    for path in ["/<script>alert(1)</script>", "/broken/<script>"]:
        for accept in [BROWSER, "*/*", "application/json"]:
            answer = client.get(path, headers={"Accept": accept}, status="*")
            assert "script" not in answer.text


def test_the_answer_to_head_has_the_length_of_the_error(client):
    assert client.head("/teapot", status=418).headers["Content-Length"] == "17"
