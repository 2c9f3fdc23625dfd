"""The warm-up request of a worker."""

from __future__ import annotations

import re
import threading

import pytest

from tests.processes.programs import APP, serving, who
from tests.program import FREE_PORT, Program
from tests.server.apps import TEXT, checked
from wsgiserve.config import ConfigError, make_config
from wsgiserve.processes import probe
from wsgiserve.server.errors import StartError

PATH = "/health?deep=1"
CONFIG = make_config(probe=PATH, access_log=True)


def answering(status, *blocks, headers=(TEXT,)):
    def app(environ, start_response):
        start_response(status, list(headers))
        return list(blocks)

    return app


def refused(app):
    """Return why the probe fails."""
    with pytest.raises(StartError) as caught:
        probe.probe(app, CONFIG)
    return str(caught.value)


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "302 Found"])
def test_a_status_below_400_is_sound(status, capsys):
    headers = () if status[:3] == "204" else (TEXT,)
    assert probe.probe(answering(status, headers=headers), CONFIG) is None
    assert capsys.readouterr().out == "", "no client has asked, so nothing is logged"


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "503 Service Unavailable"])
def test_a_status_from_400_on_is_not(status):
    assert refused(answering(status)).startswith(f"wsgiserve: --probe {PATH} was answered {status[:3]}")


def test_it_is_a_request_like_any_other():
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        start_response("200 OK", [TEXT])
        return [b"a", b"b"]

    probe.probe(checked(app), CONFIG)
    asked = [seen[name] for name in ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "HTTP_HOST")]
    assert asked == ["GET", "/health", "deep=1", "localhost"]


def test_an_app_that_raises_is_answered_500(log):
    def app(environ, start_response):
        raise RuntimeError("no database")

    assert refused(app).endswith("was answered 500")
    assert "RuntimeError: no database" in log.text


def test_a_response_is_read_to_its_end():
    """The generator has run to its end when the worker begins to serve."""
    steps = []

    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        for step in range(3):
            steps.append(step)
            yield b"x" * 100_000

    probe.probe(app, CONFIG)
    assert steps == [0, 1, 2]


def test_an_app_that_does_not_answer_in_time(monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(probe, "PROBE_SECONDS", 0.05)

    def app(environ, start_response):
        over.wait(10)
        start_response("200 OK", [TEXT])
        return []

    assert refused(app) == f"wsgiserve: --probe {PATH} was not answered in 0.05 s"
    over.set()


def test_a_program_whose_probe_fails_does_not_serve(folder):
    with Program(folder, "app", "--probe", "/fails", env=FREE_PORT) as program:
        code, out, err = program.end()
    assert (code, out) == (3, "")
    assert "RuntimeError: no database" in err
    assert err.endswith("wsgiserve: --probe /fails was answered 500\n")


def test_a_probe_is_answered_before_anybody_else(folder):
    (folder / "app.py").write_text(
        APP.replace("path = environ", "note('called ' + environ['PATH_INFO']); path = environ")
    )
    with serving(folder, "app", "--probe", PATH) as (program, port):
        who(port)
        assert program.stop()[0] == 0
    called = re.findall("called (.*) ", (folder / "notes").read_text())
    assert called == ["/health", "/"]


def test_an_app_may_send_early_hints_and_trailers():
    def app(environ, start_response):
        environ["wsgi.early_hints"]([("Link", "</style.css>")])
        environ["wsgiserve.send_trailers"]([("X-Sum", "1")])
        start_response("200 OK", [TEXT])
        return iter([b"a"])

    assert probe.probe(app, CONFIG) is None


# -- a whole URL


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/health?a=1", ("http", "localhost", "localhost", "80", "/health", "a=1", None)),
        (
            "https://shop.example/health",
            ("https", "shop.example", "shop.example", "443", "/health", "", "on"),
        ),
        ("http://shop.example:8080", ("http", "shop.example:8080", "shop.example", "8080", "/", "", None)),
        ("https://[::1]:8443/?a=1", ("https", "[::1]:8443", "::1", "8443", "/", "a=1", "on")),
    ],
)
def test_a_url_sets_host_scheme_and_path(url, expected):
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        start_response("200 OK", [TEXT])
        return [b"."]

    probe.probe(checked(app), make_config(probe=url))
    names = (
        "wsgi.url_scheme",
        "HTTP_HOST",
        "SERVER_NAME",
        "SERVER_PORT",
        "PATH_INFO",
        "QUERY_STRING",
        "HTTPS",
    )
    assert tuple(seen.get(name) for name in names) == expected


@pytest.mark.parametrize(
    "url",
    [
        "health",
        "ftp://a/",
        "https://",
        "https:///x",
        "//a/",
        "/a b",
        "/a\r\nX: y",
        "https://a:b/",
        "https://a:65536/",
        "https://u@a/",
    ],
)
def test_what_is_no_url_is_refused(url):
    with pytest.raises(ConfigError, match="is neither a path"):
        make_config(probe=url)


def test_an_error_behind_early_hints_is_an_error():
    def app(environ, start_response):
        environ["wsgi.early_hints"]([("Link", "</style.css>")])
        start_response("500 Oh", [TEXT])
        return [b"HTTP/1.1 200 OK\r\n\r\n"]

    assert refused(app).endswith("was answered 500")


def test_an_app_that_accepts_its_own_host_only_says_so():
    assert refused(answering("400 Bad Request")).endswith(
        "was answered 400; if the app accepts its own host name only, write the whole URL, such as "
        f"--probe https://shop.example{PATH}"
    )


def test_a_redirect_to_https_is_not_an_answer():
    app = answering("301 Moved", headers=[TEXT, ("Location", "https://localhost/health?deep=1")])
    assert "a redirect to https://localhost/health?deep=1; ask as clients do" in refused(app)
    elsewhere = answering("302 Found", headers=[TEXT, ("Location", "https://localhost/login")])
    assert probe.probe(elsewhere, CONFIG) is None
