"""The comparison with the peers judges rightly, and finds nothing to say about wsgiserve itself."""

from __future__ import annotations

import sys
from dataclasses import replace
from wsgiref.validate import validator

import pytest

from bench import conformance
from bench.exchange import Patience, Seen, Trio, exchange_all
from bench.judge import Kind, judge
from bench.liberties import LIBERTIES
from bench.recording import Call, recording
from tests.protocol.cases import CASES
from wsgiserve import Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")

BY_ID = {case.id: case for case in CASES}

GET = Call("127.3.0.1", "GET", "/", "", fields={"HTTP_HOST": "a"})
POST = replace(GET, method="POST")
BEHIND = Call("127.3.0.1", "GET", "/next", "", fields={"HTTP_HOST": "next"})

OK = Seen(200, 1, early=True, closed=True, announced=False)
OK_CLOSE = replace(OK, announced=True)
BAD = Seen(400, 1, early=True, closed=True, announced=True)
LATE = replace(BAD, early=False)
CLOSED = replace(BAD, status=None)
SILENT = replace(LATE, status=None)
HANGS = replace(SILENT, closed=False)


def seen(one: Seen, *calls: Call) -> Seen:
    return replace(one, calls=calls)


def trio(one: Seen, *calls: Call, behind: Seen | None = None, read_on: bool = False) -> Trio:
    """Make one connection's account stand for all three."""
    followed = seen(behind or one, *calls, *[BEHIND] * read_on)
    return Trio(seen(one, *calls), followed, followed)


def with_x(value: str) -> Call:
    return replace(GET, fields={"HTTP_HOST": "a", "HTTP_X": value})


SIMPLE, KEPT, ONCE = "9112-3-simple", "9112-9.3-1.1-persists", "9112-9.3-1.1-'close'"
BODY, CUT, BOTH = "9112-7.1-one-chunk", "9112-7.1-cut-in-the-data", "9112-6.1-te-and-cl"
NAME, FOLD, HOST = "9112-5.1-no-colon", "9112-5.2-fold", "9112-3.2-no-host"
HELLO, HEL = replace(POST, body="hello"), replace(POST, body="hel")
RAISED = replace(HEL, whole=False)


@pytest.mark.parametrize(
    ("case", "account", "kind", "did"),
    [
        # accepted
        (SIMPLE, trio(OK, GET, read_on=True), Kind.AGREES, ""),
        (SIMPLE, trio(BAD), Kind.DIFFERS, "not given to the app; answered 400"),
        (SIMPLE, trio(OK, GET, GET), Kind.DIFFERS, "2 whole requests"),
        (SIMPLE, trio(BAD, GET), Kind.DIFFERS, "given to the app, but answered 400"),
        (SIMPLE, trio(OK, POST), Kind.DIFFERS, "method 'POST'"),
        (SIMPLE, trio(OK, replace(GET, path="/b")), Kind.DIFFERS, "path '/b'"),
        (SIMPLE, trio(OK, replace(GET, query="b")), Kind.DIFFERS, "query 'b'"),
        (SIMPLE, trio(OK, replace(GET, fields={})), Kind.DIFFERS, "HTTP_HOST"),
        (SIMPLE, trio(replace(OK, minor=2), GET), Kind.DIFFERS, "HTTP/1.2"),
        (BODY, trio(OK, HELLO, read_on=True), Kind.AGREES, ""),
        (BODY, trio(OK, HEL), Kind.DIFFERS, "body 'hel'"),
        ("9110-9.1-method-PUT", trio(replace(BAD, status=405)), Kind.OPEN, "answered 405"),
        # the connection behind it
        (KEPT, trio(OK, GET), Kind.DIFFERS, "lost the request behind it"),
        (KEPT, trio(OK_CLOSE, GET), Kind.AGREES, ""),
        (ONCE, trio(OK_CLOSE, GET), Kind.AGREES, ""),
        (ONCE, trio(OK, GET, read_on=True), Kind.DIFFERS, "read on"),
        # refused
        (NAME, trio(BAD), Kind.AGREES, ""),
        (NAME, trio(CLOSED), Kind.AGREES, ""),
        (NAME, trio(SILENT), Kind.AGREES, ""),
        (NAME, trio(HANGS), Kind.DIFFERS, "neither answered nor closed"),
        (NAME, trio(OK), Kind.DIFFERS, "not given to the app, but answered 200"),
        (NAME, trio(OK, GET), Kind.DIFFERS, "given to the app"),
        (NAME, trio(BAD, read_on=True), Kind.DIFFERS, "answered 400, then read on"),
        (HOST, trio(BAD, read_on=True), Kind.OPEN, "answered 400, then read on"),
        (HOST, trio(OK, GET), Kind.DIFFERS, "given to the app"),
        (FOLD, trio(OK, with_x("a  b")), Kind.OPEN, "given to the app"),
        (FOLD, trio(OK, with_x("a")), Kind.DIFFERS, "given to the app"),
        (BOTH, trio(OK, POST), Kind.OPEN, "given to the app with the body ''"),
        (BOTH, trio(OK, POST, read_on=True), Kind.DIFFERS, "and read on"),
        # waiting
        (CUT, trio(SILENT, RAISED), Kind.AGREES, ""),
        (CUT, trio(LATE, RAISED), Kind.AGREES, ""),
        (CUT, trio(BAD), Kind.DIFFERS, "did not wait"),
        (CUT, trio(LATE, HEL), Kind.DIFFERS, "a part given to the app for the whole"),
        ("9112-6.2-body-cut-short", trio(LATE, HEL), Kind.OPEN, "a part given to the app"),
        ("9112-6.2-body-cut-short", trio(OK, HEL), Kind.DIFFERS, "a part given to the app"),
    ],
)
def test_account_is_judged(case: str, account: Trio, kind: Kind, did: str) -> None:
    verdict = judge(BY_ID[case], account)
    assert verdict.kind is kind
    assert did in verdict.did
    assert bool(verdict.did) is (kind is not Kind.AGREES)
    assert bool(verdict.because) is (kind is Kind.OPEN)


def test_every_liberty_names_cases_that_exist() -> None:
    for entry in LIBERTIES:
        for name in entry.ids:
            assert any(case.id == name or case.id.startswith(f"{name[:-1]}") for case in CASES), name


def test_every_section_has_a_title() -> None:
    assert {conformance.section(case) for case in conformance.COMPARED} == set(conformance.SECTIONS)


def test_page_tells_what_agrees_and_what_does_not() -> None:
    outcomes = [
        conformance.Outcome(BY_ID[name], account, judge(BY_ID[name], account))
        for name, account in ((NAME, trio(BAD)), (FOLD, trio(OK, with_x("a b"))), (BOTH, trio(CLOSED)))
    ]
    page = "\n".join(conformance.markdown({"wsgiserve": outcomes}))
    assert "| RFC 9112 §5.1 | Name, colon, white space | 1 / 1 |" in page
    assert "| RFC 9112 §5.2 | Folded lines | 0 +1 / 1 |" in page
    assert "| To refuse: refused with our status | 1 / 3 |" in page


# The validator warns of methods that it does not know.
@pytest.mark.filterwarnings("ignore::wsgiref.validate.WSGIWarning")
def test_wsgiserve_agrees_with_every_case() -> None:
    calls: list[Call] = []
    with Server(validator(recording(calls.append)), port=0) as running:
        patience = Patience(answer=0.5, silence=0.1)
        trios = exchange_all(running.port, conformance.COMPARED, patience, lambda: calls, net=1)
    verdicts = {
        case.id: judge(case, account) for case, account in zip(conformance.COMPARED, trios, strict=True)
    }
    assert {name: verdict.did for name, verdict in verdicts.items() if verdict.kind is not Kind.AGREES} == {}
    refused = [(c.id, c.expected, t.alone.status) for c, t in zip(conformance.COMPARED, trios, strict=True)]
    assert [one for one in refused if isinstance(one[1], int) and one[1] != one[2]] == []
