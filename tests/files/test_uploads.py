"""The values of uploads in several requests."""

from __future__ import annotations

import io

import pytest

from wsgiserve.files import Store, uploads
from wsgiserve.files.uploads import (
    LIFE,
    NotOurs,
    Plan,
    Remaining,
    Resumable,
    TooLong,
    check_token,
    new_token,
)


def test_a_plan_survives_its_text() -> None:
    plan = Plan("ä/b", 5, {"HTTP_IF_MATCH": '"x"'}, {"sha256": "00ff"}, "filename YQ==")
    assert Plan.load(plan.dump()) == plan
    assert plan.binary_digests() == {"sha256": b"\x00\xff"}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"name": "a", "length": 5}',
        b'{"name": "a", "length": "5", "conditions": {}, "digests": {}, "metadata": ""}',
        b'{"name": "a", "length": 5, "conditions": {}, "digests": {}, "metadata": "", "owner": "b"}',
    ],
    ids=["empty", "torn", "no-text", "no-object", "deep", "too-few", "another-type", "too-many"],
)
def test_a_text_that_is_no_plan_is_refused(text: bytes) -> None:
    with pytest.raises(NotOurs):
        Plan.load(text)


def test_a_token_is_secret_and_a_plain_name() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(check_token(token) == token and len(token) == 32 for token in tokens)
    for other in ("", "a", "../x", f"{new_token()}/", f"{new_token()}.plan", new_token().upper() + "A"):
        with pytest.raises(FileNotFoundError):
            check_token(other)


def test_a_body_may_have_what_remains_and_no_more() -> None:
    body = Remaining(io.BytesIO(b"hello"), 5)
    assert [body.read(3), body.read(3), body.read(3)] == [b"hel", b"lo", b""]
    body = Remaining(io.BytesIO(b"hello"), 4)
    assert body.read(3) == b"hel"
    with pytest.raises(TooLong):
        body.read(3)


def test_an_upload_expires_a_week_after_its_last_bytes() -> None:
    assert LIFE.days == 7
    assert uploads.expiry(1000) == 1000 + 7 * 86400


def test_a_store_on_a_disk_takes_uploads(tmp_path: object) -> None:
    assert isinstance(Store(str(tmp_path)), Resumable)
    assert not isinstance(object(), Resumable)
