"""Fields of every response, whoever makes it, and preflights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from werkzeug.security import generate_password_hash

from tests.files.conftest import call, write
from wsgiserve.files import Files
from wsgiserve.files.auth import BasicAuth
from wsgiserve.files.hosts import OwnHostOnly
from wsgiserve.files.policy import Policy, checked_field

CREDENTIALS = f"ann:{generate_password_hash('secret', 'pbkdf2:sha256:1')}"
ORIGIN = ("Origin", "https://app.example")


def guarded(folder: Path, **options: Any) -> Files:
    write(folder / "a.txt", b"hello")
    return Files(folder, guard=lambda app: BasicAuth(app, CREDENTIALS), **options)


@pytest.mark.parametrize("cors", [True, ["https://app.example"]])
def test_a_preflight_is_answered_before_the_password_is_asked_for(tmp_path: Path, cors: Any) -> None:
    asked = (
        ORIGIN,
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "authorization"),
    )
    seen = call(guarded(tmp_path, cors=cors), "OPTIONS", "/a.txt", asked)
    assert seen.status == 204
    assert seen.headers["access-control-allow-origin"] in ("*", "https://app.example")
    assert seen.headers["access-control-allow-headers"] == "authorization"
    other = (("Origin", "https://evil.example"), asked[1])
    assert call(guarded(tmp_path), "OPTIONS", "/a.txt", asked).status == 401
    if cors is not True:
        assert call(guarded(tmp_path, cors=cors), "OPTIONS", "/a.txt", other).status == 401


def test_a_refusal_of_the_guard_has_the_fields_of_every_response(tmp_path: Path) -> None:
    options: dict[str, Any] = {"headers": [("X-Ours", "1"), ("Cache-Control", "max-age=9")], "cors": True}
    refused = call(guarded(tmp_path, **options), "GET", "/a.txt", (ORIGIN,))
    elsewhere = Files(tmp_path, guard=lambda app: OwnHostOnly(app, reads=True), **options)
    foreign = call(elsewhere, "GET", "/a.txt", (ORIGIN,), HTTP_HOST="evil.example")
    assert (refused.status, foreign.status) == (401, 403)
    for seen in (refused, foreign):
        assert seen.headers["x-ours"] == "1"
        assert seen.headers["cache-control"] == "max-age=9"
        assert seen.headers["access-control-allow-origin"] == "*"
        assert seen.headers["x-content-type-options"] == "nosniff"


def test_a_guarded_file_is_never_sent_from_the_cache_without_a_password(tmp_path: Path) -> None:
    files = guarded(tmp_path)
    known = (("Authorization", "Basic YW5uOnNlY3JldA=="),)
    for _ in range(2):
        assert call(files, "GET", "/a.txt", known).body == b"hello"
        assert call(files, "GET", "/a.txt").status == 401


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ([("X Y", "1")], ValueError),
        ([("X", "a\nb")], ValueError),
        ([("Content-Length", "1")], ValueError),
        ([("Connection", "close")], ValueError),
        (["X: 1"], TypeError),
        ({"X": "1"}, TypeError),
        ([("X", 1)], TypeError),
        ([("X", "1", "2")], TypeError),
    ],
    ids=str,
)
def test_a_wrong_header_is_an_error_at_construction(headers: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Policy(False, headers)


def test_a_header_may_have_any_value() -> None:
    assert checked_field(("X-Any", "caf\xe9, \t*")) == ("X-Any", "caf\xe9, \t*")
