"""Options that are not as described are errors at construction, not at the first request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.files.conftest import get, write
from wsgiserve.files import Files, Store
from wsgiserve.files.options import index_names, types_by_suffix


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index": "home.html"}, r"write \['home.html'\]"),
        ({"index": ["sub/home.html"]}, "not the name of a file"),
        ({"index": [""]}, "it is empty"),
        ({"index": [None]}, "names of files"),
        ({"types": {"md": "markdown"}}, "no media type"),
        ({"types": {"": "text/plain"}}, "no suffix"),
        ({"types": {"tar.gz": "text/plain"}}, "no suffix"),
        ({"types": {".md": "text/a", "MD": "text/b"}}, "two types"),
        ({"types": [(".md", "text/plain")]}, "a dict such as"),
        ({"media_type": "text"}, "no media type"),
        ({"max_size": "10M"}, "number of bytes"),
        ({"max_size": 1e6}, "number of bytes"),
        ({"max_size": True}, "number of bytes"),
        ({"max_size": -1}, "at least 1"),
        ({"max_size": 0}, "None for no limit"),
        ({"upload": "no"}, "upload is True or False"),
        ({"delete": "false"}, "delete is True or False"),
        ({"dotfiles": "0"}, "dotfiles is True or False"),
        ({"precompressed": "0"}, "precompressed is True or False"),
        ({"spa": None}, "spa is True or False"),
        ({"spa": True, "index": []}, "index is empty"),
        ({"archive": True}, "listing=True too"),
        ({"guard": "ann:scrypt:1:1:1$a$b"}, "guard is a function"),
        ({"listing": "yes"}, "listing is True, False or a function"),
        ({"cors": ["https://app.example/"]}, "no origin as browsers send it"),
        ({"cors": "https://app.example"}, "collection of origins"),
        ({"cache_control": "a\nb"}, "no header field"),
        ({"headers": {"X": "1"}}, "pairs of a name and a value"),
    ],
    ids=str,
)
def test_a_wrong_option_is_an_error_at_construction(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Files(tmp_path, **options)


def test_a_folder_is_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "a", b"hello")
    for make in (Files, Store):
        with pytest.raises(NotADirectoryError, match="needs a folder"):
            make(tmp_path / "a")
    with pytest.raises(ValueError, match="an option of the Store"):
        Files(Store(tmp_path), dotfiles=True)
    Files(tmp_path / "not there yet")


def test_a_suffix_may_be_written_with_a_dot_and_without(tmp_path: Path) -> None:
    write(tmp_path / "a.md", b"# a")
    assert types_by_suffix({"md": "text/a", ".FOO": "text/b"}) == {".md": "text/a", ".foo": "text/b"}
    assert get(Files(tmp_path, types={"md": "text/x"}), "/a.md").headers["content-type"] == "text/x"


def test_index_is_any_collection_of_names() -> None:
    assert index_names(name for name in ("a.html", ".b")) == ("a.html", ".b")
