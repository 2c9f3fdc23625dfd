"""A server's behaviour in a case is judged right."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from bench.servers.conformance.exchange import Trio
from bench.servers.conformance.judge import Kind, judge
from tests.bench.servers.conformance.seen import (
    BAD,
    BODY,
    BOTH,
    BY_ID,
    CLOSED,
    CUT,
    FOLD,
    GET,
    HANGS,
    HEL,
    HELLO,
    HOST,
    KEPT,
    LATE,
    NAME,
    OK,
    OK_CLOSE,
    ONCE,
    POST,
    RAISED,
    SILENT,
    SIMPLE,
    trio,
    with_x,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")


@pytest.mark.parametrize(
    ("case", "seen", "kind", "did"),
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
def test_behaviour_is_judged(case: str, seen: Trio, kind: Kind, did: str) -> None:
    verdict = judge(BY_ID[case], seen)
    assert verdict.kind is kind
    assert did in verdict.did
    assert bool(verdict.did) is (kind is not Kind.AGREES)
    assert bool(verdict.because) is (kind is Kind.OPEN)
