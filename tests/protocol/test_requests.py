"""Every case of the table, in each way its bytes can arrive, and what is remembered between requests."""

from __future__ import annotations

import random

import pytest

from wsgiserve.protocol import ChunkedReader, Limits, RemoteProtocolError, RequestReader

from .cases import CASES, Accepted, Case, head
from .driver import Stream, random_split, read, single_bytes

NEXT = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n"

ACCEPTED = [case for case in CASES if isinstance(case.expected, Accepted)]
REFUSED = [case for case in CASES if isinstance(case.expected, int)]

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


def check(case: Case, stream: Stream) -> None:
    expected = case.expected
    if isinstance(expected, Accepted):
        assert stream.refusal is None
        (request,) = stream.requests
        assert request.plain == (expected.method, expected.target, expected.fields, expected.body)
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
def test_whole(case):
    check(case, read([case.data], **case.limits))


@every_case
def test_byte_by_byte(case):
    stream = read(single_bytes(case.data), **case.limits)
    check(case, stream)
    assert stream.verdict == read([case.data], **case.limits).verdict


@every_case
def test_random_splits(case):
    source = random.Random(case.id)
    for _ in range(8):
        check(case, read(random_split(case.data, source), **case.limits))


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.id)
@pytest.mark.parametrize("split", [False, True], ids=["whole", "byte-by-byte"])
def test_next_request_behind_accepted(case, split):
    data = case.data + NEXT
    limits = case.limits | {"max_head": max(50, case.limits.get("max_head", 65536)), "max_line": 8192}
    stream = read(single_bytes(data) if split else [data], **limits)
    first, *rest = stream.requests
    assert stream.refusal is None
    assert first.body == case.expected.body
    persists = first.head.keep_alive
    assert [request.plain for request in rest] == [("GET", "/next", (("Host", "next"),), b"")] * persists
    if not persists:
        assert stream.receiver.buffer in (NEXT, NEXT[:1])


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_next_request_behind_refused(case):
    for pieces in ([case.data + NEXT], [case.data, NEXT, NEXT], single_bytes(case.data + NEXT)):
        stream = read(pieces, **case.limits)
        assert stream.requests == []
        assert stream.status == case.expected


@pytest.mark.parametrize("case", [c for c in REFUSED if not c.limits], ids=lambda case: case.id)
def test_refused_behind_a_good_request(case):
    before = b"POST /before HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    for pieces in ([before + case.data + NEXT], single_bytes(before + case.data + NEXT)):
        stream = read(pieces)
        assert [request.target for request in stream.requests] == ["/before"]
        assert stream.status == case.expected


def test_refusal_does_not_repeat_the_request():
    """The detail goes into the response; a client's bytes do not."""
    marks = (b"zqzq", b"ZqZq")
    for data in (
        head(b"zqzq: a\x00"),
        head(b"zqzq : a"),
        head(b"zqzq"),
        head(b"CoNtEnT-TyPe: zqzq", b"CoNtEnT-TyPe: zqzq"),
        head(b"Content-Length: zqzq"),
        head(b"Transfer-Encoding: zqzq"),
        head(b"Expect: zqzq"),
        b"zqzq\r\n\r\n",
        b"GET zqzq HTTP/1.1\r\n\r\n",
    ):
        detail = read([data]).refusal.detail.encode()
        assert not any(mark in detail for mark in (*marks, b"CoNtEnT"))


def test_failed_reader_stays_failed():
    reader = RequestReader(Limits())
    reader.receive_data(b"GET  / HTTP/1.1\r\n\r\n" + NEXT)
    with pytest.raises(RemoteProtocolError):
        reader.next_head()
    reader.receive_data(NEXT)
    assert reader.next_head() is None
    assert reader.buffer == b""


def test_method_is_known_when_the_fields_are_refused():
    """The answer to HEAD has no body, also where the request was refused."""
    for data, method in (
        (b"HEAD / HTTP/1.1\r\n\r\n", "HEAD"),
        (b"HEAD / HTTP/1.1\r\nX\n", "HEAD"),
        (b"HEAD  / HTTP/1.1\r\n", ""),
        (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET  / HTTP/1.1\r\n\r\n", ""),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.1\r\n\r\n", "HEAD"),
    ):
        for pieces in ([data], single_bytes(data)):
            stream = read(pieces)
            assert stream.status == 400
            assert stream.receiver.method == method


def test_equal_fields_share_a_block():
    first, second, third = read([head(b"X: y") * 2 + head(b"X: z")]).requests
    assert first.head.block is second.head.block
    assert third.head.block is not first.head.block
    assert third.head.block.pairs == [("Host", "a"), ("X", "z")]


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", b"GET http://b/ HTTP/1.1\r\nHost:\r\n\r\n", 400),
        (
            b"POST / HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.0\r\nHost:\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
    ],
    ids=["9112-3.2-no-host", "9112-3.2-empty-host", "9112-6.1-te-1.0"],
)
def test_equal_fields_below_another_line(first, second, status):
    """A block that was read before is judged again with the line above it."""
    reader = RequestReader(Limits())
    reader.receive_data(first + second)
    assert reader.next_head() is not None
    with pytest.raises(RemoteProtocolError) as refusal:
        reader.next_head()
    assert refusal.value.status == status


class CountingBuffer(bytearray):
    """Counts the bytes that searches look at."""

    scanned = 0

    def find(self, sub, start=0, end=None):
        end = len(self) if end is None else min(end, len(self))
        found = super().find(sub, start, end)
        self.scanned += max(0, (found if found >= 0 else end) - start)
        return found


@pytest.mark.parametrize("fields", [False, True], ids=["line", "fields"])
def test_head_byte_by_byte_is_linear_work(fields):
    """Every byte is looked at by a bounded number of searches, wherever the head stands still."""
    data = b"GET /" + b"a" * 8000
    if fields:
        data += b" HTTP/1.1\r\nHost: a\r\n" + b"X: yyyyyyyyyyyyyyyy\r\n" * 90
        data += b"X: " + b"y" * 60000
    reader = RequestReader(Limits())
    buffer = reader.buffer = CountingBuffer(data[:1])
    for piece in single_bytes(data[1:]):
        reader.receive_data(piece)
        assert reader.next_head() is None
    assert reader.buffer is buffer
    assert 0 < buffer.scanned < 16 * len(data)


@pytest.mark.parametrize(
    "behind", [b"", b"2\r\nxx", b"3\r\nxyz", b"0", b"g\r\n", b"1\r\nxy\r\n", b"1\r\nx\n"]
)
@pytest.mark.parametrize("limit", [0, 300, 299])
def test_run_of_chunks_is_read_as_chunk_by_chunk(behind, limit):
    data = b"1\r\na\r\n002\r\nbc\r\n" * 100 + behind
    whole, split = (outcome(pieces, limit) for pieces in ([data], single_bytes(data)))
    assert whole == split
    assert whole[0] in (400, 413) or whole.startswith(b"abc" * 100)


def outcome(pieces, limit):
    """Return the body, or the status and words of its refusal."""
    reader, body = ChunkedReader(max_body=limit), b""
    try:
        for piece in pieces:
            body += reader.receive_data(piece)[0]
    except RemoteProtocolError as error:
        return error.status, error.detail
    return body


def test_chunk_lines_are_held_one_at_a_time():
    """What a chunked reader keeps between two calls is at most the line it has not seen the end of."""
    reader = ChunkedReader()
    for piece in single_bytes(b"1;a\r\nx\r\n" * 1000):
        reader.receive_data(piece)
        held = sum(len(value) for value in vars(reader).values() if isinstance(value, bytearray))
        assert held <= len(b"1;a\r\n")
