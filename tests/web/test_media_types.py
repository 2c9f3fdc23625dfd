"""Media types by suffix."""

from __future__ import annotations

import pytest

from wsgiserve.web.media_types import MEDIA_TYPES, is_active, is_compressible, media_type


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
        ("a.js", False, True),
        ("a.png", False, False),
        ("a.gz", False, False),
    ],
)
def test_types_that_run_scripts_and_types_that_compress(name: str, active: bool, compressible: bool) -> None:
    assert is_active(media_type(name)) is active
    assert is_compressible(media_type(name)) is compressible
