"""GET: the file, index, listing or redirect for a path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.files.conftest import SECOND, call, get, write
from wsgiserve.files import Answer, Files, hot
from wsgiserve.files.reading import name_of


def test_the_first_index_that_exists_is_sent(tmp_path: Path) -> None:
    files = Files(tmp_path)
    assert get(files, "/").status == 404
    write(tmp_path / "index.htm", b"htm")
    assert get(files, "/").body == b"htm"
    write(tmp_path / "index.html", b"html")
    assert get(files, "/").body == b"html"
    assert get(Files(tmp_path, index=["index.htm"]), "/").body == b"htm"


def test_listing_answers_for_folders_without_an_index(tmp_path: Path) -> None:
    asked = []

    def listing(environ: object, name: str) -> Answer | None:
        asked.append(name)
        return None if name == "sub" else Answer("200 OK", [("Content-Type", "text/plain")], [b"list"])

    files = Files(tmp_path, listing=listing)
    (tmp_path / "sub").mkdir()
    write(tmp_path / "page" / "index.html", b"page")
    assert get(files, "/").body == b"list"
    assert get(files, "/sub/").status == 404
    assert get(files, "/page/").body == b"page"
    assert get(files, "/missing/").status == 404
    assert get(files, "/sub").headers["location"] == "./sub/"
    assert call(files, "HEAD", "/").body == b""
    assert asked == ["", "sub", ""]


def test_with_spa_the_index_answers_missing_paths_without_a_dot(tmp_path: Path) -> None:
    write(tmp_path / "index.html", b"the app")
    write(tmp_path / "app.js", b"1")
    files = Files(tmp_path, spa=True)
    for path in ("/", "/orders", "/orders/7", "/orders/7/"):
        assert get(files, path).body == b"the app"
    assert get(files, "/app.js").body == b"1"
    assert get(files, "/missing.js").status == 404
    write(tmp_path / "orders", b"a file now")
    assert get(files, "/orders").body == b"a file now"


def test_with_clean_urls_the_suffix_html_is_optional(tmp_path: Path) -> None:
    write(tmp_path / "lyrics.html", b"la la")
    assert get(Files(tmp_path), "/lyrics").status == 404
    files = Files(tmp_path, clean_urls=True)
    assert get(files, "/lyrics").body == get(files, "/lyrics.html").body == b"la la"
    assert get(files, "/lyrics?v=1").headers["content-type"] == "text/html; charset=utf-8"
    assert get(files, "/lyrics/").status == 404
    write(tmp_path / "lyrics", b"without")
    assert get(files, "/lyrics").body == b"without"


def test_a_clean_url_is_right_beside_a_folder_of_that_name(tmp_path: Path) -> None:
    write(tmp_path / "blog.html", b"all posts")
    write(tmp_path / "blog" / "first.html", b"one post")
    for options in ({}, {"listing": True}, {"spa": True}):
        files = Files(tmp_path, clean_urls=True, **options)
        assert get(files, "/blog").body == b"all posts"
        assert get(files, "/blog/first").body == b"one post"
    assert get(Files(tmp_path, clean_urls=True), "/blog/").status == 404
    write(tmp_path / "blog" / "index.html", b"index")
    assert get(Files(tmp_path, clean_urls=True), "/blog/").body == b"index"
    assert get(Files(tmp_path), "/blog").headers["location"] == "./blog/"


@pytest.mark.parametrize(
    "path",
    [
        "/apt/./Packages",
        "/apt//Packages",
        "//apt/Packages",
        "/./apt/Packages",
        "/apt/../apt/Packages",
        "/apt/x/../Packages",
        "/../../apt/Packages",
        "/apt/%2e/Packages",
        "/apt/%2E%2e/apt/Packages",
        "/apt%2FPackages",
        "/apt/.//.././/./apt///Packages",
    ],
)
def test_dot_segments_and_double_slashes_are_removed(tmp_path: Path, path: str) -> None:
    """apt asks for ``./Packages`` in each flat repository."""
    write(tmp_path / "apt" / "Packages", b"Package: hello")
    files = Files(tmp_path)
    for _ in range(2):
        seen = get(files, path)
        assert (seen.status, seen.body) == (200, b"Package: hello")
    assert call(files, "HEAD", path).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../secret",
        "/..",
        "/../",
        "/a/../../secret",
        "/%2e%2e/secret",
        "/..%2Fsecret",
        "/.%2e//secret",
        "/..%5csecret",
        "/a.txt/../../secret",
    ],
)
def test_no_dot_segment_leads_above_the_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    write(tmp_path / "files" / "a.txt", b"hello")
    assert get(Files(tmp_path / "files"), path).status == 404
    at = {"SCRIPT_NAME": "/static"}
    assert call(Files(tmp_path / "files"), "GET", path, **at).status == 404


@pytest.mark.parametrize("path", ["/a.txt/", "/a.txt/.", "/a.txt//", "/a.txt/b/..", "/.hidden", "/./.hidden"])
def test_a_slash_after_a_file_and_a_hidden_name_stay_404(tmp_path: Path, path: str) -> None:
    write(tmp_path / "a.txt", b"hello")
    write(tmp_path / ".hidden", b"hello")
    assert get(Files(tmp_path), path).status == 404


def test_other_spellings_of_a_path_do_not_fill_the_cache(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(hot, "_SETTLED_NS", -SECOND)
    write(tmp_path / "a", b"hello")
    files = Files(tmp_path)
    for path in ("/a", "//a", "/./a", "/b/../a"):
        assert get(files, path).body == b"hello"
    assert [path for path, _ in files._hot._kept] == ["/a"]


def test_dotfiles_are_shown_only_with_the_option(tmp_path: Path) -> None:
    write(tmp_path / ".env", b"secret")
    write(tmp_path / ".well-known" / "security.txt", b"contact")
    assert get(Files(tmp_path), "/.env") == get(Files(tmp_path), "/missing")
    assert get(Files(tmp_path), "/.well-known/security.txt").body == b"contact"
    assert get(Files(tmp_path, dotfiles=True), "/.env").body == b"secret"


def test_uploaded_pages_cannot_run_scripts(tmp_path: Path) -> None:
    for name in ("a.html", "a.svg", "a.txt"):
        write(tmp_path / name, b"<script>")
    policies = [
        get(Files(tmp_path, upload=upload), f"/{name}").headers.get("content-security-policy")
        for upload in (True, False)
        for name in ("a.html", "a.svg", "a.txt")
    ]
    assert policies == ["sandbox", "sandbox", None, None, None, None]


def test_precompressed_files_are_off_by_default_with_uploads(tmp_path: Path) -> None:
    write(tmp_path / "a.js", b"new")
    write(tmp_path / "a.js.gz", b"old")
    accept = "Accept-Encoding: gzip"
    assert get(Files(tmp_path), "/a.js", accept).body == b"old"
    assert get(Files(tmp_path, upload=True), "/a.js", accept).body == b"new"
    assert get(Files(tmp_path, upload=True, precompressed=True), "/a.js", accept).body == b"old"
    write(tmp_path / "a.js", b"newer", age=100)
    assert get(Files(tmp_path), "/a.js", accept).body == b"newer"


def test_media_types_may_be_given(tmp_path: Path) -> None:
    for name in ("a.txt", "a.foo", "a"):
        write(tmp_path / name, b"1")
    files = Files(tmp_path, types={".FOO": "text/foo"})
    kinds = [get(files, f"/{name}").headers["content-type"] for name in ("a.txt", "a.foo", "a")]
    assert kinds == ["text/plain; charset=utf-8", "text/foo", "application/octet-stream"]
    fixed = Files(tmp_path, media_type="application/octet-stream")
    assert get(fixed, "/a.txt").headers["content-type"] == "application/octet-stream"


def test_redirects_are_right_below_a_mount_point(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "index.html", b"sub")
    write(tmp_path / "index.html", b"top")
    files = Files(tmp_path)
    at = {"SCRIPT_NAME": "/static"}
    assert call(files, "GET", "", **at).headers["location"] == "./static/"
    assert call(files, "GET", "/", **at).body == b"top"
    assert call(files, "GET", "/sub", **at).headers["location"] == "./sub/"


@pytest.mark.parametrize(
    ("sent", "location"),
    [
        ("/a%2Fsub", "./a/sub/"),
        ("/a/sub", "./sub/"),
        ("/./a//sub", "./sub/"),
        ("//a%2fsub?x=%2F", "./a/sub/?x=%2F"),
        ("http://test/a%2Fsub", "./a/sub/"),
    ],
)
def test_a_redirect_starts_from_the_path_as_it_was_sent(tmp_path: Path, sent: str, location: str) -> None:
    """For a client ``/a%2Fsub`` is one segment, from which ``./sub/`` leads to another folder."""
    write(tmp_path / "a" / "sub" / "index.html", b"page")
    for name in ("REQUEST_URI", "RAW_URI"):
        for mount in ("", "/m"):
            uri = sent.replace("test/", f"test{mount}/") if "://" in sent else mount + sent
            seen = call(
                Files(tmp_path), "GET", sent.removeprefix("http://test"), SCRIPT_NAME=mount, **{name: uri}
            )
            assert (seen.status, seen.headers["location"]) == (301, location)


@pytest.mark.parametrize(("name", "location"), [("a:b", "./a%3Ab/"), ("ü", "./%C3%BC/"), ("a b", "./a%20b/")])
def test_a_redirect_leads_to_the_folder_and_no_other_host(tmp_path: Path, name: str, location: str) -> None:
    write(tmp_path / name / "index.html", b"page")
    seen = call(Files(tmp_path), "GET", "/" + name, PATH_INFO="/" + name.encode().decode("latin-1"))
    assert (seen.status, seen.headers["location"]) == (301, location)


def test_a_folder_without_index_and_listing_is_404(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    files = Files(tmp_path)
    assert get(files, "/bare") == get(files, "/bare/") == get(files, "/missing")


@pytest.mark.parametrize(
    ("path", "name"),
    [("/a/b", "a/b"), ("/", ""), ("", ""), ("//a", "a"), ("/\xc3\xbc", "ü"), ("a", None), ("/\xff", None)],
)
def test_a_path_has_the_name_after_its_slash(path: str, name: str | None) -> None:
    assert name_of(path) == name
