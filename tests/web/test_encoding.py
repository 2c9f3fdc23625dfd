"""JSON of Python values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import PurePosixPath
from typing import ClassVar
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgiserve.web.encoding import encode_json


@dataclass(frozen=True)
class Point:
    x: object
    y: object
    known: ClassVar[int] = 5


class Color(Enum):
    RED = "red"


class Line(msgspec.Struct, rename="camel", omit_defaults=True):
    a_colour: object
    by: object
    left_out: int = 0


class Size(IntEnum):
    LARGE = 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 600, UTC), '"2026-01-02T03:04:05.000600+00:00"'),
        (datetime(2026, 1, 2), '"2026-01-02T00:00:00"'),
        (date(2026, 1, 2), '"2026-01-02"'),
        (time(3, 4), '"03:04:00"'),
        (UUID(int=5), '"00000000-0000-0000-0000-000000000005"'),
        (Decimal("1.10"), '"1.10"'),
        (PurePosixPath("/a/b"), '"/a/b"'),
        (Color.RED, '"red"'),
        (Size.LARGE, "3"),
        (Point(Color.RED, [date(2026, 1, 2)]), '{"x":"red","y":["2026-01-02"]}'),
        ((1, 2), "[1,2]"),
        (
            Line(Color.RED, {UUID(int=5): Point(1, None)}),
            '{"aColour":"red","by":{"00000000-0000-0000-0000-000000000005":{"x":1,"y":null}}}',
        ),
    ],
    ids=repr,
)
def test_each_value_has_its_json(value, text):
    assert encode_json(value) == text.encode()
    assert encode_json([value, value]) == f"[{text},{text}]".encode()


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), {1, 2}, object(), b"bytes", {(1, 2): 3}, Point, Line],
    ids=["nan", "infinity", "set", "object", "bytes", "key", "class", "struct"],
)
def test_other_values_are_errors(value):
    with pytest.raises((TypeError, ValueError)):
        encode_json([value])


def test_too_deep_nesting_is_an_error():
    value = []
    for _ in range(100_000):
        value = [value]

    with pytest.raises(ValueError, match="nested too deeply"):
        encode_json(value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=20))
def test_json_values_come_back(value):
    assert json.loads(encode_json(value)) == value


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (Decimal("1.10"), "1.10"),
        (Color.RED, "red"),
        (Size.LARGE, "3"),
        (PurePosixPath("a/b"), "a/b"),
        (7, "7"),
        (True, "true"),
        (None, "null"),
    ],
    ids=repr,
)
def test_what_has_a_text_in_json_may_be_a_key(key, text):
    for value in ({key: 1}, [{key: Point(1, {key: 2})}], Point({key: 1}, ({key: Color.RED},))):
        encoded = json.loads(encode_json(value))
        assert text in json.dumps(encoded)
    assert json.loads(encode_json({key: {key: [1]}})) == {text: {text: [1]}}


def test_keys_that_become_one_key_are_an_error():
    with pytest.raises(ValueError, match="two keys of a dict are '2026-01-02'"):
        encode_json({date(2026, 1, 2): 1, "2026-01-02": 2})
