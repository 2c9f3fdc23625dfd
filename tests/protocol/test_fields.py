"""Field lines: names and values, framing, persistence, and fields that may come only once."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgiserve.protocol import RemoteProtocolError, fields
from wsgiserve.protocol.fields import SINGLE, body_framing, read_fields, read_trailers

from .driver import by_cgi_name


def meaning(*lines):
    return read_fields("".join(f"{line}\r\n" for line in lines).encode(), 100)[1]


def test_trailer_lines_are_read_in_order_without_the_white_space_around_values():
    lines = b"A: 1\r\nb:\t 2 3 \r\nA:\r\n"
    assert read_trailers(lines, 3) == [("A", "1"), ("b", "2 3"), ("A", "")]


def test_fields_of_a_head_are_joined_by_cgi_name():
    lines = b"A-b: 1\r\nCookie: c\r\nX: y\r\na-B:\t 2 3 \r\nCOOKIE: d\r\nContent-Length: 4\r\n"
    read, _ = read_fields(lines, 6)
    assert list(read.items()) == [
        ("HTTP_A_B", "1, 2 3"),
        ("HTTP_COOKIE", "c; d"),
        ("HTTP_X", "y"),
        ("CONTENT_LENGTH", "4"),
    ]


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
@pytest.mark.parametrize("read", [read_fields, read_trailers])
def test_lines_are_refused_with_a_reason(read, lines, status, detail):
    for _ in range(2):  # A line that was refused is refused again.
        with pytest.raises(RemoteProtocolError, match=detail) as refusal:
            read(lines, 1)
        assert refusal.value.status == status


@pytest.mark.parametrize("name", sorted(SINGLE.values()))
def test_a_field_that_decides_may_come_once(name):
    with pytest.raises(RemoteProtocolError, match=f"more than one field {name}"):
        meaning(f"{name}: 1", f"{name.title()}: 1")


class Uncached(dict):
    """In place of ``Known``: read each line anew."""

    def __init__(self, read):
        super().__init__()
        self.read = read

    def __missing__(self, key):
        return self.read(key)


names = st.sampled_from(
    [
        *("Host", "host", "Content-Length", "Transfer-Encoding", "Connection", "Expect", "Content-Type"),
        *(
            "Authorization",
            "Cookie",
            "cookie",
            "X-A",
            "x-a",
            "X_A",
            "Content_Length",
            "Proxy",
            "A.b",
            "",
            "A ",
        ),
    ]
)
field_values = st.sampled_from(
    [
        "",
        "a",
        " a ",
        "5",
        "05",
        "chunked",
        "gzip",
        "close",
        "keep-alive, x",
        "100-continue",
        "[::1]:80",
        "\x00",
    ]
) | st.text(string.printable + "\xe9", max_size=5)
blocks = st.lists(st.builds("{}:{}\r\n".format, names, field_values) | st.just("X\r\n"), max_size=6).map(
    lambda lines: "".join(lines).encode("latin-1")
)


def verdict(lines):
    """Return all that comes of a block of lines."""
    try:
        read, found = read_fields(lines, 5)
    except RemoteProtocolError as error:
        return error.status, error.detail
    return list(read.items()), [getattr(found, name) for name in fields.Meaning.__slots__]


@given(st.lists(blocks, min_size=1, max_size=4))
def test_known_lines_are_read_as_unknown_ones(sequence):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fields, "_pair_of", fields._read_pair)
        patch.setattr(fields, "_known_names", Uncached(fields._cgi_name))
        patch.setattr(fields, "_known_meaning", fields.Meaning)
        expected = [verdict(lines) for lines in sequence]
    for _ in range(2):
        assert [verdict(lines) for lines in sequence] == expected


@given(blocks)
def test_fields_of_a_head_are_the_trailers_by_cgi_name(lines):
    try:
        read, _ = read_fields(lines, 6)
    except RemoteProtocolError:
        return
    assert read == by_cgi_name(read_trailers(lines, 6))


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
    assert meaning(*[f"Connection: {value}" for value in values]).persists == persists


@pytest.mark.parametrize(
    ("lines", "has_body"),
    [([], False), (["Content-Length: 0"], False), (["Content-Length: 1"], True)],
)
def test_has_body(lines, has_body):
    assert meaning(*lines).has_body == has_body


def test_the_expectation_of_continue():
    assert meaning("Expect: 100-Continue").expects
    assert not meaning().expects
    with pytest.raises(RemoteProtocolError) as refusal:
        meaning("Expect: 200-ok")
    assert refusal.value.status == 417


def test_a_host_that_is_none_is_refused():
    assert meaning("Host: a:80").host == "a:80"
    with pytest.raises(RemoteProtocolError, match="Host"):
        meaning("Host: a b")
