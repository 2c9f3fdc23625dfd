"""What an object store answers, as errors of a store."""

from __future__ import annotations

import logging
import secrets

import pytest

from wsgiserve.files.objects.faults import of_answer, of_error
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
