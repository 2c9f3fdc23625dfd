"""Annotations as types."""

from __future__ import annotations

from types import NoneType
from typing import Annotated, Final, ForwardRef, NewType, Union

import pytest

from wsgiserve.web.annotations import UNRESOLVED, alternatives, evaluate, plain


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        ("int", int),
        ("list[Thing]", list[str]),
        (ForwardRef("Thing"), str),
        (int, int),
        ("Missing", UNRESOLVED),
        ("1 / 0", UNRESOLVED),
        ("list[", UNRESOLVED),
    ],
)
def test_text_and_forward_references_are_resolved(annotation, kind):
    assert evaluate(annotation, {"Thing": str}) == kind


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (Annotated[int, "a number"], int),
        (Final[Annotated[int, 1]], int),
        (NewType("UserId", str), str),
        (None, NoneType),
        (list[int], list[int]),
    ],
    ids=str,
)
def test_wrappers_are_removed(annotation, kind):
    assert plain(annotation) == kind


@pytest.mark.parametrize(
    ("annotation", "members"),
    [
        (int, [int]),
        (int | None, [int, NoneType]),
        (Union[int, Annotated[str | bytes, 1]], [int, str, bytes]),  # noqa: UP007 -- both forms occur
    ],
    ids=str,
)
def test_a_union_has_all_its_members(annotation, members):
    assert alternatives(annotation) == members
