"""Range arithmetic against a reference that marks bytes one by one."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from wsgiserve.files.ranges import MAX_RANGES, Bounds, coalesce, content_range, select

NUMBERS = st.integers(0, 12) | st.integers(0, 10**30)
SPECS = st.one_of(
    st.tuples(NUMBERS, st.none()),
    st.tuples(NUMBERS, NUMBERS).map(lambda pair: (min(pair), max(pair))),
    st.tuples(st.none(), NUMBERS),
)
SIZES = st.integers(0, 12)


def render(spec: tuple[int | None, int | None]) -> str:
    first, last = spec
    return f"{'' if first is None else first}-{'' if last is None else last}"


def marked(specs: list[tuple[int | None, int | None]], size: int) -> list[Bounds]:
    """RFC 9110 §14.1.2 read literally: which positions does any of the ranges name?"""
    named = [
        any(
            (
                position >= size - last
                if first is None
                else first <= position <= (size if last is None else last)
            )
            for first, last in specs
        )
        for position in range(size)
    ]
    edges = [p for p in range(size + 1) if (p > 0 and named[p - 1]) != (p < size and named[p])]
    return list(zip(edges[::2], edges[1::2], strict=True))


@given(st.lists(SPECS, min_size=1, max_size=MAX_RANGES), SIZES)
def test_the_spans_hold_exactly_the_requested_bytes(
    specs: list[tuple[int | None, int | None]], size: int
) -> None:
    selected = select("bytes=" + ",".join(map(render, specs)), size)
    if size == 0 and any(first is None and last for first, last in specs):
        assert selected is None  # satisfied by nothing, which no 206 can say
    else:
        assert selected == marked(specs, size)


@given(st.lists(st.tuples(SIZES, SIZES).filter(lambda span: span[0] < span[1]), max_size=30))
def test_joined_spans_are_sorted_apart_and_hold_the_same_bytes(spans: list[Bounds]) -> None:
    joined = coalesce(spans)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(joined))
    assert {p for span in joined for p in range(*span)} == {p for span in spans for p in range(*span)}


@given(st.text(alphabet="bytes=0123456789-, \tx", max_size=40), SIZES)
def test_spans_of_any_field_are_inside_the_file(field: str, size: int) -> None:
    for start, stop in select(field, size) or []:
        assert 0 <= start < stop <= size


@given(st.integers(MAX_RANGES + 1, 200), SIZES)
def test_too_many_ranges_are_ignored(count: int, size: int) -> None:
    assert select("bytes=" + ",".join(["0-0"] * count), size) is None


def test_digits_of_other_scripts_are_refused() -> None:
    assert select("bytes=\u0660-\u0664", 10) is None


def test_content_range_names_the_last_byte() -> None:
    assert content_range((0, 5), 10) == "bytes 0-4/10"
