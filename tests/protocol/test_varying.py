"""Heads that differ in a few lines: the others are not read again, and the result is that of a first head."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgiserve.protocol import fields
from wsgiserve.protocol.fields import EVERY_FIELD, FORWARDED, read_fields
from wsgiserve.protocol.varying import find_varying

from .driver import Stream, random_split, read

read_few = EVERY_FIELD.read_few


def block(*lines):
    return "".join(f"{line}\r\n" for line in lines).encode()


def find(lines, last):
    """Find what varies, and return the lines."""
    varying = find_varying(lines, last, read_fields(lines, 99)[0], read_few, FORWARDED)
    if varying is None:
        return None
    start = varying.before.rfind(b"\n") + 1
    return lines[start : lines.index(b"\n", len(lines) - len(varying.after) - 1) + 1]


@pytest.mark.parametrize(
    ("lines", "last", "expected"),
    [
        (block("Host: a", "X-Id: 12", "B: b"), block("Host: a", "X-Id: 34", "B: b"), block("X-Id: 12")),
        (block("Host: a", "X-Id: 12", "B: b"), block("Host: a", "X-Id: 11112", "B: b"), block("X-Id: 12")),
        (block("X-Id: 12", "B: b"), block("X-Id: 2", "B: b"), block("X-Id: 12")),
        (
            block("B: b", "X-Id: 12"),
            block("B: b", "X-Id: 13"),
            block(
                "X-Id: 12",
            ),
        ),
        (block("A: 1", "B: 2", "C: 3", "D: 4"), block("A: 1", "B: 0", "C: 0", "D: 4"), block("B: 2", "C: 3")),
        (block("A: 1", "B: 2", "C: 3"), block("A: 1", "C: 3"), block("B: 2", "C: 3")),
        (block("A: 1"), block("A: 1", "B: 2"), None),
        (block("A: 1", "A: 2", "B: 3"), block("A: 1", "A: 3", "B: 3"), None),
        (block("A: 1", "X_Id: 2", "B: 3"), block("A: 1", "X_Id: 3", "B: 3"), block("X_Id: 2")),
        (block("A: 1", "Proxy: 2"), block("A: 1", "Proxy: 3"), block("Proxy: 2")),
        (block(), block("A: 1"), None),
    ],
)
def test_lines_that_differ_are_found(lines, last, expected):
    assert find(lines, last) == expected


@pytest.mark.parametrize(
    "lines",
    [
        block("Host: a", "X-Id: 3", "B: c"),
        block("Host: b", "X-Id: 3", "B: b"),
        block("Host: a", "X-Id: 3", "X-Id: 4", "B: b"),
        block("Host: a", "Y-Id: 3", "B: b"),
        block("Host: a", "B: b"),
        block("Host: a", "X-Id : 3", "B: b"),
        block("Host: a", "X-Id: 3\n", "B: b"),
        block("Host: a", " X-Id: 3", "B: b"),
        block("Host: a"),
        block("B: b"),
        block(),
    ],
)
def test_other_differences_are_left_to_be_read_as_a_whole(lines):
    first, second = (block("Host: a", f"X-Id: {number}", "B: b") for number in (1, 2))
    read_second, _ = read_fields(second, 99)
    varying = find_varying(second, first, read_second, read_few, FORWARDED)
    assert varying is not None
    assert varying.read(lines, read_second, read_few) is None


def test_only_the_lines_that_differ_are_read(monkeypatch):
    heads = [b"GET / HTTP/1.1\r\n" + block("Host: a", f"X-Id: {n}", "B: b") + b"\r\n" for n in range(5)]
    stream = read(heads[:3])
    monkeypatch.delattr(fields.EVERY_FIELD, "_pair_of")  # All lines are looked up there.
    stream.receive_data(heads[3])
    assert stream.requests[-1].fields == {"HTTP_HOST": "a", "HTTP_X_ID": "3", "HTTP_B": "b"}


ID, OTHER, LARGE = "X-Id: NUMBER", "X-Other: NUMBER", f"X-Id: {'x' * 9000}NUMBER"


@pytest.mark.parametrize(
    "middles",
    [
        [[ID], [ID], [OTHER], [ID]],
        [*([OTHER], [ID]) * 6, [ID], [OTHER], [ID]],
        [[OTHER], [LARGE], [ID], [ID]],
        [[OTHER], [OTHER, LARGE], [OTHER, ID], [OTHER]],
        [[ID], [ID], [LARGE], [ID], [OTHER, LARGE], [OTHER, ID], [ID]],
    ],
)
def test_no_field_of_an_earlier_head_stays(middles):
    stream = Stream()
    for number, middle in enumerate(middles):
        lines = block("Host: a", *middle, "B: b").replace(b"NUMBER", b"%d" % number)
        stream.receive_data(b"GET / HTTP/1.1\r\n" + lines + b"\r\n")
        assert stream.requests[-1].fields == read_fields(lines, 9)[0]


def test_a_head_without_the_last_lines_has_no_such_fields():
    stream = read(
        b"GET / HTTP/1.1\r\n" + block(*lines) + b"\r\n" for lines in (["Host: a", "B: b"], ["Host: a"])
    )
    assert stream.requests[-1].fields == {"HTTP_HOST": "a"}


def test_a_wrong_host_among_the_lines_that_differ_is_refused_for_good():
    blocks = [block(f"Host: {host}", f"X-Id: {host}", "B: b") for host in ("a", "c", "d", "a@b", "a")]
    stream = read(b"GET / HTTP/1.1\r\n" + lines + b"\r\n" for lines in blocks)
    assert [request.fields["HTTP_HOST"] for request in stream.requests] == ["a", "c", "d"]
    assert stream.status == 400


@pytest.mark.parametrize(
    "middles",
    [
        [["A: 1"], ["Proxy: 1", "A: 1"], ["Proxy: 1"], ["Proxy: 2"], ["A: 2"]],
        [["Proxy: 1"], ["X_Id: 2"], ["X_Id: 3"], [], ["X_Id: 3"], ["X_Id: 3"] * 30],
    ],
)
def test_ignored_lines_that_differ_hide_no_others(middles):
    together = Stream(max_fields=20)
    for middle in middles:
        head, alone = b"GET / HTTP/1.1\r\n" + block("Host: a", *middle) + b"\r\n", Stream(max_fields=20)
        together.receive_data(head)
        alone.receive_data(head)
        assert together.status == alone.status
        if alone.status is None:
            assert together.requests[-1].fields == alone.requests[0].fields


def test_search_is_given_up_where_other_lines_differ_each_time(monkeypatch):
    searches = []
    monkeypatch.setattr("wsgiserve.protocol.request.find_varying", lambda *_: searches.append(1))
    read(b"GET / HTTP/1.1\r\n" + block("Host: a", f"X-Id: {n}") + b"\r\n" for n in range(50))
    assert 1 < len(searches) < 10


# Few lines, so that a head often differs from the one before in some of them.
heads = st.lists(
    st.sampled_from(["X-Id: 1", "X-Id: 2", "x-id:33", "X_Id: 1", "Cookie: a", "Cookie: b", "Proxy: 1", ""])
    | st.sampled_from(["Content-Length: 0", "Content-Length: 1", "Connection: close", "X Id: 1", " X: 1"])
    | st.sampled_from(["Host: b", "Expect: 100-continue", "Transfer-Encoding: chunked", "X: \n", "X:\xe9"]),
    max_size=2,
)


@given(st.lists(heads, min_size=2, max_size=12), st.integers(0, 99).map(random.Random), st.booleans())
def test_heads_behind_others_are_read_as_first_ones(sequence, source, whole):
    connection = Stream()
    for middle in sequence:
        line = source.choice([b"GET / HTTP/1.1", b"GET /a HTTP/1.1", b"HEAD /a?b HTTP/1.0"])
        data = line + b"\r\n" + block("Host: a", "A: 1", *middle, "B: 2", "Cookie: c") + b"\r\n"
        alone = read([data])
        before = len(connection.requests)
        for piece in [data] if whole else random_split(data, source):
            connection.receive_data(piece)
        assert connection.status == alone.status
        assert [request.plain for request in connection.requests[before:]] == [
            request.plain for request in alone.requests
        ]
        if alone.refusal or alone.closed or alone.waiting:
            break
