"""``--request-id``: kept of a trusted proxy, else made; in the environ, the response and the logs."""

from __future__ import annotations

import re

import pytest

from tests.server.apps import TEXT, answer
from tests.server.client import get
from tests.server.http.bodies import Recorder
from tests.server.http.lone import Lone
from wsgiserve.server.http.request_ids import id_maker
from wsgiserve.server.threads.calls import Call

MADE = re.compile(r"[0-9a-f]{16}-[0-9a-f]+")


def ask(*fields, app=None, method="GET", **options):
    """Return the response and the environ of a request with these fields."""
    recorder = Recorder()
    with Lone(app or recorder, request_id=True, **options) as client:
        response = client.ask(get("/", *fields, method=method))
    return response, recorder.environs[0] if recorder.environs else {}


def test_an_id_is_made_for_each_request():
    recorder = Recorder()
    with Lone(recorder, request_id=True) as client:
        answers = [client.ask(get("/")).headers["x-request-id"] for _ in range(3)]
    assert answers == [environ["wsgiserve.request_id"] for environ in recorder.environs]
    assert len(set(answers)) == 3
    assert all(map(MADE.fullmatch, answers))


@pytest.mark.parametrize(
    "id", ["abc-123", "0f8fad5b-d9cb-469f-a165-70867728950e", "Root=1-67891233-ab", "x" * 128]
)
def test_the_id_of_a_trusted_proxy_is_kept(id):
    response, environ = ask(f"X-Request-ID: {id}", trust="127.0.0.1")
    assert (
        response.headers["x-request-id"]
        == environ["wsgiserve.request_id"]
        == environ["HTTP_X_REQUEST_ID"]
        == id
    )


@pytest.mark.parametrize("id", ["", "x" * 129, "a b", 'a"b', "a;b", "a\\b", "\xe9", "a, b"])
def test_an_id_that_could_break_a_log_is_replaced(id):
    response, environ = ask(f"X-Request-ID: {id}", trust="127.0.0.1")
    assert MADE.fullmatch(environ["wsgiserve.request_id"])
    assert response.headers["x-request-id"] == environ["wsgiserve.request_id"]
    assert "HTTP_X_REQUEST_ID" not in environ


def test_the_id_of_a_client_is_removed():
    response, environ = ask("X-Request-Id: mine")
    assert MADE.fullmatch(response.headers["x-request-id"])
    assert "HTTP_X_REQUEST_ID" not in environ


def test_without_the_option_there_is_none():
    recorder = Recorder()
    with Lone(recorder, trust="127.0.0.1") as client:
        response = client.ask(get("/", "X-Request-ID: theirs"))
    assert "x-request-id" not in response.headers
    assert "wsgiserve.request_id" not in recorder.environs[0]
    assert recorder.environs[0]["HTTP_X_REQUEST_ID"] == "theirs"


def test_an_id_that_the_app_sets_itself_is_not_doubled():
    response, _ = ask(app=answer(b"", headers=[TEXT, ("X-Request-Id", "own")]))
    assert response.headers["x-request-id"] == "own"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", [list, iter])
def test_every_shape_of_response_has_the_id(method, kind):
    response, _ = ask(app=answer(b"a", b"b", kind=kind), method=method)
    assert MADE.fullmatch(response.headers["x-request-id"])
    assert response.body == (b"ab" if method == "GET" else b"")


def fail(environ, start_response):
    raise LookupError("no such thing")


def test_an_error_has_the_id_in_the_answer_and_in_the_log(caplog):
    response, _ = ask("X-Request-ID: abc", app=fail, trust="127.0.0.1", bare=True)
    assert (response.status, response.headers["x-request-id"]) == (500, "abc")
    assert "GET / [abc] raised" in caplog.messages


def test_a_complaint_about_the_app_names_the_request(caplog):
    def short(environ, start_response):
        start_response("200 OK", [("Content-Length", "1")])
        return [b"12"]

    ask("X-Request-ID: abc", app=short, trust="127.0.0.1", bare=True)
    assert any(message.startswith("GET / [abc]: more bytes") for message in caplog.messages)


def test_a_call_in_the_log_has_the_id():
    with Lone(answer(b"x"), request_id=True, trust="127.0.0.1") as client:
        client.ask(get("/a?b", "X-Request-ID: abc"))
        assert str(Call(client.connection.exchange, 0, 0.0)) == "GET /a [abc]"


def test_the_access_log_ends_with_the_id(capsys):
    with Lone(answer(b"x"), request_id=True, access_log=True, trust="127.0.0.1") as client:
        client.ask(get("/", "X-Request-ID: abc", "X-Forwarded-For: 192.0.2.1"))
        client.gateway.access_log.flush()
    line = capsys.readouterr().out
    assert line.startswith("192.0.2.1 - - [")
    assert re.search(r'"-" [0-9]+ abc\n\Z', line)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"log_format": "json"}, r'\{.*"client.address":"192\.0\.2\.1".*"wsgiserve\.request_id":"abc".*\}\n'),
        ({"log_format": "logfmt"}, r'.*client\.address="192\.0\.2\.1".* wsgiserve\.request_id="abc" .*\n'),
        ({"log_format": "{client} {request_id}"}, r"192\.0\.2\.1 abc\n"),
        ({"log_skip": ["/other"]}, r'192\.0\.2\.1 - - \[.*"-" [0-9]+ abc\n'),
    ],
    ids=["json", "logfmt", "template", "combined"],
)
def test_each_format_has_the_client_and_the_id(capsys, options, line):
    with Lone(answer(b"x"), request_id=True, access_log=True, trust="127.0.0.1", **options) as client:
        response = client.ask(get("/", "X-Request-ID: abc", "X-Forwarded-For: 192.0.2.1"))
        client.gateway.access_log.flush()
    assert response.headers["x-request-id"] == "abc"
    assert re.fullmatch(line, capsys.readouterr().out)


def test_makers_of_two_processes_make_different_ids():
    one, other = id_maker(), id_maker()
    assert one()[:16] == one()[:16] != other()[:16]
