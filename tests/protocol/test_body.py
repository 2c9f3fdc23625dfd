"""Reading bodies: by length, in chunks, and how much a reader keeps."""

from __future__ import annotations

import pytest

from wsgiserve.protocol import Limits, RemoteProtocolError
from wsgiserve.protocol.body import ChunkedReader, LengthReader, body_reader
from wsgiserve.protocol.fields import read_fields

from .driver import single_bytes


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        (b"", type(None)),
        (b"Content-Length: 0\r\n", type(None)),
        (b"Content-Length: 5\r\n", LengthReader),
        (b"Transfer-Encoding: chunked\r\n", ChunkedReader),
    ],
    ids=["no-field", "length-0", "length", "chunked"],
)
def test_fields_choose_the_reader(fields, kind):
    _, meaning = read_fields(fields, 1)
    assert type(body_reader(meaning, Limits())) is kind


def test_length_reader_leaves_the_bytes_behind_the_body():
    reader = LengthReader(5)
    assert reader.receive_data(b"hel") == (b"hel", b"")
    assert (reader.remaining, reader.done) == (2, False)
    assert reader.receive_data(b"lo, next") == (b"lo", b", next")
    assert (reader.remaining, reader.done) == (0, True)


def test_chunked_reader_leaves_the_bytes_behind_the_trailers():
    reader = ChunkedReader()
    assert reader.receive_data(b"3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\nX: y \r\n\r\nnext") == (b"hello", b"next")
    assert (reader.remaining, reader.done, reader.trailers) == (None, True, [("X", "y")])


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
    """Between two calls, a chunked reader keeps at most one line whose end has not arrived."""
    reader = ChunkedReader()
    for piece in single_bytes(b"1;a\r\nx\r\n" * 1000):
        reader.receive_data(piece)
        held = sum(len(value) for value in vars(reader).values() if isinstance(value, bytearray))
        assert held <= len(b"1;a\r\n")
