"""Refusals as pages for people and as text for programs."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from urllib.parse import urljoin

import pytest
from bs4 import BeautifulSoup

from tests.files.conftest import call, write
from tests.files.test_policy import CREDENTIALS
from wsgiserve.files import Files
from wsgiserve.files.answer import empty, text
from wsgiserve.files.auth import BasicAuth
from wsgiserve.files.refusal import for_reader

BROWSER = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8")


@pytest.mark.parametrize(
    "accept", [None, "*/*", "text/plain", "application/json", "text/plain, text/html;q=0.5"]
)
def test_programs_get_a_line_of_text(tmp_path: Path, accept: str | None) -> None:
    seen = call(Files(tmp_path), "GET", "/a", (("Accept", accept),) if accept else ())
    assert (seen.status, seen.body) == (404, b"There is no such file.\n")
    assert seen.headers["vary"] == "Accept"


@pytest.mark.parametrize(
    ("sent", "mount"), [("/missing", ""), ("/a/b/missing.txt", ""), ("/a%2Fb/", "/m"), ("/a//b/c", "/m")]
)
def test_a_browser_gets_a_page_with_a_way_back(tmp_path: Path, sent: str, mount: str) -> None:
    seen = call(Files(tmp_path), "GET", sent, (BROWSER,), SCRIPT_NAME=mount, REQUEST_URI=mount + sent)
    assert seen.headers["content-type"] == "text/html; charset=utf-8"
    assert (seen.status, seen.headers["vary"]) == (404, "Accept")
    page = BeautifulSoup(seen.body, "html.parser")
    assert page.h1.text == "404 Not Found"
    assert "There is no such file." in page.text
    if "//" not in sent:  # Python's urljoin, unlike browsers, drops empty segments.
        assert urljoin(f"http://test{mount}{sent}", page.a["href"]) == f"http://test{mount}/"


def test_the_topmost_folder_has_no_way_back_to_itself(tmp_path: Path) -> None:
    page = BeautifulSoup(call(Files(tmp_path), "GET", "/", (BROWSER,)).body, "html.parser")
    assert page.a is None


def test_the_policy_of_the_page_allows_its_style_and_nothing_else(tmp_path: Path) -> None:
    seen = call(Files(tmp_path), "GET", "/<script>alert(1)</script>", (BROWSER,))
    style = BeautifulSoup(seen.body, "html.parser").style.string
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = seen.headers["content-security-policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ")
    assert b"<script" not in seen.body


def test_a_refused_write_leads_back_to_its_folder(tmp_path: Path) -> None:
    seen = call(Files(tmp_path, listing=True, upload=True), "POST", "/sub/", (BROWSER,), body=b"x")
    page = BeautifulSoup(seen.body, "html.parser")
    assert (seen.status, page.a["href"]) == (415, "./")


def test_a_missing_password_is_a_page_too(tmp_path: Path) -> None:
    write(tmp_path / "a", b"1")
    files = Files(tmp_path, guard=lambda app: BasicAuth(app, CREDENTIALS))
    seen = call(files, "GET", "/a", (BROWSER,))
    assert seen.status == 401
    assert seen.headers["www-authenticate"].startswith("Basic ")
    assert "Try again" in BeautifulSoup(seen.body, "html.parser").text


def test_other_answers_stay_as_they_are() -> None:
    environ = {"HTTP_ACCEPT": "text/html"}
    for answer in (text(200, "Done."), text(303, "Done."), empty(304)):
        assert for_reader(answer, environ) is answer
