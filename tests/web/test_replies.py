"""Replies of views, and the responses they become."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar
from wsgiref.validate import validator

import msgspec
import pytest
from webtest import TestApp
from webtest.app import TestRequest

from wsgiserve.web import App, Response
from wsgiserve.web.replies import html, json_response, redirect

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"


@dataclass(frozen=True)
class Point:
    x: object
    y: object
    known: ClassVar[int] = 5


class Line(msgspec.Struct):
    text: str


def ascii_id(value):
    """Return an id without the address that the repr of a memoryview has."""
    return "memoryview" if isinstance(value, memoryview) else ascii(value)


def client_of(view):
    app = App()
    app.get("/")(view)
    return TestApp(app)


@pytest.mark.parametrize(
    ("reply", "status", "content_type", "body"),
    [
        ("grüße", "200 OK", TEXT, "grüße".encode()),
        ("", "200 OK", TEXT, b""),
        ("lone \ud800", "200 OK", TEXT, b"lone ?"),
        (b"\x00\xff", "200 OK", BYTES, b"\x00\xff"),
        (bytearray(b"ab"), "200 OK", BYTES, b"ab"),
        (memoryview(b"ab"), "200 OK", BYTES, b"ab"),
        ({"é": [1, None]}, "200 OK", "application/json", '{"é":[1,null]}'.encode()),
        ([], "200 OK", "application/json", b"[]"),
        (["\ud800"], "200 OK", "application/json", b'["\\ud800"]'),
        (Point(1, Point(2, None)), "200 OK", "application/json", b'{"x":1,"y":{"x":2,"y":null}}'),
        (Line("a"), "200 OK", "application/json", b'{"text":"a"}'),
        ((Point(1, 2), 201), "201 Created", "application/json", b'{"x":1,"y":2}'),
        (("made", 201), "201 Created", TEXT, b"made"),
        (({}, HTTPStatus.ACCEPTED), "202 Accepted", "application/json", b"{}"),
        ((None, 201), "201 Created", TEXT, b""),
        (("x", 299), "299 Unknown", TEXT, b"x"),
        (("<b>", 200, {"Content-Type": "text/html"}), "200 OK", "text/html", b"<b>"),
        (("<b>", 200, [("content-type", "text/html")]), "200 OK", "text/html", b"<b>"),
    ],
    ids=ascii_id,
)
def test_each_reply_has_its_response(reply, status, content_type, body):
    answer = client_of(lambda request: reply).get("/")

    assert (answer.status, answer.headers["Content-Type"], answer.body) == (
        status,
        content_type,
        body,
    )
    assert answer.headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize("reply", [None, (None, 204), ("text", 204), Response(status=204)])
def test_a_204_has_no_body_and_no_fields_of_a_body(reply):
    answer = client_of(lambda request: reply).get("/")

    assert (answer.status_int, answer.body) == (204, b"")
    assert not {"Content-Type", "Content-Length"} & set(answer.headers)


@pytest.mark.parametrize("value", ["text", 5, 1.5, True, None, {"a": [1]}], ids=repr)
def test_json_response_accepts_any_json_value(value):
    answer = client_of(lambda request: json_response(value, 201, {"X-A": "1"})).get("/")

    assert (answer.status, answer.content_type, answer.json) == ("201 Created", "application/json", value)
    assert answer.headers["X-A"] == "1"


def test_json_response_may_have_another_content_type():
    headers = {"Content-Type": "application/geo+json"}
    answer = client_of(lambda request: json_response({}, headers=headers)).get("/")

    assert answer.headers.getall("Content-Type") == ["application/geo+json"]


@pytest.mark.parametrize("location", ["http://[", "//[::1", "http://x:99999999/", "http://\u2100.example"])
def test_a_malformed_location_is_an_error_of_the_view(location, caplog):
    app = App()
    closed = []

    @app.get("/")
    def view(request):
        response = redirect(location)
        response.call_on_close(lambda: closed.append(True))
        return response

    app.errorhandler(ValueError)(lambda request, error: (type(error).__name__, 502))
    assert TestApp(app).get("/", status=502)
    assert closed == [True]


def test_a_field_that_is_not_latin_1_is_an_error_of_the_view(caplog):
    answer = client_of(lambda request: Response("x", headers={"X-Name": "\u2603"})).get("/", status=500)

    assert "UnicodeEncodeError" in caplog.text
    assert "X-Name" not in answer.headers


@pytest.mark.parametrize(
    ("arguments", "status", "location"),
    [
        (("/notes/1",), "302 Found", "/notes/1"),
        (("../x?q=é", 303), "303 See Other", "../x?q=%C3%A9"),
        (("https://example.com/", 308), "308 Permanent Redirect", "https://example.com/"),
    ],
)
def test_redirects(arguments, status, location):
    answer = client_of(lambda request: redirect(*arguments)).get("/", status="*")

    assert (answer.status, answer.headers["Location"]) == (status, location)


@pytest.mark.parametrize("arguments", [("/", 200), ("/", 304), ("/a\r\nX-B: c",)])
def test_an_invalid_redirect_is_an_error_of_the_view(arguments, caplog):
    answer = client_of(lambda request: redirect(*arguments)).get("/", status=500)

    assert "X-B" not in answer.headers
    assert "ValueError" in caplog.text


def test_a_304_has_no_body():
    answer = client_of(lambda request: ("text", 304, {"ETag": '"1"'})).get("/", status=304)

    assert (answer.body, answer.headers["ETag"]) == (b"", '"1"')
    assert not {"Content-Type", "Content-Length"} & set(answer.headers)


def test_head_has_the_length_of_the_get():
    for reply in ["text", {"a": 1}, ("text", 201), Response("text")]:
        client = client_of(lambda request, reply=reply: reply)
        answer = client.head("/")
        assert (answer.body, answer.headers["Content-Length"]) == (
            b"",
            client.get("/").headers["Content-Length"],
        )


def test_a_cookie_of_a_response_comes_back():
    app = App()

    @app.post("/login")
    def login(request):
        response = redirect("/", 303)
        response.set_cookie("name", "ännie", max_age=3600, httponly=True, samesite="Lax")
        return response

    @app.get("/")
    def home(request):
        return request.cookies.get("name", "who?")

    client = TestApp(app)
    assert client.get("/").text == "who?"
    assert client.post("/login").follow().text == "ännie"


def test_repeated_fields_are_all_kept():
    cookies = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Number", 3)]
    answer = client_of(lambda request: ("", 200, cookies)).get("/")

    assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
    assert answer.headers["X-Number"] == "3"


def test_a_response_is_sent_unchanged():
    reply = Response("<b>", 418, {"X-A": "1"}, mimetype="text/html")
    answer = client_of(lambda request: reply).get("/", status=418)

    assert (answer.text, answer.headers["X-A"], answer.content_type) == ("<b>", "1", "text/html")


class Source:
    """An iterator that tells whether it was closed."""

    def __init__(self, *items):
        self.items = list(items)
        self.closed = 0

    def __iter__(self):
        return self

    def __next__(self):
        if not self.items:
            raise StopIteration
        item = self.items.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    def close(self):
        self.closed += 1


@pytest.mark.parametrize(
    ("items", "content_type", "body"),
    [
        (["é", b"\xff", "b"], TEXT, b"\xc3\xa9\xffb"),
        ([b"a", "é"], BYTES, b"a\xc3\xa9"),
        ([b"", b""], BYTES, b""),
        ([], BYTES, b""),
    ],
)
def test_an_iterator_is_streamed_and_closed(items, content_type, body):
    source = Source(*items)
    answer = client_of(lambda request: source).get("/")

    assert (answer.body, answer.headers["Content-Type"]) == (body, content_type)
    assert source.closed == 1


def test_a_generator_view_streams_with_status_and_headers():
    def view(request):
        return (f"{number}\n" for number in range(3)), 203, {"Content-Type": "text/csv"}

    answer = client_of(view).get("/")

    assert (answer.status_int, answer.content_type, answer.text) == (203, "text/csv", "0\n1\n2\n")


def start(view):
    """Call a view's application as a server would; give the body and the headers so far."""
    app, headers = App(), {}
    app.get("/")(view)
    environ = TestRequest.blank("/").environ
    body = validator(app)(environ, lambda status, fields: headers.update(fields))
    return body, headers


def test_a_stream_is_lazy_and_closed_when_the_client_leaves():
    source = Source(b"first", b"second", b"third")

    body, headers = start(lambda request: source)
    assert next(iter(body)) == b"first"
    assert source.items == [b"second", b"third"]
    body.close()

    assert headers == {"Content-Type": BYTES}  # and no Content-Length
    assert source.closed == 1


def test_head_of_a_stream_closes_it_unread():
    source = Source(b"first", b"second")
    answer = client_of(lambda request: source).head("/")

    assert answer.body == b""
    assert source.items == [b"second"]
    assert source.closed == 1


def test_an_open_file_is_streamed_and_closed():
    file = io.BytesIO(b"line\n\x00line")
    answer = client_of(lambda request: file).get("/")

    assert answer.body == b"line\n\x00line"
    assert file.closed


def test_a_failure_before_the_first_item_is_an_ordinary_500_and_closes_the_source():
    source = Source(RuntimeError("early"))

    assert client_of(lambda request: source).get("/", status=500)
    assert source.closed == 1


def test_a_failure_after_the_first_item_reaches_the_server():
    source = Source(b"first", 2)

    body, _ = start(lambda request: source)
    items = iter(body)
    assert next(items) == b"first"
    with pytest.raises(TypeError, match=r"view .*<lambda>.*yielded int; a stream yields bytes or str"):
        next(items)
    body.close()

    assert source.closed == 1


def test_an_iterator_without_close_is_streamed():
    assert client_of(lambda request: map(str, range(3))).get("/").text == "012"


def view_under_test(request):
    return REPLY


REPLY: object = None


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (5, "returned int; a view returns str, bytes"),
        ({1, 2}, "returned set; a view returns"),
        (object(), "returned object; a view returns"),
        (range(3), "returned range; a view returns"),
        ((), "returned a tuple of 0; a view returns"),
        (("a", 200, {}, "b"), "returned a tuple of 4; a view returns"),
        ((5, 200), "returned int; a view returns"),
        (1.5, "returned float; a view returns"),
        (True, "returned bool; a view returns"),
        (Point, "returned type; a view returns"),
        (Point(1, {2}), "returned a Point that is not JSON: Object of type set"),
        (("a", 200, {"X-A": "日"}), "headers are a dict or a list"),
        ([Point], "returned a list that is not JSON: Object of type type"),
        ({(1, 2): 1}, "returned a dict that is not JSON: keys must be str"),
        ((Response("x"), 200), "returned Response; a view returns"),
        (("a", "b"), "returned the status 'b'; a status is an int from 200 to 599"),
        (("a", 99), "returned the status 99"),
        (("a", 101), "returned the status 101"),
        (("a", True), "returned the status True"),
        (("a", 200, 5), "headers are a dict or a list"),
        (("a", 200, "ab"), "headers are a dict or a list"),
        (("a", 200, {"X-A": "b\r\nX-C: d"}), "headers are a dict or a list"),
        ({"when": object()}, "returned a dict that is not JSON: Object of type object"),
        ([float("nan")], "returned a list that is not JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_invalid_reply_is_a_500_and_the_log_names_the_view(caplog, reply, complaint):
    global REPLY
    REPLY = reply
    answer = client_of(view_under_test).get("/", status=500)

    (record,) = caplog.records
    code = view_under_test.__code__
    place = f"view view_under_test ({code.co_filename}:{code.co_firstlineno}) "
    assert (record.name, record.levelno) == ("wsgiserve.app", logging.ERROR)
    assert record.getMessage().startswith(f"GET /: TypeError: {place}")
    assert complaint in record.getMessage()
    assert "view_under_test" not in answer.text


def test_html_is_a_page_and_a_str_is_plain_text():
    answer = client_of(lambda request: html("<p>é", 201, {"X-A": "1"})).get("/")
    assert (answer.status_int, answer.headers["Content-Type"]) == (201, "text/html; charset=utf-8")
    assert (answer.text, answer.headers["X-A"]) == ("<p>é", "1")
    assert client_of(lambda request: "<p>").get("/").content_type == "text/plain"
