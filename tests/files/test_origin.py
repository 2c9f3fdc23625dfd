"""Requests from pages of other origins."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.files.conftest import call, get, write
from wsgiserve.files import Files
from wsgiserve.files.origin import OriginPolicy


def test_trusted_origins_make_responses_vary(tmp_path: Path) -> None:
    write(tmp_path / "a.js", b"hello")
    write(tmp_path / "a.js.gz", b"coded")
    files = Files(tmp_path, cors=["https://app.example"])
    for origin in ("https://app.example", "https://evil.example"):
        seen = get(files, "/a.js", f"Origin: {origin}")
        assert seen.headers["vary"] == "Accept-Encoding, Origin"
        assert ("access-control-allow-origin" in seen.headers) is ("app" in origin)


def test_a_preflight_of_a_trusted_origin_is_answered(tmp_path: Path) -> None:
    asked = (
        ("Origin", "https://app.example"),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "if-match"),
    )
    seen = call(Files(tmp_path, upload=True, cors=["https://app.example"]), "OPTIONS", "/a", asked)
    assert seen.status == 204
    assert "PUT" in seen.headers["access-control-allow-methods"]
    assert seen.headers["access-control-allow-headers"] == "if-match"
    assert "access-control-allow-methods" not in call(Files(tmp_path), "OPTIONS", "/a", asked).headers


def test_a_preflight_promises_everybody_no_more_than_reading(tmp_path: Path) -> None:
    asked = (("Origin", "https://app.example"), ("Access-Control-Request-Method", "PUT"))
    seen = call(Files(tmp_path, upload=True, cors=True), "OPTIONS", "/a", asked)
    assert seen.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("cors", ["https://app.example", None, 1])
def test_origins_are_a_collection(cors: object) -> None:
    with pytest.raises(TypeError, match="collection of origins"):
        OriginPolicy(cors)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example/",
        "https://App.example",
        "https://app.example:443",
        "http://app.example:80",
        "app.example",
        "https://*.app.example",
        "https://app.example/path",
        "null",
        "*",
        "",
    ],
)
def test_an_origin_that_no_browser_sends_is_an_error(origin: str) -> None:
    with pytest.raises(ValueError, match="no origin"):
        OriginPolicy([origin])


@pytest.mark.parametrize("origin", ["https://app.example", "http://localhost:3000", "http://[::1]:8080"])
def test_origins_as_browsers_send_them_are_accepted(origin: str) -> None:
    assert OriginPolicy([origin]).may_change({"HTTP_ORIGIN": origin, "HTTP_SEC_FETCH_SITE": "cross-site"})


@pytest.mark.parametrize(
    ("environ", "may"),
    [
        ({}, True),
        ({"HTTP_SEC_FETCH_SITE": "same-origin"}, True),
        ({"HTTP_SEC_FETCH_SITE": "none"}, True),
        ({"HTTP_SEC_FETCH_SITE": "same-site"}, False),
        ({"HTTP_SEC_FETCH_SITE": "cross-site"}, False),
        ({"HTTP_ORIGIN": "https://HERE", "HTTP_HOST": "here"}, True),
        ({"HTTP_ORIGIN": "http://evil.example", "HTTP_HOST": "here"}, False),
        ({"HTTP_ORIGIN": "null", "HTTP_HOST": ""}, False),
        ({"HTTP_ORIGIN": "https://app.example", "HTTP_SEC_FETCH_SITE": "cross-site"}, True),
    ],
)
def test_a_write_needs_this_origin_a_trusted_one_or_no_page(environ: dict[str, str], may: bool) -> None:
    assert OriginPolicy(["https://app.example"]).may_change(environ) is may
