"""The comparison of forwarded requests with calls finds connections that went wrong."""

from __future__ import annotations

import pytest

from tests.proxies.recording import Call, Oracle, disagreement

FORWARDED = (
    b"POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    b"GET /two HTTP/1.1\r\nHost: a\r\n\r\n"
    b"POST /three HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
)
ONE, TWO, THREE = Call("POST", "/one", b"hello"), Call("GET", "/two", b""), Call("POST", "/three", b"hello")
REFUSAL = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
FAILURE = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"


def answer(call: Call) -> bytes:
    return b"HTTP/1.1 200 OK\r\nX-Answer-To: " + call.token + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("forwarded", "calls", "returned", "ended"),
    [
        pytest.param(FORWARDED, [ONE, TWO, THREE], answer(ONE) + answer(TWO), False, id="equal"),
        pytest.param(FORWARDED, [ONE], answer(ONE) + REFUSAL, True, id="refused-and-closed"),
        pytest.param(b"GET /\xff HTTP/1.1\r\n\r\n", [], REFUSAL, True, id="refused-by-both"),
        pytest.param(
            b"POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel",
            [ONE._replace(body=None)],
            b"",
            False,
            id="called-while-the-body-arrives",
        ),
        pytest.param(
            b"GET /two HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2, [TWO, TWO], b"", False, id="http-1.0"
        ),
    ],
)
def test_agreement(forwarded: bytes, calls: list[Call], returned: bytes, ended: bool) -> None:
    oracle = Oracle()
    oracle.receive_data(forwarded)
    assert disagreement(oracle, calls, returned, ended) == ""


@pytest.mark.parametrize(
    ("forwarded", "calls", "returned", "ended", "complaint"),
    [
        pytest.param(FORWARDED, [ONE, TWO, TWO, THREE], b"", False, "the app saw", id="an-invented-request"),
        pytest.param(FORWARDED, [ONE, TWO], b"", False, "the app saw", id="a-request-is-missing"),
        pytest.param(
            FORWARDED, [ONE._replace(body=b"hell"), TWO, THREE], b"", False, "the app saw", id="another-body"
        ),
        pytest.param(
            FORWARDED, [ONE, TWO, THREE], answer(TWO) + answer(ONE), False, "answers", id="answers-swapped"
        ),
        pytest.param(
            FORWARDED, [ONE, THREE], answer(ONE) + REFUSAL, True, "the app saw", id="served-behind-a-refusal"
        ),
        pytest.param(
            FORWARDED, [ONE], answer(ONE) + REFUSAL, False, "not closed", id="refused-and-left-open"
        ),
        pytest.param(FORWARDED, [ONE], answer(ONE) + FAILURE, True, "500", id="failed"),
        pytest.param(FORWARDED, [], REFUSAL + REFUSAL, True, "responses", id="refused-twice"),
        pytest.param(
            b"GET /\xff HTTP/1.1\r\n\r\n", [], b"", False, "not refused", id="refused-by-the-oracle-only"
        ),
        pytest.param(
            b"GET /two HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" * 2,
            [TWO, TWO],
            b"",
            False,
            "the app saw",
            id="served-behind-a-close",
        ),
    ],
)
def test_disagreement(
    forwarded: bytes, calls: list[Call], returned: bytes, ended: bool, complaint: str
) -> None:
    oracle = Oracle()
    oracle.receive_data(forwarded)
    assert complaint in disagreement(oracle, calls, returned, ended)
