"""The load generator sends the request of the load, and its result is read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest

from bench.servers import app, wrk
from bench.servers.scenarios import ANOTHER_ID, ANOTHER_PATH, Load, Request

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")

RESULT = (
    '{"requests":3000,"microseconds":1500000,"mean":2000,"p50":120,"p99":4500,'
    '"status":%d,"connect":0,"read":%d,"write":0,"timeout":0}\n'
)
SEEN = ("REQUEST_METHOD", "PATH_INFO", "CONTENT_LENGTH", "HTTP_X_KEY")


def test_result_of_wrk_is_read() -> None:
    text = "Running 2s test @ http://127.0.0.1:8000/\n  2 threads\n" + RESULT % (0, 0)
    assert wrk.parse(text) == wrk.Result(requests=3000, rate=2000.0, busy=4.0, p50=0.12, p99=4.5, faults="")


def test_faults_are_put_into_words() -> None:
    assert wrk.parse(RESULT % (7, 2)).faults == "7 non-2xx, 2 broken reads"


def test_run_without_an_answer_has_no_latency() -> None:
    result = wrk.parse((RESULT % (0, 0)).replace("3000", "0"))
    assert (result.rate, result.p50, result.p99, result.faults) == (0, None, None, "")


def test_output_without_a_result_is_refused() -> None:
    with pytest.raises(ValueError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1\n")


@pytest.mark.slow
@pytest.mark.skipif(wrk.find() is None, reason="wrk is not installed")
def test_wrk_sends_the_request_of_the_load(serve: Callable[[WSGIApplication], int]) -> None:
    seen: set[tuple[str, ...]] = set()

    def recording(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.add(tuple(environ[key] for key in SEEN))
        return app.application(environ, start_response)

    request = Request("/post", "POST", headers=(("X-Key", "a b"),), body=1000, answer=b"1000")
    (result,) = wrk.run([Load(request, clients=1)], serve(recording), seconds=1)
    assert seen == {("POST", "/post", "1000", "a b")}
    assert result.requests > 0
    assert "non-2xx" not in result.faults


@pytest.mark.slow
@pytest.mark.skipif(wrk.find() is None, reason="wrk is not installed")
def test_wrk_sends_another_number_each_time(serve: Callable[[WSGIApplication], int]) -> None:
    seen: list[tuple[str, str]] = []

    def recording(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.append((environ["PATH_INFO"], environ["HTTP_X_REQUEST_ID"]))
        return app.application(environ, start_response)

    load = Load(Request(ANOTHER_PATH, headers=ANOTHER_ID), clients=1)
    (result,) = wrk.run([load], serve(recording), seconds=1)
    assert "non-2xx" not in result.faults
    assert len(set(seen)) == len(seen) > 1
    assert all(path == f"/hello/{number}" and len(number) == 8 for path, number in seen)
