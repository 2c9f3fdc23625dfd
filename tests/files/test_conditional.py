"""Conditional requests; the table in ``cases`` has more."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgiserve.files.conditional import evaluate, format_date, parse_date, part_is_wanted
from wsgiserve.files.validators import Validators


@given(st.integers(0, 4_000_000_000))
def test_a_formatted_date_is_parsed_back(seconds: int) -> None:
    assert parse_date(format_date(seconds)) == seconds


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=255), max_size=60))
def test_no_field_raises(value: str) -> None:
    current = Validators('"tag"', 0, True)
    for key in ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE"):
        for method in ("GET", "PUT"):
            assert evaluate(method, {key: value}, current) in ("proceed", "not modified", "failed")


def test_a_long_list_of_tags_is_read_in_linear_time() -> None:
    hostile = '"a"' + ",   " * 15_000 + "x"
    began = time.perf_counter()
    assert evaluate("GET", {"HTTP_IF_NONE_MATCH": hostile}, Validators('"tag"', 0, True)) == "proceed"
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    ("method", "field", "outcome"),
    [
        ("GET", ("HTTP_IF_NONE_MATCH", 'W/"tag"'), "not modified"),
        ("GET", ("HTTP_IF_NONE_MATCH", '"other", "tag"'), "not modified"),
        ("GET", ("HTTP_IF_NONE_MATCH", '"other"'), "proceed"),
        ("PUT", ("HTTP_IF_NONE_MATCH", "*"), "failed"),
        ("PUT", ("HTTP_IF_NONE_MATCH", "malformed"), "failed"),
        ("PUT", ("HTTP_IF_MATCH", '"tag"'), "proceed"),
        ("PUT", ("HTTP_IF_MATCH", 'W/"tag"'), "failed"),
        ("GET", ("HTTP_IF_MODIFIED_SINCE", "Thu, 01 Jan 1970 00:00:00 GMT"), "not modified"),
        ("PUT", ("HTTP_IF_UNMODIFIED_SINCE", "Wed, 31 Dec 1969 23:59:59 GMT"), "failed"),
        ("PUT", ("HTTP_IF_UNMODIFIED_SINCE", "yesterday"), "proceed"),
    ],
)
def test_each_condition_has_its_outcome(method: str, field: tuple[str, str], outcome: str) -> None:
    assert evaluate(method, dict([field]), Validators('"tag"', 0, True)) == outcome


def test_without_a_file_only_if_match_fails() -> None:
    assert evaluate("PUT", {"HTTP_IF_NONE_MATCH": "*"}, None) == "proceed"
    assert evaluate("PUT", {"HTTP_IF_MATCH": "*"}, None) == "failed"


def test_if_range_needs_a_strong_validator() -> None:
    strong, weak = Validators('"tag"', 0, True), Validators('W/"tag"', 0, False)
    date = format_date(0)
    assert part_is_wanted({}, weak)
    assert part_is_wanted({"HTTP_IF_RANGE": '"tag"'}, strong)
    assert part_is_wanted({"HTTP_IF_RANGE": date}, strong)
    assert not part_is_wanted({"HTTP_IF_RANGE": 'W/"tag"'}, weak)
    assert not part_is_wanted({"HTTP_IF_RANGE": date}, weak)
