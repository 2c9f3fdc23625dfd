"""What went wrong, in one line that says what to check."""

from __future__ import annotations

import email.utils
import json
import time

import josepy
import pytest
import requests
from acme import errors, messages

from wsgiserve.acme.errors import Failure
from wsgiserve.acme.failures import LONGEST_WAIT, explain, retry_after


def problem(kind, detail="its own words", **more):
    return messages.Error(typ=f"urn:ietf:params:acme:error:{kind}", detail=detail, **more)


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("connection", "port 80 (http) or 443 (https) of this machine can be reached"),
        ("dns", "A and AAAA records in DNS"),
        ("unauthorized", "another server answered"),
        ("caa", "CAA records in DNS forbid this CA"),
        ("rateLimited", "rate limit of the CA: wait, and use --acme-staging"),
        ("rejectedIdentifier", "check --domain"),
        ("invalidContact", "check --acme-email"),
        ("neverHeardOf", "see the CA's own words"),
    ],
)
def test_a_problem_of_the_ca_says_what_to_check(kind, check):
    failure = explain(problem(kind), 30.0)
    assert str(failure).startswith("the CA refuses: its own words; ")
    assert check in str(failure)
    assert (failure.reached, failure.wait) == (True, 30.0)


def test_a_compound_problem_is_told_by_its_first_part():
    name = messages.Identifier(typ=messages.IDENTIFIER_FQDN, value="www.shop.example")
    part = problem("caa", "forbidden", identifier=name)
    failure = explain(problem("compound", subproblems=(part,)))
    assert str(failure).startswith("the CA refuses: www.shop.example: forbidden; the name's CAA records")


def test_a_refused_challenge_names_host_and_challenge():
    challenge = {
        "type": "http-01",
        "url": "https://ca.example/1",
        "status": "invalid",
        "token": josepy.b64encode(b"1" * 32).decode(),
        "error": {"type": "urn:ietf:params:acme:error:connection", "detail": "Connection refused"},
    }
    body = {
        "status": "invalid",
        "identifier": {"type": "dns", "value": "shop.example"},
        "challenges": [challenge],
    }
    refused = messages.AuthorizationResource(
        body=messages.Authorization.from_json(body), uri="https://ca.example/2"
    )
    failure = explain(errors.ValidationError([refused]))
    assert str(failure).startswith("the CA asked for shop.example by http-01: Connection refused; check that")


def response(status, body=b""):
    answer = requests.Response()
    answer.status_code, answer._content = status, body
    return answer


@pytest.mark.parametrize(
    "error",
    [
        errors.ClientError(response(502)),
        errors.MissingNonce(response(200)),
        json.JSONDecodeError("no JSON", "<html>", 0),
        requests.exceptions.JSONDecodeError("no JSON", "<html>", 0),
        josepy.errors.DeserializationError("no order"),
        KeyError('Directory field "newOrder" not found'),
        AttributeError("'list' object has no attribute 'pop'"),
    ],
)
def test_an_answer_of_another_form_leads_to_the_directory(error):
    error_with_request = getattr(error, "response", None)
    if error_with_request is not None and error_with_request.request is None:
        error_with_request.request = requests.Request("GET", "https://ca.example").prepare()
    failure = explain(error)
    assert str(failure).startswith("the CA's answer makes no sense (")
    assert str(failure).endswith("); check the URL of --acme-directory")
    assert not failure.reached


def test_the_end_of_a_chain_of_errors_is_what_is_told():
    try:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as below:
            raise requests.exceptions.ConnectionError("HTTPSConnectionPool: <object at 0x7f>") from below
    except requests.exceptions.ConnectionError as error:
        failure = explain(error)
    assert str(failure).startswith(
        "the CA cannot be reached (Connection refused); check this machine's network"
    )
    assert not failure.reached


def test_a_ca_that_is_not_trusted_leads_to_its_root():
    failure = explain(requests.exceptions.SSLError("certificate verify failed"))
    assert "certificate verify failed" in str(failure)
    assert "--acme-ca-root" in str(failure)


def test_other_errors_are_told_too():
    assert str(explain(errors.TimeoutError())) == "the CA did not finish in time; it is tried again"
    assert "check --acme-storage" in str(explain(OSError(28, "No space left on device")))
    assert str(explain(ZeroDivisionError("0/0"))).startswith("a fault of this program, please report it")
    failure = Failure("as it is")
    assert explain(failure) is failure


def test_the_ca_s_pause_is_a_number_or_a_date_within_reason():
    assert retry_after(None) == 0.0
    assert retry_after("30") == 30.0
    assert retry_after("soon") == 0.0
    assert retry_after("9" * 400) in (0.0, LONGEST_WAIT)
    assert retry_after("99999999") == LONGEST_WAIT
    assert retry_after(email.utils.formatdate(time.time() - 50, usegmt=True)) == 0.0
    assert 50 < retry_after(email.utils.formatdate(time.time() + 60, usegmt=True)) <= 60
