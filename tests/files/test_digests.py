"""Fields of RFC 9530, and the cache of digests."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgiserve.files.digests import KnownDigests, announced, is_wanted, render

EMPTY = hashlib.sha256(b"").digest()


@given(st.binary(min_size=32, max_size=32))
def test_a_rendered_digest_is_read_back(digest: bytes) -> None:
    assert announced(render(digest)) == {"sha256": digest}


@pytest.mark.parametrize(
    ("field", "digests"),
    [
        (f"md5=:AAAA:, {render(EMPTY)};a=1", {"sha256": EMPTY}),
        ("md5=:AAAA:", {}),
        ("sha-256=:AAAA:", None),
        ("sha-256=1", None),
        ("sha-256", None),
        ("", None),
    ],
)
def test_unknown_algorithms_are_ignored_and_malformed_fields_are_none(
    field: str, digests: dict[str, bytes] | None
) -> None:
    assert announced(field) == digests


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("sha-256=1", True),
        ("md5=2, sha-256=10", True),
        ("sha-256=0", False),
        ("sha-512=1", False),
        ("", False),
    ],
)
def test_a_positive_preference_wants_a_digest(field: str, wanted: bool) -> None:
    assert is_wanted(field) is wanted


def test_the_cache_keeps_only_the_latest_digests() -> None:
    known = KnownDigests()
    for version in range(2000):
        known.add(version, b"%d" % version)
    assert known.get(1999) == b"1999"
    assert known.get(0) is None
    assert sum(known.get(version) is not None for version in range(2000)) == 1024
