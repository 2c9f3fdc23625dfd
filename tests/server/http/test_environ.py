"""The environ of a request, whole and field by field; the validator checks each one too."""

from __future__ import annotations

import io
import sys

import pytest

from tests.server.apps import TEXT
from tests.server.client import get
from tests.server.http.bodies import CHUNKED, Recorder, chunked, ignore
from tests.server.http.lone import PORTS, Lone
from wsgiserve.protocol.limits import Limits
from wsgiserve.protocol.request import RequestReader
from wsgiserve.server.http.environ import connection_environ, request_environ


def environ_of(request_bytes, **options):
    recorder = Recorder()
    with Lone(recorder, **options) as client:
        client.ask(request_bytes)
    return recorder.environs[0]


def test_environ_whole():
    environ = environ_of(
        get("/a%20b/c?q=1&r=%20", "Content-Type: text/x", "User-Agent: me", method="POST", body=b"hello"),
    )
    streams = {name: environ.pop(name) for name in ("wsgi.input", "wsgi.errors", "wsgi.file_wrapper")}
    assert all(callable(getattr(streams["wsgi.errors"], name)) for name in ("write", "flush", "writelines"))
    software = environ.pop("SERVER_SOFTWARE")
    assert software.startswith("wsgiserve/")
    assert type(environ) is dict
    assert environ.pop("wsgiserve.deadline") is None
    extensions = {name for name in environ if name.startswith("wsgiserve.")} | {"wsgi.early_hints"}
    assert all(callable(environ.pop(name)) for name in extensions)
    assert environ == {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/c",
        "QUERY_STRING": "q=1&r=%20",
        "RAW_URI": "/a%20b/c?q=1&r=%20",
        "REQUEST_URI": "/a%20b/c?q=1&r=%20",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(PORTS[0]),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": str(PORTS[1]),
        "CONTENT_TYPE": "text/x",
        "CONTENT_LENGTH": "5",
        "HTTP_HOST": "test",
        "HTTP_USER_AGENT": "me",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", {"PATH_INFO": "/", "QUERY_STRING": ""}),
        ("/?", {"PATH_INFO": "/", "QUERY_STRING": "", "RAW_URI": "/?"}),
        ("//a/../b//", {"PATH_INFO": "//a/../b//"}),
        ("/a%2Fb", {"PATH_INFO": "/a/b", "RAW_URI": "/a%2Fb"}),
        ("/%c3%a9", {"PATH_INFO": "/\xc3\xa9", "RAW_URI": "/%c3%a9"}),
        ("/%ff%00", {"PATH_INFO": "/\xff\x00"}),
        ("/100%/%zz/%2", {"PATH_INFO": "/100%/%zz/%2"}),
        ("/%2525", {"PATH_INFO": "/%25"}),
        ("/a+b?c+d", {"PATH_INFO": "/a+b", "QUERY_STRING": "c+d"}),
        ("/a?b?c=%c3%a9", {"QUERY_STRING": "b?c=%c3%a9"}),
        (
            "http://other:81/a?b",
            {
                "PATH_INFO": "/a",
                "QUERY_STRING": "b",
                "HTTP_HOST": "other:81",
                "RAW_URI": "http://other:81/a?b",
            },
        ),
        ("HTTP://other", {"PATH_INFO": "/", "HTTP_HOST": "other"}),
        ("https://other/", {"HTTP_HOST": "other", "wsgi.url_scheme": "http"}),
    ],
)
def test_environ_of_target(target, expected):
    environ = environ_of(get(target))
    assert {key: environ[key] for key in expected} == expected


def test_environ_of_asterisk():
    environ = environ_of(get("*", method="OPTIONS"))
    assert (environ["PATH_INFO"], environ["RAW_URI"]) == ("", "*")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["X_Real_Ip: evil", "X-Real-Ip: real"], {"HTTP_X_REAL_IP": "real"}),
        (["Remote_User: root", "Script_Name: /x"], {"HTTP_REMOTE_USER": None, "SCRIPT_NAME": ""}),
        (["Remote-User: root"], {"HTTP_REMOTE_USER": "root", "REMOTE_USER": None}),
        (["Content_Length: 5"], {"CONTENT_LENGTH": None, "HTTP_CONTENT_LENGTH": None}),
        (["Proxy: http://evil"], {"HTTP_PROXY": None}),
        (["proxy: http://evil"], {"HTTP_PROXY": None}),
        (["Accept: a", "X: y", "accept: b", "ACCEPT:c"], {"HTTP_ACCEPT": "a, b, c"}),
        (["Cookie: a=1", "Cookie: b=2"], {"HTTP_COOKIE": "a=1; b=2"}),
        (["X-Space: \t a \t b \t"], {"HTTP_X_SPACE": "a \t b"}),
        (["X-Empty:"], {"HTTP_X_EMPTY": ""}),
        (["X-Latin: \xe9\xff"], {"HTTP_X_LATIN": "\xe9\xff"}),
        (["X.Odd!Name: 1"], {"HTTP_X.ODD!NAME": "1"}),
        (
            ["X-Forwarded-Proto: https", "Forwarded: proto=https"],
            {"wsgi.url_scheme": "http", "wsgiserve.forwarded": "removed"},
        ),
        (["X-Forwarded-For: 10.0.0.1"], {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": None}),
        ([], {"CONTENT_TYPE": None, "CONTENT_LENGTH": None, "HTTP_CONTENT_TYPE": None}),
    ],
    ids=lambda value: "; ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_environ_of_fields(fields, expected):
    environ = environ_of(get("/", *fields))
    assert {key: environ.get(key) for key in expected} == expected


def test_environ_of_chunks_that_are_all_here_has_their_length():
    request = get("/", CHUNKED, method="POST") + chunked(b"x", trailer=b"X-Trailer: 1\r\nHost: evil\r\n")
    environ = environ_of(request)
    assert environ["CONTENT_LENGTH"] == "1"
    assert "HTTP_TRANSFER_ENCODING" not in environ
    assert "HTTP_X_TRAILER" not in environ
    assert environ["HTTP_HOST"] == "test"


def test_environ_of_http_1_0():
    environ = environ_of(get(minor=0))
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert "HTTP_HOST" not in environ


def test_environ_says_when_calls_never_overlap():
    assert environ_of(get(), threads=1)["wsgi.multithread"] is False


def test_environ_is_fresh_for_each_call():
    seen = []

    def app(environ, start_response):
        seen.append((id(environ), "my.key" in environ, environ.get("HTTP_X"), environ["SCRIPT_NAME"]))
        environ["my.key"] = environ
        environ["SCRIPT_NAME"] = "/changed"
        environ.pop("HTTP_X")
        return ignore(environ | {"wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr}, start_response)

    with Lone(app) as client:
        for _ in range(5):
            assert client.ask(get("/", "X: y")).status == 200
    assert [entry[1:] for entry in seen] == [(False, "y", "")] * 5


def test_input_without_a_body_is_not_spoilt_for_the_next():
    """All requests without a body share it."""

    # Bare: the validator would refuse half of these calls.
    def app(environ, start_response):
        body = environ["wsgi.input"]
        read = [body.read(), body.read(5), body.read1(), body.readline(), *body.readlines(), *body]
        assert body.readinto(bytearray(3)) == 0
        with pytest.raises(io.UnsupportedOperation):
            body.write(b"left behind")
        io.TextIOWrapper(body).close()
        body.close()
        start_response("200 OK", [TEXT])
        return [b"".join(read) + b"."]

    with Lone(app, bare=True) as client:
        assert [client.ask(get()).body for _ in range(3)] == [b"."] * 3


@pytest.mark.parametrize(
    ("peer", "address", "port"),
    [
        (("10.0.0.1", 5), "10.0.0.1", "5"),
        (("::ffff:10.0.0.1", 5, 0, 0), "10.0.0.1", "5"),
        (("::1", 5, 0, 0), "::1", "5"),
        (("::ffff:1", 5, 0, 0), "::ffff:1", "5"),
        ("", "", None),
        (b"\0name", "", None),
    ],
    ids=["IPv4", "IPv4 in IPv6", "IPv6", "no IPv4 in it", "Unix", "abstract"],
)
def test_layer_of_a_connection(peer, address, port):
    layer = connection_environ({}, "", 80, peer)
    assert (layer["SERVER_NAME"], layer["SERVER_PORT"]) == ("localhost", "80")
    assert (layer["REMOTE_ADDR"], layer.get("REMOTE_PORT")) == (address, port)


def test_a_field_never_replaces_a_key_of_the_layers_before_it():
    layer = {"wsgi.version": (1, 0), "REMOTE_ADDR": "10.0.0.1"}
    head = RequestReader(Limits()).next_head(
        b"GET / HTTP/1.1\r\nRemote-Addr: evil\r\nWsgi.Version: 2\r\nHost: a\r\n\r\n"
    )
    environ = request_environ(layer, head)
    assert (environ["wsgi.version"], environ["REMOTE_ADDR"], environ["HTTP_HOST"]) == (
        (1, 0),
        "10.0.0.1",
        "a",
    )
    assert layer == {"wsgi.version": (1, 0), "REMOTE_ADDR": "10.0.0.1"}
