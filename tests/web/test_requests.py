"""Attributes and bodies of a request: lazy, limited, and a 4xx for errors of the client."""

from __future__ import annotations

import io

import pytest
import werkzeug.wrappers
from hypothesis import example, given
from hypothesis import strategies as st
from webtest import TestApp
from webtest.app import TestRequest

from wsgiserve.web import App
from wsgiserve.web.requests import Request

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def app():
    app = App(max_data=1000, max_form_memory=300, max_form_parts=10)

    @app.post("/json")
    def json(request):
        return {"got": request.get_json()}

    @app.post("/data")
    def data(request):
        return request.get_data()

    @app.post("/text")
    def text(request):
        return request.get_data(as_text=True)

    @app.post("/form")
    def form(request):
        files = {key: file.read().decode() for key, file in request.files.items()}
        return {"form": request.form.to_dict(flat=False), "files": files}

    @app.post("/stream")
    def stream(request):
        size = 0
        while block := request.stream.read(100_000):
            size += len(block)
        return {"size": size}

    @app.get("/query")
    def query(request):
        return [request.args.get("q"), request.full_path, request.url]

    @app.get("/cookies")
    def cookies(request):
        return request.cookies.to_dict()

    @app.get("/id")
    def id(request):
        return {"id": request.id}

    return app


@pytest.fixture(scope="module")
def client(app):
    return TestApp(app)


# Lazy attributes with werkzeug's values

ATTRIBUTES = [
    *["method", "scheme", "server", "root_path", "path", "query_string", "remote_addr", "url", "base_url"],
    *["host", "full_path", "is_secure", "script_root", "url_root", "args", "cookies", "content_type"],
    *["content_length", "mimetype", "access_route", "accept_mimetypes", "authorization"],
]


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {
            "REQUEST_METHOD": "post",
            "SCRIPT_NAME": "/a/",
            "PATH_INFO": "//b\xc3\xa9\xff",
            "QUERY_STRING": "q=%FF",
        },
        {"SCRIPT_NAME": None, "PATH_INFO": None, "SERVER_PORT": "", "HTTP_COOKIE": "a=1; a=2"},
        {"SERVER_NAME": "/run/socket", "SERVER_PORT": None, "REMOTE_ADDR": "::1", "wsgi.url_scheme": "https"},
    ],
    ids=["plain", "encoded", "empty", "socket"],
)
@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_have_the_values_of_werkzeug(name, environ):
    environ = TestRequest.blank("/").environ | environ

    assert getattr(Request(environ), name) == getattr(werkzeug.wrappers.Request(environ.copy()), name)


def test_attributes_are_computed_at_first_use():
    environ = TestRequest.blank("/path?q=1").environ
    request = Request(environ)

    assert vars(request) == {"environ": environ}
    assert (request.path, request.headers["Host"]) == ("/path", "localhost:80")
    assert set(vars(request)) == {"environ", "path", "headers"}
    assert request.headers is request.headers


def test_a_request_has_a_repr_and_a_clear_attribute_error():
    request = Request(TestRequest.blank("/path?q=1").environ)

    assert repr(request) == "<Request 'http://localhost/path?q=1' [GET]>"
    with pytest.raises(AttributeError, match="'Request' object has no attribute 'foo'"):
        request.foo  # noqa: B018


# JSON


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b"null", None),
        (b'"\\ud800"', "\ud800"),
        ('["é"]'.encode(), ["é"]),
        (b"\xef\xbb\xbf1", 1),
    ],
)
def test_json(client, body, value):
    assert client.post("/json", body, content_type="application/json; charset=utf-8").json == {"got": value}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[1] 2",
        b"NaN",
        b"[-Infinity]",
        b"[1e999]",
        '"é"'.encode("latin-1"),
        '"é"'.encode("utf-16"),
    ],
)
def test_malformed_json_is_400(client, body):
    answer = client.post("/json", body, content_type="application/json", status=400)

    assert answer.text.startswith("Failed to decode JSON object: ")


@pytest.mark.parametrize(
    ("body", "complaint"), [(b'"\xff"', "it is not UTF-8"), (b"1" * 5000, "a number is too large")], ids=len
)
def test_a_refusal_of_json_tells_nothing_of_the_program(body, complaint):
    app = App()
    app.post("/")(lambda request: request.get_json())

    answer = TestApp(app).post("/", body, content_type="application/json", status=400)
    assert answer.text.strip() == f"Failed to decode JSON object: {complaint}"


def test_json_that_is_nested_too_deeply_is_400(post):
    app = App()
    app.post("/")(lambda request: request.get_json())
    body = b"[" * 200_000

    assert TestApp(app).post("/", body, content_type="application/json", status=400)


@pytest.mark.parametrize("content_type", ["text/plain", FORM, "application/jsonp", "nonsense", ""])
def test_json_of_another_type_is_415(client, content_type):
    assert client.post("/json", "{}", content_type=content_type, status=415)


# Sizes


@pytest.mark.parametrize("path", ["/json", "/data", "/text"])
def test_a_body_above_max_data_is_413_announced_or_not(post, path):
    content_type = "application/json" if path == "/json" else FORM
    body = b"1" * 1001

    assert post(path, body, CONTENT_TYPE=content_type).status == "413 Request Entity Too Large"
    chunked = {
        "wsgi.input_terminated": True,
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_TYPE": content_type,
    }
    assert post(path, body, **chunked).status_int == 413
    assert post(path, body[1:], **chunked).status_int == 200


def test_a_stream_has_only_the_limit_of_the_server(client):
    assert client.post("/stream", b"x" * 1_000_000).json == {"size": 1_000_000}


def test_a_view_may_raise_the_limit_for_itself():
    app = App(max_data=10)

    @app.post("/")
    def view(request):
        request.max_data = 20
        return request.get_data()

    assert TestApp(app).post("/", b"x" * 20).body == b"x" * 20
    assert TestApp(app).post("/", b"x" * 21, status=413)


def test_the_rest_of_a_stream_may_be_read_as_data():
    app = App()

    @app.post("/")
    def view(request):
        return {"first": request.stream.read(3).decode(), "rest": request.get_data(as_text=True)}

    assert TestApp(app).post("/", b"abcdef").json == {"first": "abc", "rest": "def"}


def test_data_is_read_once_and_kept(client):
    app = App()

    @app.post("/")
    def view(request):
        return {"same": request.get_data() is request.get_data(), "form": request.form, "data": request.data}

    request = Request(TestRequest.blank("/", POST={"a": "1"}).environ)
    assert request.get_data() is request.get_data()
    assert request.form["a"] == "1"  # from the kept data
    request = Request(TestRequest.blank("/", POST={"a": "1"}).environ)
    assert (request.data, request.form["a"], request.get_data()) == (
        b"",
        "1",
        b"",
    )  # as in werkzeug: data or form


@pytest.mark.parametrize("path", ["/json", "/data", "/form", "/stream"])
@pytest.mark.parametrize("terminated", [False, True])
def test_a_body_shorter_than_announced_is_400(post, path, terminated):
    content_type = "application/json" if path == "/json" else FORM
    environ = {"wsgi.input_terminated": True} if terminated else {}
    answer = post(path, b"12", length=5, CONTENT_TYPE=content_type, **environ)

    # If the server ends the stream, it raises the error itself: see the next test.
    assert answer.status_int == (200 if path == "/stream" and terminated else 400)


class Gone(ConnectionError):
    client_fault = True


class CutShort(io.BytesIO):
    def read(self, size=-1):
        raise Gone


@pytest.mark.parametrize("path", ["/json", "/data", "/form", "/stream"])
def test_an_exception_of_the_server_s_input_passes_through(app, path):
    environ = TestRequest.blank(path, method="POST").environ
    content_type = "application/json" if path == "/json" else FORM
    environ |= {"wsgi.input": CutShort(), "wsgi.input_terminated": True, "CONTENT_TYPE": content_type}
    environ["CONTENT_LENGTH"] = "5"

    with pytest.raises(Gone):
        app(environ, lambda status, headers: None)


# The query, cookies, other fields


@pytest.mark.parametrize(
    ("query", "value"),
    [("q=%C3%A9", "é"), ("q=%FF", "%FF"), ("q=\xff", "%FF"), ("q=\xc3\xa9", "é"), ("q=%", "%"), ("", None)],
)
def test_a_query_that_is_not_utf8_stays_percent_encoded(app, send, query, value):
    answer = send(app, b"/query", query=query, lint=False)

    assert (answer.status_int, answer.json[0]) == (200, value)


@pytest.mark.parametrize(
    ("cookie", "value"),
    [
        ("a=1; b=2", {"a": "1", "b": "2"}),
        ("a=1; a=2", {"a": "1"}),
        ("=x;;; a", None),
        ('a="\\303\\251"', {"a": "é"}),
    ],
)
def test_cookies(client, cookie, value):
    answer = client.get("/cookies", headers={"Cookie": cookie})

    assert value is None or answer.json == value


FIELDS = [
    "Accept",
    "Accept-Language",
    "Authorization",
    "Content-Type",
    "Cookie",
    "Date",
    "Host",
    "If-Match",
    "If-Modified-Since",
    "If-Range",
    "Range",
    "Max-Forwards",
    "Cache-Control",
    "X-Forwarded-For",
    "Transfer-Encoding",
    "User-Agent",
    "Pragma",
    "Content-Encoding",
]
LOOKED_AT = [
    *[
        "accept_mimetypes",
        "accept_languages",
        "authorization",
        "mimetype",
        "mimetype_params",
        "cookies",
        "date",
    ],
    *["host", "url", "if_match", "if_modified_since", "if_range", "range", "max_forwards", "cache_control"],
    *["access_route", "content_length", "user_agent", "pragma", "is_json", "id", "args", "full_path"],
]


@given(
    st.sampled_from(FIELDS),
    st.text(st.characters(max_codepoint=255)) | st.text('"=;,*/\\ %:bytesBascDigt0123456789-W[]\xff'),
)
@example("Authorization", "Basic \xe9")
def test_no_field_breaks_an_attribute(field, value):
    environ = TestRequest.blank("/").environ
    key = field.upper().replace("-", "_")
    environ[key if key.startswith("CONTENT_TYPE") else f"HTTP_{key}"] = value
    environ["QUERY_STRING"] = value
    request = Request(environ)

    assert [name for name in LOOKED_AT if isinstance(getattr(request, name), Exception)] == []


# The request's id


@pytest.mark.parametrize(
    ("sent", "id"),
    [
        ("abc-123", "abc-123"),
        ("~" * 128, "~" * 128),
        ("~" * 129, None),
        ("a b", None),
        ("a\x7f", None),
        ("é", None),
        ("", None),
        (None, None),
    ],
)
def test_the_id_comes_from_the_server_or_else_from_a_well_formed_field(client, sent, id):
    headers = {} if sent is None else {"X-Request-Id": sent}

    assert client.get("/id", headers=headers).json == {"id": id}
    environ = {"wsgiserve.request_id": "server's"}
    assert client.get("/id", headers=headers, extra_environ=environ).json == {"id": "server's"}


def test_a_body_as_text_has_its_charset():
    app = App()
    app.post("/")(lambda request: request.get_data(as_text=True))
    client = TestApp(app)

    assert client.post("/", b"\xfc", content_type="text/plain; charset=ISO-8859-1").text == "ü"
    assert client.post("/", "ü".encode(), content_type="text/plain").text == "ü"
    assert client.post("/", b"\xfc", content_type="text/plain").text == "\ufffd"
    assert "is not known" in client.post("/", b"a", content_type="text/plain; charset=zip", status=400)
