"""Content codings that a client accepts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgiserve.files.codings import IDENTITY, SUFFIXES, ranking


@pytest.mark.parametrize(
    ("field", "codings"),
    [
        (None, ["identity"]),
        ("", ["identity"]),
        ("gzip", ["gzip", "identity"]),
        ("x-gzip, BR", ["br", "gzip", "identity"]),
        ("gzip;q=1, br;q=0.5", ["gzip", "br", "identity"]),
        ("gzip;q=0, identity", ["identity"]),
        ("*", ["identity", "br", "zstd", "gzip"]),
        ("gzip, *;q=0", ["gzip"]),
        ("identity;q=0, br", ["br"]),
        ("br;q=2, gzip", ["gzip", "identity"]),
        ("br;q=.5, gzip;q=1.", ["gzip", "br", "identity"]),
        ("identity;q=0", []),
    ],
)
def test_the_wanted_codings_come_best_first(field: str | None, codings: list[str]) -> None:
    assert list(ranking(field)) == codings


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=255), max_size=60))
def test_no_field_raises_and_no_coding_comes_twice(field: str) -> None:
    codings = ranking(field)
    assert len(set(codings)) == len(codings)
    assert {*codings} <= {IDENTITY, *SUFFIXES}
