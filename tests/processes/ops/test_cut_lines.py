"""Lines for requests that a worker has left unfinished: in each format, with what is known."""

from __future__ import annotations

import json
import time

import pytest

from tests.program import LOG_LINE
from wsgiserve.config import make_config
from wsgiserve.processes.ops.cut_lines import cut_lines
from wsgiserve.server.in_flight import Entry


def entry(seconds=2.0, **facts):
    began = time.monotonic() - seconds
    return Entry(began, 7, "app", "192.0.2.1", "GET", "/a?b=c", "id-1")._replace(**facts)


def lines(*entries, **options):
    return cut_lines(entries, make_config(**options)).decode().splitlines(keepends=True)


def test_a_line_in_json_has_what_is_known():
    (line,) = lines(entry(), log_format="json")
    record = json.loads(line)
    assert {name: record[name] for name in record if "duration" not in name and name != "timestamp"} == {
        "client.address": "192.0.2.1",
        "http.request.method": "GET",
        "url.path": "/a",
        "url.query": "b=c",
        "network.protocol.version": "1.1",
        "http.response.body.size": 0,
        "wsgiserve.request_id": "id-1",
        "wsgiserve.end": "cut",
    }
    assert 2.0 <= record["http.server.request.duration"] < 60
    assert record["wsgiserve.wait.duration"] == 0.0


def test_a_request_that_waited_was_not_in_the_app():
    (line,) = lines(entry(phase="waiting"), log_format="json")
    record = json.loads(line)
    assert record["wsgiserve.wait.duration"] >= 2.0
    assert record["wsgiserve.app.duration"] == 0.0


def test_one_that_was_counted_has_its_status():
    (line,) = lines(entry(status=404, minor=0), log_format="json")
    record = json.loads(line)
    assert record["http.response.status_code"] == 404
    assert record["network.protocol.version"] == "1.0"


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("{method} {target} {status} {end} {agent}", "GET /a?b=c 000 cut -\n"),
        ("{client} {path} {query} {request_id} {version}", "192.0.2.1 /a b=c id-1 1.1\n"),
    ],
)
def test_a_template_is_filled_in(format, expected):
    assert lines(entry(), log_format=format) == [expected]


def test_logfmt_and_the_combined_format():
    (line,) = lines(entry(), log_format="logfmt")
    assert 'url.path="/a" url.query="b=c"' in line
    assert 'wsgiserve.end="cut"' in line
    (line,) = lines(entry(client="127.0.0.1", id=""), log_format="combined")
    match = LOG_LINE.fullmatch(line)
    assert match["request"] == "GET /a?b=c HTTP/1.1"
    assert (match["status"], match["size"], match["agent"]) == ("000", "0", "-")


def test_nobody_who_asked_for_a_path_can_forge_a_line():
    (line,) = lines(entry(target='/"\xff\x7f\\', client='"'), log_format="json")
    assert line.isascii()
    assert json.loads(line)["url.path"].startswith('/"')


def test_what_the_log_leaves_out_is_left_out():
    assert len(lines(entry(), entry(target="/health"), log_skip=("/health",))) == 1
    assert lines(entry(), access_log="") == []
    assert len(lines(entry(), entry(), log_sample=100)) == 2  # They did not go well.
