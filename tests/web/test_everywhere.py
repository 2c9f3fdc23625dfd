"""Tests of one ``App``, called directly and served by wsgiserve, gunicorn and waitress."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.test_live import ROOT, announced_port
from tests.web.everywhere import app

APP = "tests.web.everywhere:app"
COMMANDS = {
    "wsgiserve": ["-m", "wsgiserve", APP, "--bind", "127.0.0.1:0", "--trust", "127.0.0.1"],
    "gunicorn": ["-m", "gunicorn", APP, "--bind", "127.0.0.1:0", "--threads", "4"],
    "waitress": ["-m", "waitress", "--listen=127.0.0.1:0", APP],
}


class Answer(NamedTuple):
    """A response; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> object:
        return json.loads(self.body)


Ask = Callable[..., Answer]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.slow if name in ("gunicorn", "waitress") else ())
        for name in ("direct", *COMMANDS)
    ],
)
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    """Return ``ask(method, path, body, **fields)``."""
    if request.param == "direct":
        yield ask_directly
        return
    process = subprocess.Popen(
        [sys.executable, *COMMANDS[request.param]],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        port = announced_port(process.stdout)
        yield lambda *arguments, **fields: ask_over_a_socket(port, *arguments, **fields)
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def ask_directly(method: str, path: str, body: bytes = b"", **fields: str) -> Answer:
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    client = app.client()
    got = client.request(path, method=method, body=body, headers=headers, expect_errors=True)
    return Answer(got.status_int, {name.lower(): value for name, value in got.headers.items()}, got.body)


def ask_over_a_socket(port: int, method: str, path: str, body: bytes = b"", **fields: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        connection.request(method, path, body or None, headers)
        got = connection.getresponse()
        return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
    finally:
        connection.close()


# -- routing


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("hello", "hello"),
        ("", ""),
        ("a/b//c/", "a/b//c/"),
        ("a%20b%2Fc", "a b/c"),
        ("gr%C3%BC%C3%9Fe", "grüße"),
    ],
)
def test_a_path_is_matched_as_sent(ask: Ask, path: str, text: str) -> None:
    answer = ask("GET", f"/echo/{path}")
    assert (answer.status, answer.body.decode()) == (200, text)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_a_path_that_is_not_utf_8_is_400(ask: Ask) -> None:
    assert ask("GET", "/echo/%FF").status == 400


def test_an_annotation_chooses_the_converter(ask: Ask) -> None:
    key = "12345678-1234-5678-1234-567812345678"
    assert ask("GET", f"/keys/{key}").json == {"key": key}
    assert ask("GET", "/keys/7").status == 404


def test_head_is_get_without_a_body(ask: Ask) -> None:
    answer = ask("HEAD", "/echo/hello")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "5", b"")


def test_a_wrong_method_is_405_with_the_methods(ask: Ask) -> None:
    for method, status in (("DELETE", 405), ("OPTIONS", 204)):
        answer = ask(method, "/notes/1")
        assert (answer.status, answer.headers["allow"]) == (status, "GET, HEAD, OPTIONS, PUT")


def test_a_missing_slash_is_a_relative_redirect_with_the_query(ask: Ask) -> None:
    answer = ask("GET", "/folder?a=1&b=%20")
    assert (answer.status, answer.headers["location"]) == (308, "./folder/?a=1&b=%20")


def test_a_mounted_app_gets_the_rest_of_the_path(ask: Ask) -> None:
    assert ask("GET", "/below/the/rest").body == b"/below /the/rest"


# -- requests


def test_json_is_read_and_sent(ask: Ask) -> None:
    answer = ask("PUT", "/notes/3", b'{"text": "\xc3\xbc"}', Content_Type="application/json")
    assert (answer.status, answer.json, answer.headers["location"]) == (201, {"text": "ü"}, "/notes/3")


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b'"' + b"x" * 1000 + b'"', "application/json", 413),
    ],
    ids=["malformed", "not-utf-8", "wrong-type", "too-large"],
)
def test_an_unacceptable_body_is_a_4xx(ask: Ask, body: bytes, kind: str, status: int) -> None:
    assert ask("PUT", "/notes/3", body, Content_Type=kind).status == status


def test_a_form_with_a_file_is_read(ask: Ask) -> None:
    parts = [b'name="name"\r\n\r\nann', b'name="file"; filename="a.txt"\r\n\r\n12345']
    body = (
        b"".join(b"--x\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + b"--x--\r\n"
    )
    answer = ask("POST", "/form", body, Content_Type="multipart/form-data; boundary=x")
    assert answer.json == {"name": "ann", "file": "a.txt", "size": 5}


def test_a_stream_may_be_larger_than_max_data(ask: Ask) -> None:
    assert ask("POST", "/size", b"x" * 300_000, Content_Type="application/octet-stream").body == b"300000"


def test_the_prefix_of_a_proxy_comes_before_paths(ask: Ask) -> None:
    answer = ask(
        "PUT", "/notes/3", b'{"text": ""}', Content_Type="application/json", X_Forwarded_Prefix="/at"
    )
    assert answer.headers["location"] == "/at/notes/3"


# -- replies


def test_a_dataclass_is_json(ask: Ask) -> None:
    answer = ask("GET", "/notes/1")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {"id": 1, "text": "milk", "on": "2026-11-20"}


def test_a_stream_arrives_whole(ask: Ask) -> None:
    assert ask("GET", "/count").body == b"0\n1\n2\n"


def test_a_file_arrives_whole(ask: Ask) -> None:
    answer = ask("GET", "/file")
    assert answer.headers["content-type"].partition(";")[0] == "text/csv"
    assert "a.csv" in answer.headers["content-disposition"]
    assert answer.body == b"0123456789" * 10_000


def test_a_cookie_comes_back(ask: Ask) -> None:
    answer = ask("GET", "/login")
    assert (answer.status, answer.headers["location"]) == (302, "/cookie")
    cookie = answer.headers["set-cookie"].partition(";")[0]
    assert ask("GET", "/cookie", Cookie=cookie).body == b"ann"


# -- errors


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/html", "text/html; charset=utf-8"),
        ("application/json", "application/problem+json"),
        ("*/*", "text/plain; charset=utf-8"),
    ],
)
def test_an_error_has_the_accepted_format(ask: Ask, accept: str, kind: str) -> None:
    answer = ask("GET", "/notes/10", Accept=accept)
    assert (answer.status, answer.headers["content-type"]) == (404, kind)
    assert b"No such note." in answer.body


@pytest.mark.parametrize("path", ["/broken", "/nonsense"])
def test_a_bug_is_a_500_without_details(ask: Ask, path: str) -> None:
    answer = ask("GET", path, Accept="application/json")
    assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body


def test_a_handler_answers_its_exception(ask: Ask) -> None:
    answer = ask("GET", "/notes/0")
    assert (answer.status, answer.body) == (422, b"not by zero")


# -- hooks


def test_the_hooks_of_a_group_run(ask: Ask) -> None:
    stranger = ask("GET", "/notes/1", X_Stranger="yes")
    assert (stranger.status, stranger.headers["x-notes"]) == (403, "yes")
    assert "x-notes" not in ask("GET", "/echo/a", X_Stranger="yes").headers


def test_the_start_up_hook_ran_once(ask: Ask) -> None:
    assert [ask("GET", "/started").body for _ in range(3)] == [b"1"] * 3


def test_jobs_after_the_response_run(ask: Ask) -> None:
    assert ask("POST", "/later").status == 204
    deadline = time.monotonic() + 10
    while ask("GET", "/later").json != ["done"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
