"""Media types by suffix."""

from __future__ import annotations

import pytest

from wsgiserve.web.media_types import (
    MEDIA_TYPES,
    check_media_type,
    content_coding,
    is_active,
    is_compressible,
    media_type,
)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.js", "text/javascript; charset=utf-8"),
        ("A.JPG", "image/jpeg"),
        ("a.tar.gz", "application/gzip"),
        ("a.b/c", "application/octet-stream"),
        (".html", "application/octet-stream"),
        ("a.", "application/octet-stream"),
        ("a.unknown", "application/octet-stream"),
        ("a.svgz", "image/svg+xml"),
        ("a.heif", "image/heif"),
        ("a.mpd", "application/dash+xml"),
        ("a.m4s", "video/iso.segment"),
        ("a.usdz", "model/vnd.usdz+zip"),
        ("a.aiff", "audio/aiff"),
    ],
)
def test_the_suffix_gives_the_type(name: str, kind: str) -> None:
    assert media_type(name) == kind


def test_suffixes_are_in_lower_case_and_the_table_cannot_be_changed() -> None:
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in MEDIA_TYPES)
    with pytest.raises(TypeError):
        MEDIA_TYPES[".html"] = "text/plain"  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "active", "compressible"),
    [
        ("a.html", True, True),
        ("a.svg", True, True),
        ("a.pdf", True, False),
        ("a.mpd", True, True),  # XML that may have a script of XHTML in it
        ("a.kml", True, True),
        ("a.js", False, True),
        ("a.png", False, False),
        ("a.gz", False, False),
    ],
)
def test_types_that_run_scripts_and_types_that_compress(name: str, active: bool, compressible: bool) -> None:
    assert is_active(media_type(name)) is active
    assert is_compressible(media_type(name)) is compressible


def test_a_format_that_is_always_compressed_has_a_coding() -> None:
    assert content_coding("A.SVGZ") == "gzip"
    assert content_coding("a.tar.gz") is None


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/html; charset=utf-8", "application/vnd.api+json", "a/b;c=d"]
)
def test_media_types_are_accepted(kind: str) -> None:
    assert check_media_type(kind) == kind


@pytest.mark.parametrize(
    "kind", ["text", "text/", "/plain", "text/plain\n", "text/plain;\r\nX: y", "a b/c", "", None, 1]
)
def test_other_texts_are_no_media_types(kind: object) -> None:
    with pytest.raises(ValueError, match="no media type"):
        check_media_type(kind)
