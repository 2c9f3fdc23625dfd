"""The page of a folder as HTML and JSON; ``test_browser`` has the page in a browser."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin
from wsgiref.validate import validator

import pytest
from bs4 import BeautifulSoup
from webtest import TestApp, TestResponse

from tests.files.conftest import call
from tests.privileges import bound_by_modes
from wsgiserve.files import Entry, Files, Store
from wsgiserve.files.listing import human_size

XSS = "<img src=x onerror=alert(1)>.txt"
HEBREW = "\u05e9\u05dc\u05d5\u05dd 1.txt"
NAMES = ["Zoo", "a1.txt", "a10.txt", "a2.txt", "b&amp;.txt", "B?x=1#y.txt", "C:d.txt", 'q".txt', XSS, HEBREW]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "shared"
    (root / "sub" / "deep er").mkdir(parents=True)
    for size, name in enumerate(NAMES):
        (root / name).write_bytes(b"x" * size)
        os.utime(root / name, (1_700_000_000 - size * 86400,) * 2)
    return root


def app(root: Path, **options: Any) -> TestApp:
    return TestApp(validator(Files(root, listing=True, **options)))


def names(response: TestResponse) -> list[str]:
    return [entry["name"] for entry in response.json["entries"]]


def listed(response: TestResponse) -> list[str]:
    return [link.text for link in response.html.select("td:first-child a")]


def as_json(app: TestApp, url: str) -> TestResponse:
    return app.get(url, headers={"Accept": "application/json"})


NATURAL = [
    "sub",
    XSS,
    "a1.txt",
    "a2.txt",
    "a10.txt",
    "b&amp;.txt",
    "B?x=1#y.txt",
    "C:d.txt",
    'q".txt',
    "Zoo",
    HEBREW,
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", NATURAL),
        ("?sort=name", NATURAL),
        ("?sort=name&order=desc", ["sub", *reversed(NATURAL[1:])]),
        ("?sort=size", ["sub", *reversed(NAMES)]),
        ("?sort=size&order=asc", ["sub", *NAMES]),
        ("?sort=date", ["sub", *NAMES]),
        ("?sort=date&order=asc", ["sub", *reversed(NAMES)]),
        ("?sort=nonsense&order=up", NATURAL),
        ("?q=A1", ["a1.txt", "a10.txt"]),
        ("?q=.txt&sort=size&order=asc", [name for name in NAMES if name != "Zoo"]),
        ("?q=%3Cimg", [XSS]),
    ],
)
def test_page_and_json_have_the_requested_order(root: Path, query: str, expected: list[str]) -> None:
    files = app(root)
    assert names(as_json(files, f"/{query}")) == expected
    assert listed(files.get(f"/{query}")) == expected


def test_a_query_may_be_utf_8_that_is_not_quoted(root: Path) -> None:
    (root / "ü.txt").write_text("")
    seen = call(Files(root, listing=True), "GET", "/", QUERY_STRING="q=\xc3\xbc")
    assert ">ü.txt<" in seen.body.decode()


def test_each_link_leads_to_its_file(root: Path) -> None:
    files = app(root)
    page = files.get("/")
    for link in page.html.select("td:first-child a"):
        answer = files.get(urljoin("http://localhost/", link["href"]))
        assert answer.status_int == 200
        if link.text != "sub":
            assert answer.body == (root / link.text).read_bytes()


def test_json_has_names_types_sizes_and_dates(root: Path) -> None:
    answer = as_json(app(root), "/")
    assert answer.content_type == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.json["path"] == "/"
    folder, *_ = answer.json["entries"]
    assert (folder["name"], folder["type"], "size" in folder) == ("sub", "folder", False)
    ten = answer.json["entries"][4]
    assert ten == {"name": "a10.txt", "type": "file", "size": 2, "modified": "2023-11-12T22:13:20Z"}
    assert as_json(app(root), "/sub/").json["path"] == "/sub/"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "text/html"),
        ("*/*", "text/html"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("application/json", "application/json"),
        ("application/json;q=0.9, text/html", "text/html"),
        ("text/html;q=0.5, application/json", "application/json"),
        ("image/png", "text/html"),
    ],
)
def test_accept_chooses_page_or_json(root: Path, accept: str | None, kind: str) -> None:
    response = app(root).get("/", headers={"Accept": accept} if accept else {})
    assert response.content_type == kind
    assert response.headers["Vary"] == "Accept"


def test_everything_is_escaped(root: Path) -> None:
    files = app(root, upload=True, delete=True, archive=True)
    (root / "sub" / "<b>").mkdir()
    (root / "sub" / "<b>" / "x").write_text("")
    for url in ("/", "/sub/", "/sub/%3Cb%3E/", f"/?q={XSS}", "/?sort=%22%3E%3Cscript%3E&order=%3Cscript%3E"):
        page = files.get(url)
        assert "<img" not in page.text
        assert "<b>&lt;b&gt;" not in page.text
        assert not page.html.find_all(attrs={"onerror": True})
        assert [script["src"] for script in page.html.find_all("script")] == [page.html.script["src"]]
        assert page.html.script.text == ""
        assert not page.html.find_all("style")
        assert not page.html.find_all(attrs={"style": True})


def test_the_policy_of_the_page_allows_only_its_own_files(root: Path) -> None:
    headers = app(root).get("/").headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-cache"
    # With "no-referrer" the forms of the page would send "Origin: null", and be refused.
    assert headers["Referrer-Policy"] == "same-origin"


def test_an_unchanged_page_is_304(root: Path) -> None:
    files = app(root)
    for headers in ({}, {"Accept": "application/json"}):
        etag = files.get("/", headers=headers).headers["ETag"]
        assert files.get("/", headers=headers | {"If-None-Match": etag}, status=304).body == b""
    assert files.get("/", headers={"If-None-Match": etag}).status_int == 200  # the tag of the other form
    (root / "new").write_text("")
    assert "new" in files.get("/", headers=headers | {"If-None-Match": etag}).text
    assert files.get("/", headers={"If-Modified-Since": "Fri, 20 Nov 2026 12:00:00 GMT"}).status_int == 200


def test_a_time_beyond_all_calendars_spoils_no_page(root: Path) -> None:
    """Some file systems keep times that ``time.gmtime`` refuses; here a store tells one."""

    class FarFuture(Store):
        def entries(self, name: str = "") -> list[Entry]:
            return [
                entry._replace(modified=2.0**56 if entry.name == "Zoo" else -(2.0**56))
                for entry in super().entries(name)
            ]

    files = TestApp(validator(Files(FarFuture(root), listing=True)))
    assert sorted(listed(files.get("/"))) == sorted(NATURAL)
    dates = {entry["name"]: entry["modified"] for entry in as_json(files, "/").json["entries"]}
    assert (dates["Zoo"], dates["sub"]) == ("9999-12-30T23:59:59Z", "1000-01-02T00:00:00Z")


def test_head_is_get_without_the_body(root: Path) -> None:
    files = app(root)
    got, head = files.get("/"), files.head("/")
    assert head.body == b""
    assert head.headers == got.headers


@pytest.mark.parametrize("mount", ["", "/static", "/a b/c"])
@pytest.mark.parametrize("folder", ["/", "/sub/", "/sub/deep%20er/"])
def test_style_and_script_are_found_below_any_mount_and_cached_for_good(
    root: Path, mount: str, folder: str
) -> None:
    files = app(root)
    page = files.get(folder, extra_environ={"SCRIPT_NAME": mount})
    for tag, attribute, kind in (
        ("link[rel=stylesheet]", "href", "text/css"),
        ("script", "src", "text/javascript"),
    ):
        url = urljoin(folder, page.html.select_one(tag)[attribute])
        assert re.fullmatch(r"/\.wsgiserve-[0-9a-f]{16}\.(css|js)", url)
        asset = files.get(url)
        assert asset.content_type == kind
        assert "immutable" in asset.headers["Cache-Control"]
        assert asset.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "name", [".wsgiserve-0123456789abcdef.js", ".wsgiserve-", ".wsgiserve-x/y", "sub/.wsgiserve-x"]
)
def test_other_reserved_names_are_404(root: Path, name: str) -> None:
    (root / ".wsgiserve-0123456789abcdef.js").write_text("secret")
    answer = app(root).get(f"/{name}", status=404)
    assert answer.text == app(root).get("/missing", status=404).text


@pytest.mark.parametrize("has_proc", [True, False])
def test_hidden_files_and_files_outside_are_not_listed(
    root: Path, tmp_path: Path, has_proc: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "has_proc", has_proc)
    before = names(as_json(app(root), "/"))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside.txt").write_text("secret")
    (root / "link out").symlink_to(tmp_path / "outside.txt")
    (root / "folder out").symlink_to(tmp_path / "outside")
    (root / "dangling").symlink_to("nothing")
    (root / ".hidden").write_text("secret")
    (root / "bad\nname").write_text("secret")
    (root / "back\\slash").write_text("secret")
    (root / "con.txt").write_text("secret")
    os.mkfifo(root / "fifo")
    (root / "link to fifo").symlink_to("fifo")
    with open(os.fsencode(root) + b"/latin-\xe9", "w") as file:
        file.write("secret")
    assert names(as_json(app(root), "/")) == before
    (root / "link").symlink_to("a10.txt")
    entry = next(entry for entry in as_json(app(root), "/").json["entries"] if entry["name"] == "link")
    assert (entry["type"], entry["size"]) == ("file", 2)


def test_unreadable_files_are_not_listed(root: Path) -> None:
    (root / "a1.txt").chmod(0)
    (root / "sub").chmod(0o600)
    assert {"a1.txt", "sub"}.isdisjoint(names(bound_by_modes(lambda: as_json(app(root), "/"))))


def test_a_missing_folder_is_404(root: Path) -> None:
    files = app(root)
    for url in ("/nowhere/", "/a1.txt/", "/sub/../nowhere/", "/a1.txt//"):
        assert files.get(url, status=404).text == "There is no such file.\n"
    assert files.get("/sub", status=301).headers["Location"] == "./sub/"


def test_an_index_comes_before_the_listing(root: Path) -> None:
    (root / "sub" / "index.htm").write_text("home")
    assert app(root).get("/sub/").text == "home"
    assert as_json(app(root), "/sub/").text == "home"


def test_an_empty_folder_says_so(root: Path) -> None:
    page = app(root).get("/sub/deep%20er/")
    assert "There is nothing here." in page.text
    assert page.html.select_one("#count").text == "0 files"


def test_breadcrumbs_lead_up(root: Path) -> None:
    page = app(root).get("/sub/deep%20er/")
    assert page.html.nav.text == "Files/sub/deep er"
    assert [link["href"] for link in page.html.nav.select("a")] == ["../../", "../"]


@pytest.mark.parametrize(
    ("sent", "crumbs", "style"),
    [
        ("/sub/deep%20er/", ["../../", "../"], "../../"),
        ("/sub%2Fdeep%20er/", ["../", "../sub/"], "../"),
        ("/sub//deep%20er/", ["../../../", "../../"], "../../../"),
        ("/sub/./deep%20er/", ["../../", "../"], "../../"),
    ],
)
def test_links_of_the_page_start_from_the_path_as_it_was_sent(
    root: Path, sent: str, crumbs: list[str], style: str
) -> None:
    seen = call(Files(root, listing=True), "GET", sent, REQUEST_URI=sent)
    page = BeautifulSoup(seen.body, "html.parser")
    assert page.nav.text == "Files/sub/deep er"
    assert [link["href"] for link in page.nav.select("a")] == crumbs
    assert page.select_one("link[rel=stylesheet]")["href"].partition(".wsgiserve-")[0] == style


def test_marks_that_turn_text_are_replaced(root: Path) -> None:
    (root / "photo\u202egpj.exe").write_text("")
    page = app(root).get("/")
    assert "\u202e" not in page.html.table.text
    assert "photo\ufffdgpj.exe" in listed(page)
    assert HEBREW in listed(page)


def test_the_page_offers_only_allowed_actions(root: Path) -> None:
    page = app(root).get("/")
    assert not page.html.select("input[type=file], button, dialog, [download]")
    page = app(root, upload=True).get("/")
    assert page.html.select("input[type=file]")
    assert not page.html.select("a.delete, [download]")
    page = app(root, delete=True, archive=True).get("/")
    assert len(page.html.select("a.delete")) == len(NAMES) + 1
    assert [link["href"] for link in page.html.select("[download]")] == ["?archive=zip", "?archive=tar.gz"]


def test_an_archive_is_a_download_with_the_folder_s_name(root: Path) -> None:
    files = app(root, archive=True)
    (root / "sub" / "deep er" / "x").write_text("x")
    (root / HEBREW[:4]).mkdir()
    zipped = files.get("/sub/?archive=zip")
    assert zipped.content_type == "application/zip"
    assert zipped.headers["Content-Disposition"] == "attachment; filename=sub.zip"
    assert zipped.body[:2] == b"PK"
    packed = files.get("/?archive=tar.gz")
    assert packed.headers["Content-Disposition"] == "attachment; filename=files.tar.gz"
    strange = files.get(f"/{quote(HEBREW[:4])}/?archive=zip").headers["Content-Disposition"]
    assert strange.startswith("attachment; filename=____.zip; filename*=UTF-8''%D7%A9")
    assert files.get("/nowhere/?archive=zip", status=404)
    assert files.get("/?archive=rar").content_type == "text/html"
    assert app(root).get("/?archive=zip").content_type == "text/html"


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9949, "9.9 kB"),
        (9950, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (35_400_000, "35 MB"),
        (1_500_000_000_000, "1.5 TB"),
        (10**18, "1.0 EB"),
        (10**19, "10.0 EB"),
    ],
)
def test_sizes_have_two_or_three_digits(size: int, shown: str) -> None:
    assert human_size(size) == shown
