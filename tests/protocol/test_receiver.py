"""Every case of the table, in each way its bytes can arrive; the phases of a connection's bytes."""

from __future__ import annotations

import random

import pytest

from wsgiserve.protocol import Limits
from wsgiserve.protocol.receiver import BODY_IN_MEMORY, CHUNK_OVERHEAD, Receiver

from .cases import CASES, Accepted, Case
from .driver import Stream, by_cgi_name, random_split, read, single_bytes

NEXT = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n"

ACCEPTED = [case for case in CASES if isinstance(case.expected, Accepted)]
REFUSED = [case for case in CASES if isinstance(case.expected, int)]

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


def check(case: Case, stream: Stream) -> None:
    expected = case.expected
    if isinstance(expected, Accepted):
        assert stream.refusal is None
        (request,) = stream.requests
        assert request.plain == (
            expected.method,
            expected.target,
            by_cgi_name(expected.fields),
            expected.body,
        )
        assert request.trailers == expected.trailers
        seen = {name: getattr(request.head, name) for name in expected.also}
        assert seen == expected.also
        assert not stream.waiting
    else:
        assert stream.requests == []
        assert stream.status == expected


def test_table_is_sound():
    ids = [case.id for case in CASES]
    assert len(ids) >= 250
    assert len(set(ids)) == len(ids)


@every_case
def test_byte_by_byte(case):
    whole = read([case.data], **case.limits)
    check(case, whole)
    stream = read(single_bytes(case.data), **case.limits)
    check(case, stream)
    assert stream.verdict == whole.verdict


@pytest.mark.slow
@every_case
def test_random_splits(case):
    source = random.Random(case.id)
    for _ in range(8):
        check(case, read(random_split(case.data, source), **case.limits))


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.id)
def test_next_request_behind_accepted(case):
    data = case.data + NEXT
    limits = case.limits | {"max_head": max(50, case.limits.get("max_head", 65536)), "max_line": 8192}
    for pieces in ([data], single_bytes(data)):
        stream = read(pieces, **limits)
        first, *rest = stream.requests
        assert stream.refusal is None
        assert first.body == case.expected.body
        persists = first.head.keep_alive
        assert [request.plain for request in rest] == [
            ("GET", "/next", {"HTTP_HOST": "next"}, b"")
        ] * persists
        if not persists:
            assert stream.receiver.buffer in (NEXT, NEXT[:1])


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_next_request_behind_refused(case):
    for pieces in ([case.data + NEXT], [case.data, NEXT, NEXT], single_bytes(case.data + NEXT)):
        stream = read(pieces, **case.limits)
        assert stream.requests == []
        assert stream.status == case.expected


@pytest.mark.slow
@pytest.mark.parametrize("case", [c for c in REFUSED if not c.limits], ids=lambda case: case.id)
def test_refused_behind_a_good_request(case):
    before = b"POST /before HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    for pieces in ([before + case.data + NEXT], single_bytes(before + case.data + NEXT)):
        stream = read(pieces)
        assert [request.target for request in stream.requests] == ["/before"]
        assert stream.status == case.expected


# -- phases

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


def test_a_small_body_is_collected_before_its_request_is_returned():
    receiver = Receiver(Limits())
    assert receiver.next_request(POST + b"Content-Length: 5\r\n\r\nhel") is None
    assert (receiver.phase, receiver.incomplete.method, receiver.begun) == ("body", "POST", True)
    assert receiver.next_request(b"lo" + NEXT).method == "POST"
    assert (receiver.take_body(), receiver.take_body()) == (b"hello", b"")
    assert (receiver.phase, receiver.body_reader, receiver.buffer) == ("head", None, NEXT)
    assert receiver.next_request().target == "/next"


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Length: %d\r\n\r\nx" % (BODY_IN_MEMORY + 1),
        b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\nx",
        b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * CHUNK_OVERHEAD,
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (BODY_IN_MEMORY + 1) + b"x" * (BODY_IN_MEMORY + 1),
    ],
    ids=["large", "expects-continue", "tiny-chunks", "large-chunk"],
)
def test_a_body_that_is_not_collected_is_left_to_the_caller(data):
    receiver = Receiver(Limits())
    assert receiver.next_request(POST + data).method == "POST"
    assert receiver.take_body().strip(b"x") == b""
    assert not receiver.body_reader.done


def test_a_body_that_was_left_is_discarded_before_the_next_request():
    receiver = Receiver(Limits())
    receiver.next_request(POST + b"Content-Length: 10\r\nExpect: 100-continue\r\n\r\nhello")
    receiver.leave_body()
    assert (receiver.phase, receiver.begun) == ("discard", False)
    assert receiver.next_request(b"wor") is None
    assert receiver.next_request(b"ld" + NEXT).target == "/next"
    assert (receiver.phase, receiver.arrived) == ("head", 10)
