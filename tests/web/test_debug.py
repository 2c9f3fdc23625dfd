"""Debug mode: conditions under which the debugger is shown."""

from __future__ import annotations

import re

import pytest
from webtest import TestApp

from wsgiserve.web.app import App
from wsgiserve.web.debug import Debugger
from wsgiserve.web.requests import Request

HERE = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "127.0.0.1:8000", "HTTP_ACCEPT": "text/html"}


@pytest.fixture
def app():
    app = App(debug=True)

    @app.get("/broken")
    def broken(request):
        secret = "a local value"
        raise ZeroDivisionError(len(secret))

    @app.get("/fine")
    def fine(request):
        return request.args.get("__debugger__", "fine")

    return app


def get(app, path="/broken", status=500, **environ):
    return TestApp(app, extra_environ=HERE | environ).get(path, status=status)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"REMOTE_ADDR": "127.1.2.3"},
        {"REMOTE_ADDR": "::1"},
        {"REMOTE_ADDR": "::ffff:127.0.0.1"},
        {"HTTP_HOST": "localhost:8000"},
        {"HTTP_HOST": "app.localhost"},
    ],
)
def test_a_browser_on_this_machine_sees_the_debugger(app, caplog, environ):
    answer = get(app, **environ)

    assert "ZeroDivisionError: 13" in answer.text
    assert "raise ZeroDivisionError(len(secret))" in answer.text
    assert "EVALEX = true" in answer.text
    assert "EVALEX_TRUSTED = false" in answer.text  # the PIN comes first
    assert [record.getMessage() for record in caplog.records] == ["GET /broken: ZeroDivisionError: 13"]


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"REMOTE_ADDR": "192.0.2.1"}, "the client, '192.0.2.1', is not on this machine"),
        ({"REMOTE_ADDR": ""}, "the client, '', is not on this machine"),
        ({"HTTP_FORWARDED": "for=192.0.2.1"}, "the request came through a proxy"),
        ({"HTTP_X_FORWARDED_FOR": "192.0.2.1"}, "the request came through a proxy"),
        ({"HTTP_X_FORWARDED_PROTO": "https"}, "the request came through a proxy"),
        ({"wsgiserve.forwarded": "removed"}, "the request came through a proxy"),
        ({"wsgiserve.forwarded": "trusted"}, "the request came through a proxy"),
        ({"HTTP_X_REAL_IP": "127.0.0.1"}, "the request came through a proxy"),
        ({"HTTP_CF_CONNECTING_IP": "192.0.2.1"}, "the request came through a proxy"),
        ({"HTTP_TRUE_CLIENT_IP": "192.0.2.1"}, "the request came through a proxy"),
        ({"HTTP_VIA": "1.1 proxy"}, "the request came through a proxy"),
        ({"wsgi.multiprocess": True}, "several processes serve the app"),
        ({"HTTP_HOST": "example.com"}, "the Host field names neither localhost nor 127.0.0.1"),
    ],
)
def test_other_clients_get_the_plain_500_and_the_log_says_once_why(app, caplog, environ, reason):
    for _ in range(2):
        answer = get(app, **environ)
        assert "ZeroDivisionError" not in answer.text
        assert "<h1>500 Internal Server Error</h1>" in answer.text
        answer = get(app, "/fine?__debugger__=yes&cmd=resource&f=debugger.js", status=200, **environ)
        assert answer.text == "yes"  # the debugger ignores commands

    notes = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(notes) == 1
    assert notes[0].startswith(f"debug: the debugger is not shown: {reason}")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/plain"])
def test_a_client_that_is_no_browser_gets_the_plain_500(app, accept):
    assert "ZeroDivisionError" not in get(app, HTTP_ACCEPT=accept).text


@pytest.mark.slow
def test_the_debugger_runs_no_code_without_the_pin(app):
    page = get(app).text
    secret = re.search(r'SECRET = "(\w+)"', page)[1]
    frame = re.search(r'id="frame-(\d+)"', page)[1]

    script = get(app, "/?__debugger__=yes&cmd=resource&f=debugger.js", status=200)
    assert script.content_type == "text/javascript"
    command = f"/?__debugger__=yes&cmd=1%2B1&frm={frame}&s={secret}"
    get(app, command, status=404)  # without the PIN the app gets the request
    denied = get(app, f"/?__debugger__=yes&cmd=pinauth&pin=0&s={secret}", status=200)
    assert denied.json == {"auth": False, "exhausted": False}


def test_with_the_pin_the_debugger_runs_code_in_the_frame(app, monkeypatch):
    monkeypatch.setenv("WERKZEUG_DEBUG_PIN", "123-456-789")
    app = App(debug=True)

    @app.get("/broken")
    def broken(request):
        secret = 21
        return secret / 0

    client = TestApp(app, extra_environ=HERE)
    page = client.get("/broken", status=500).text
    secret = re.search(r'SECRET = "(\w+)"', page)[1]
    frame = re.findall(r'id="frame-(\d+)"', page)[-1]
    assert client.get(f"/?__debugger__=yes&cmd=pinauth&pin=123-456-789&s={secret}").json["auth"]
    result = client.get(f"/?__debugger__=yes&cmd=secret*2&frm={frame}&s={secret}")

    assert "42" in result.text


def test_other_requests_and_errors_of_the_client_are_unchanged(app):
    class Gone(ConnectionError):
        client_fault = True

    @app.get("/gone")
    def gone(request):
        raise Gone

    assert get(app, "/fine", status=200).text == "fine"
    assert get(app, "/fine?__debugger__=yes", status=200).text == "yes"
    assert "<h1>404 Not Found</h1>" in get(app, "/nothing", status=404).text
    assert get(app, "/console", status=404)
    with pytest.raises(Gone):
        get(app, "/gone")


def test_a_handler_for_the_error_replaces_the_debugger_and_one_for_500_does_not(app):
    app.errorhandler(500)(lambda request, error: "sorry")
    assert "raise ZeroDivisionError" in get(app).text
    app.errorhandler(ArithmeticError)(lambda request, error: "handled")
    assert get(app).text == "handled"


def test_without_debug_mode_there_is_no_debugger(app):
    app = App()
    app.get("/")(lambda request: 1 / 0)

    assert "Traceback" not in get(app, "/?__debugger__=yes").text


def test_any_wsgi_app_may_offer_its_errors_to_the_debugger():
    def app(environ, start_response):
        error = ZeroDivisionError("here")
        page = environ["wsgiserve.debugger"](Request(environ), error)
        return page(environ, start_response)

    assert "ZeroDivisionError: here" in get(Debugger(app)).text
