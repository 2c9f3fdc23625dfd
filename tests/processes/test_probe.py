"""The warm-up request of a worker."""

from __future__ import annotations

import re
import threading

import pytest

from tests.processes.programs import APP, serving, who
from tests.program import FREE_PORT, Program
from tests.server.apps import TEXT, checked
from wsgiserve.config import make_config
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
    assert refused(answering(status)) == f"wsgiserve: --probe {PATH} was answered {status[:3]}"


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
