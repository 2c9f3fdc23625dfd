"""Field lines: pairs as sent, framing, persistence, and fields that may come only once."""

from __future__ import annotations

import pytest

from wsgiserve.protocol import RemoteProtocolError
from wsgiserve.protocol.fields import SINGLE, FieldBlock, body_framing, read_fields


def test_lines_are_read_in_order_without_the_white_space_around_values():
    lines = b"A: 1\r\nb:\t 2 3 \r\nA:\r\n"
    assert read_fields(lines, 3) == [("A", "1"), ("b", "2 3"), ("A", "")]


@pytest.mark.parametrize(
    ("lines", "status", "detail"),
    [
        (b"A: 1\r\nB: 2\r\n", 431, "more than 1 fields"),
        (b"A: 1\n", 400, "a line feed without a carriage return"),
        (b"A: 1\r\n b\r\n", 431, "more than 1 fields"),
        (b" A: 1\r\n", 400, "line folding"),
        (b"A\r\n", 400, "without a colon"),
        (b"A : 1\r\n", 400, "not a token"),
        (b"A: \x00\r\n", 400, "a control character"),
        (b"\r\n", 400, "an empty line"),
    ],
)
def test_lines_are_refused_with_a_reason(lines, status, detail):
    with pytest.raises(RemoteProtocolError, match=detail) as refusal:
        read_fields(lines, 1)
    assert refusal.value.status == status


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_a_field_that_decides_may_come_once(name):
    with pytest.raises(RemoteProtocolError, match=f"more than one field {name}"):
        FieldBlock([(name, "1"), (name.title(), "1")])


@pytest.mark.parametrize(
    ("length", "coding", "framing"),
    [
        (None, None, (None, False)),
        ("0", None, (0, False)),
        ("007", None, (7, False)),
        (None, "chunked", (None, True)),
        (None, "Chunked", (None, True)),
    ],
)
def test_framing(length, coding, framing):
    assert body_framing(length, coding) == framing


@pytest.mark.parametrize(
    ("length", "coding", "status"),
    [
        ("5", "chunked", 400),
        ("+5", None, 400),
        ("", None, 400),
        (None, "", 400),
        (None, "identity", 400),
        (None, "chunked, chunked", 400),
        (None, "chunked, gzip", 400),
        (None, "gzip", 501),
        (None, "gzip, chunked", 501),
    ],
)
def test_framing_in_doubt_is_refused(length, coding, status):
    with pytest.raises(RemoteProtocolError) as refusal:
        body_framing(length, coding)
    assert refusal.value.status == status


@pytest.mark.parametrize(
    ("values", "persists"),
    [
        ([], (False, True)),
        (["keep-alive"], (True, True)),
        (["close"], (False, False)),
        (["te, Close"], (False, False)),
        (["keep-alive", "close"], (False, False)),
    ],
    ids=repr,
)
def test_persistence_for_http_1_0_and_1_1(values, persists):
    assert FieldBlock([("Connection", value) for value in values]).persists == persists


@pytest.mark.parametrize(
    ("fields", "has_body"),
    [([], False), ([("Content-Length", "0")], False), ([("Content-Length", "1")], True)],
)
def test_has_body(fields, has_body):
    assert FieldBlock(fields).has_body == has_body


def test_the_expectation_of_continue():
    assert FieldBlock([("Expect", "100-Continue")]).expects
    assert not FieldBlock([]).expects
    with pytest.raises(RemoteProtocolError) as refusal:
        FieldBlock([("Expect", "200-ok")])
    assert refusal.value.status == 417


def test_a_host_that_is_none_is_refused():
    assert FieldBlock([("Host", "a:80")]).host == "a:80"
    with pytest.raises(RemoteProtocolError, match="Host"):
        FieldBlock([("Host", "a b")])
