"""What an object store answers, as errors of a store; and what clients see in the middle of an operation."""

from __future__ import annotations

import io
import itertools
import logging
import os
import secrets
from typing import Any, NamedTuple

import pytest

from tests.files.conftest import call
from tests.files.objects.between import CUT, HALF, HANG, LOST, Answered, Between, Verdict
from tests.files.objects.conftest import keys
from tests.files.seaweed import Seaweed
from wsgiserve.files import Files
from wsgiserve.files.objects.faults import of_answer, of_error
from wsgiserve.files.objects.store import ObjectStore
from wsgiserve.files.store import Unavailable


@pytest.mark.parametrize(
    ("status", "code", "expected", "reason"),
    [
        (404, "NoSuchBucket", 502, "does not exist"),
        (403, "AccessDenied", 502, "denies"),
        (403, "", 502, "denies"),
        (403, "SignatureDoesNotMatch", 502, "key"),
        (403, "RequestTimeTooSkewed", 502, "clocks"),
        (400, "AuthorizationHeaderMalformed", 502, "region"),
        (301, "", 502, "region"),
        (400, "SomethingNew", 502, "did not understand"),
        (503, "SlowDown", 503, "too much to do"),
        (500, "", 503, "too much to do"),
        (504, "", 504, "in time"),
        (400, "EntityTooLarge", 413, "larger"),
        (507, "", 507, "full"),
    ],
)
def test_an_answer_has_its_status_and_reason(status: int, code: str, expected: int, reason: str) -> None:
    fault = of_answer("s3://a", status, f"<Error><Code>{code}</Code></Error>")
    assert fault.status == expected
    assert reason in str(fault)
    assert isinstance(fault, Unavailable) == (expected in (502, 503, 504))


def test_an_error_of_the_network_may_pass_and_a_late_one_is_504() -> None:
    assert of_error("s3://a", ConnectionRefusedError("refused")).status == 503
    assert of_error("s3://a", TimeoutError("timed out")).status == 504
    assert of_error("s3://a", Exception("x <Code>NoSuchBucket</Code> y")).status == 502


def test_the_log_names_the_store_once_and_the_answer_never_does(caplog: pytest.LogCaptureFixture) -> None:
    where = f"s3://{secrets.token_hex(8)}"
    with caplog.at_level(logging.ERROR, "wsgiserve.files"):
        faults = [of_answer(where, 404, "<Code>NoSuchBucket</Code>") for _ in range(3)]
    assert caplog.text.count(where) == 1
    assert where not in str(faults[0])


class Fault(NamedTuple):
    """A verdict on all requests of an operation, the status for the client, and a word of the reason."""

    verdict: Verdict
    status: int
    word: str


ELSEWHERE = (("x-amz-bucket-region", "eu-west-1"),)
FAULTS = {
    "another region": Fault(Answered(301, "PermanentRedirect", ELSEWHERE), 502, "region"),
    "region of a URL": Fault(Answered(400, "AuthorizationQueryParametersError", ELSEWHERE), 502, "region"),
    "region of a header": Fault(Answered(400, "AuthorizationHeaderMalformed", ELSEWHERE), 502, "region"),
    "wrong clock": Fault(Answered(403, "RequestTimeTooSkewed"), 502, "clocks"),
    "expired": Fault(Answered(400, "ExpiredToken"), 502, "key"),
    "no bucket": Fault(Answered(404, "NoSuchBucket"), 502, "does not exist"),
    "no rights": Fault(Answered(403, "AccessDenied"), 502, "denies"),
    "busy": Fault(Answered(503, "SlowDown"), 503, "too much"),
    "internal": Fault(Answered(500, "InternalError"), 503, "too much"),
    "cut": Fault(CUT, 503, "cannot be reached"),
    "lost answer": Fault(LOST, 503, "cannot be reached"),
    "silent": Fault(HANG, 504, "in time"),
}
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)
LARGE = 9 * 1024 * 1024  # more than a draft

# By name: the operation of S3 that fails, and the request of the client.
REQUESTS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "read": ("GetObject", ("GET", "/a"), {}),
    "look": ("GetObject", ("HEAD", "/a"), {}),
    "list": ("ListObjectsV2", ("GET", "/sub/"), {}),
    "archive": ("ListObjectsV2", ("GET", "/?archive=tar.gz"), {}),
    "archive a file": ("GetObject", ("GET", "/?archive=zip"), {}),
    "replace": ("PutObject", ("PUT", "/a"), {"body": b"new"}),
    "create": ("PutObject", ("PUT", "/b", (("If-None-Match", "*"),)), {"body": b"new"}),
    "look before": ("HeadObject", ("PUT", "/a"), {"body": b"new"}),
    "make a folder": ("PutObject", ("POST", "/", FORM), {"body": b"folder=new"}),
    "delete": ("DeleteObject", ("DELETE", "/a"), {}),
    "look before deleting": ("HeadObject", ("DELETE", "/a"), {}),
}


@pytest.fixture
def direct(seaweed: Seaweed, url: str) -> Files:
    """A folder with the files a and sub/c, without anybody between it and the engine."""
    files = Files(store=seaweed.store(url), upload=True, listing=True)
    assert call(files, "POST", "/", FORM, body=b"folder=sub").status == 201
    for path in ("/a", "/sub/c"):
        assert call(files, "PUT", path, body=b"old").status == 201
    return files


def behind(between: Between, seaweed: Seaweed, store: ObjectStore, seconds: float = 20) -> Files:
    """Return the same folder, with ``between`` on the way to the engine."""
    environment = {"AWS_ENDPOINT_URL": between.url}
    there = seaweed.store(str(store.address), environment=environment, seconds=seconds)
    there.look(write=True)  # So that the first upload has nothing to find out.
    return Files(store=there, upload=True, delete=True, listing=True, archive=True)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_fault_in_the_middle_of_an_operation(
    seaweed: Seaweed,
    direct: Files,
    between: Between,
    caplog: pytest.LogCaptureFixture,
    request_name: str,
    fault: str,
) -> None:
    operation, asked, more = REQUESTS[request_name]
    verdict, status, word = FAULTS[fault]
    store = direct.store
    assert isinstance(store, ObjectStore)
    before = keys(store)
    files = behind(between, seaweed, store, seconds=3 if verdict == HANG else 20)
    # HEAD has no body that could say why, so another request has to ask; a bucket fails for both.
    failing = {operation, "GetObject", "PutObject"} if operation == "HeadObject" else {operation}
    between.rule = lambda asked: verdict if asked.operation in failing else None
    with caplog.at_level(logging.ERROR, "wsgiserve.files"):
        answer = call(files, *asked, **more)
    writes = operation in ("PutObject", "DeleteObject")
    if fault == "no rights" and writes:
        status, word = 403, "may not write"
    assert (answer.status, answer.headers.get("retry-after")) == (status, "5" if status == 503 else None)
    if asked[0] != "HEAD":
        assert word in answer.body.decode()
        assert str(store.address) not in answer.body.decode()
    assert [line.getMessage().startswith(str(store.address)) for line in caplog.records] == [True]

    between.rule = lambda asked: None
    if not (writes and fault == "lost answer"):
        assert keys(store) == before
        assert call(direct, "GET", "/a").body == b"old"
    assert call(files, "PUT", "/a", body=b"again").status in (200, 201)
    assert call(direct, "GET", "/a").body == b"again"


def test_a_missing_bucket_is_no_missing_file_where_readers_are_redirected(seaweed: Seaweed) -> None:
    files = Files(store=seaweed.store("s3://no-such-bucket", redirect=True), delete=True)
    assert call(files, "GET", "/a").status == 502
    assert call(files, "DELETE", "/a").status == 502


def test_the_log_says_in_which_region_the_bucket_is(caplog: pytest.LogCaptureFixture) -> None:
    where = f"s3://{secrets.token_hex(8)}"
    with caplog.at_level(logging.ERROR, "wsgiserve.files"):
        of_answer(where, 301, "<Code>PermanentRedirect</Code>", "eu-west-1")
    assert caplog.text.rstrip().endswith("(answered 301 PermanentRedirect; it is in eu-west-1)")


@pytest.mark.slow
@pytest.mark.parametrize(("announced", "number"), [(True, 1), (False, 1), (False, 2), (False, 3)])
@pytest.mark.parametrize("verdict", [CUT, Answered(503, "SlowDown")])
def test_a_large_upload_that_the_store_breaks_off(
    seaweed: Seaweed, direct: Files, between: Between, announced: bool, verdict: Verdict, number: int
) -> None:
    """If its length is unknown it goes to the store by two hidden objects, and from there to its name."""
    store = direct.store
    assert isinstance(store, ObjectStore)
    files = behind(between, seaweed, store)
    puts = itertools.count(1)
    between.rule = lambda asked: verdict if asked.operation == "PutObject" and next(puts) == number else None
    more = {} if announced else {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    answer = call(files, "PUT", "/a", body=bytes(LARGE), **more)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    between.rule = lambda asked: None
    assert call(direct, "GET", "/a").body == b"old"
    assert keys(store) == ["a", "sub/.wsgiserve-folder", "sub/c"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "verdict", [CUT, HALF, LOST, Answered(503, "SlowDown"), Answered(404, "NoSuchBucket")]
)
def test_the_parts_of_an_upload_cannot_be_read_back(
    seaweed: Seaweed, direct: Files, between: Between, verdict: Verdict
) -> None:
    store = direct.store
    assert isinstance(store, ObjectStore)
    files = behind(between, seaweed, store)
    between.rule = lambda asked: verdict if asked.operation == "GetObject" else None
    more = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    answer = call(files, "PUT", "/a", body=bytes(LARGE), **more)
    assert answer.status in (502, 503)
    between.rule = lambda asked: None
    assert call(direct, "GET", "/a").body == b"old"
    assert keys(store) == ["a", "sub/.wsgiserve-folder", "sub/c"]


@pytest.mark.slow
@pytest.mark.parametrize("verdict", [CUT, HALF, Answered(503, "SlowDown")])
def test_a_download_goes_on_where_the_store_broke_off(
    seaweed: Seaweed, direct: Files, between: Between, verdict: Verdict
) -> None:
    store = direct.store
    assert isinstance(store, ObjectStore)
    content = os.urandom(2_000_000)
    store.save("large", io.BytesIO(content), len(content))
    files = behind(between, seaweed, store)
    gets = itertools.count(1)
    between.rule = lambda asked: verdict if asked.operation == "GetObject" and next(gets) == 2 else None
    assert call(files, "GET", "/large").body == content
    gets = itertools.count(1)
    between.rule = lambda asked: verdict if asked.operation == "GetObject" and next(gets) > 1 else None
    if verdict == HALF:
        with pytest.raises(OSError, match="broke off"):  # The server cuts the response.
            call(files, "GET", "/large")
    else:
        assert call(files, "GET", "/large").status == 503
