"""The middleware of development mode, called without a server and with WebTest's lint."""

from __future__ import annotations

import sys
import types

import pytest
from webtest import TestApp

from wsgiserve.dev.page import DEBUGGER, HEADER, VERSION_PATH, Development

VISIT = {"Sec-Fetch-Mode": "navigate"}
BROKEN = "ZeroDivisionError: <b>"


def app(environ, start_response):
    if environ["PATH_INFO"] == "/fault":
        raise ValueError("their <fault>")
    if environ["PATH_INFO"] == "/module":
        sys.modules["a_module_of_theirs"] = types.ModuleType("a_module_of_theirs")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"answer"]


class Page:
    """A client of the middleware, which counts how often modules have grown."""

    def __init__(self, app=app, broken=""):
        self.grown = 0
        self.development = Development(app, "7", broken, self.grow)
        self.client = TestApp(self.development, extra_environ={"HTTP_HOST": "localhost:80"})

    def grow(self):
        self.grown += 1

    def get(self, path="/", headers=None, method="GET"):
        return self.client.request(path, method=method, headers=headers or {}, expect_errors=True)


@pytest.fixture(autouse=True)
def _modules():
    yield
    sys.modules.pop("a_module_of_theirs", None)


def test_sound_code_answers():
    page = Page()
    answer = page.get(headers=VISIT)
    assert (answer.status, answer.text) == ("200 OK", "answer")
    assert HEADER[0] not in answer.headers
    assert page.get(VERSION_PATH).text == "7"


def test_modules_that_a_request_imports_are_told():
    page = Page()
    page.get()  # WebTest and the debugger may import modules for the first request.
    before = page.grown
    page.get("/module")
    page.get("/module")
    assert page.grown == before + 1


def test_a_visit_gets_the_page_while_the_code_is_broken():
    page = Page()
    page.development.show("8", BROKEN)
    answer = page.get(headers=VISIT)
    assert (answer.status, answer.content_type) == ("500 The Code Is Broken", "text/html")
    assert "ZeroDivisionError: &lt;b&gt;" in answer.text
    assert 'await answer.text() !== "8"' in answer.text
    assert "Until then the earlier code answers scripts and forms." in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert page.get(headers=VISIT, method="HEAD").body == b""
    assert page.get(VERSION_PATH).text == "8"
    page.development.show("9", "")
    assert page.get(headers=VISIT).text == "answer"


@pytest.mark.parametrize(
    ("method", "headers", "visits"),
    [
        ("GET", {"Sec-Fetch-Mode": "navigate", "Accept": "*/*"}, True),
        ("GET", {"Sec-Fetch-Mode": "cors", "Accept": "text/html"}, False),
        ("GET", {"Accept": "text/html,*/*"}, True),
        ("HEAD", {"Accept": "text/html"}, True),
        ("GET", {"Accept": "application/json"}, False),
        ("GET", {}, False),
        ("POST", {"Sec-Fetch-Mode": "navigate"}, False),
    ],
)
def test_other_requests_than_visits_get_the_old_code_s_answer(method, headers, visits):
    answer = Page(broken=BROKEN).get(headers=headers, method=method)
    if visits:
        assert answer.status_int == 500
    else:
        assert (answer.status_int, answer.headers[HEADER[0]]) == (200, HEADER[1])


def test_without_earlier_code_all_requests_get_the_error():
    page = Page(app=None, broken=BROKEN)
    assert "There is no earlier code that could answer." in page.get(headers=VISIT).text
    answer = page.get()
    assert (answer.status_int, answer.content_type, answer.text) == (500, "text/plain", f"{BROKEN}\n")
    assert page.development.pin is None


@pytest.mark.parametrize("host", ["evil.example", "192.0.2.1", ""])
def test_a_rebound_name_sees_no_code(host):
    page = Page(app=None, broken=BROKEN)
    for headers in ({"Host": host}, {"Host": host, **VISIT}):
        answer = page.get(headers=headers)
        assert "ask for localhost to read it here" in answer.text
        assert "ZeroDivisionError" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "shop.localhost:8000", "127.0.0.1:1"])
def test_names_of_this_machine_do(host):
    assert "ZeroDivisionError" in Page(app=None, broken=BROKEN).get(headers={"Host": host}).text


def test_a_fault_is_in_the_debugger():
    page = Page()
    answer = page.client.get("/fault", expect_errors=True)
    assert "ValueError: their <fault>" in answer.errors
    assert answer.status_int == 500
    assert "ValueError: their &lt;fault&gt;" in answer.text
    assert "dev/page.py" not in answer.text


def test_an_app_can_show_an_error_that_it_has_caught():
    from werkzeug.wrappers import Request, Response

    def careful(environ, start_response):
        try:
            raise ValueError("caught")
        except ValueError as error:
            page: Response = environ[DEBUGGER](Request(environ), error)
        return page(environ, start_response)

    answer = Page(app=careful).get()
    assert answer.status_int == 500
    assert "ValueError: caught" in answer.text


def test_another_host_gets_no_traceback():
    """Any web page can have a browser ask a name that leads to this machine (DNS rebinding)."""
    page = Page()
    assert "their &lt;fault&gt;" in page.get("/fault").text
    for host in ("evil.example", "evil.example:8000", ""):
        with pytest.raises(
            ValueError, match="their"
        ):  # The server logs it, and answers without a word of it.
            page.client.get("/fault", extra_environ={"HTTP_HOST": host})
        assert page.client.get("/", extra_environ={"HTTP_HOST": host}).text == "answer"
