"""Reading request heads: which method is known, fields that repeat, and the work it takes."""

from __future__ import annotations

import pytest

from wsgiserve.protocol import Limits, RemoteProtocolError
from wsgiserve.protocol.request import RequestReader

from .cases import head
from .driver import read, single_bytes

NEXT = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n"


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


def test_equal_fields_are_read_once():
    first, second, third = read([head(b"X: y") * 2 + head(b"X: z")]).requests
    assert first.head.fields is second.head.fields
    assert third.head.fields == {"HTTP_HOST": "a", "HTTP_X": "z"}


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
    """Every byte is looked at by a bounded number of searches, wherever the head stops."""
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
