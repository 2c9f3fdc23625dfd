"""Each page of the tutorial, done as it says: files, command, curl; and seen in a browser."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.by import By

from tests.test_docs import blocks, without_date

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs" / "tutorial").glob("[0-9]*.md"))


@contextlib.contextmanager
def follow(page: Path, folder: Path) -> Iterator[str]:
    """Write a page's files, run its last command on a free port; yield the URL."""
    text = page.read_text("utf-8")
    for code in [*blocks(text, "python"), *blocks(text, "html")]:
        name = re.match(r"(?:#|<!--) (\S+)", code)
        assert name is not None
        path = folder / name[1]
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            code.replace("app.run()", 'app.run(bind="127.0.0.1:0")').replace("localhost:4221", "127.0.0.1:0")
        )
    command = shlex.split(blocks(text, "sh")[-1])
    if command[:2] == ["wsgiserve", "files"]:
        command = [word for word in command[2:] if not word.isdigit()]
        command = ["-m", "wsgiserve", "files", "0", "-b", "127.0.0.1", *command]
    else:
        assert command[0] == "python"
        command = command[1:]
    server = subprocess.Popen(
        [sys.executable, "-u", *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    with server.stdin, server.stdout:
        try:
            url = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())
            assert url is not None
            yield url[0]
        finally:
            server.terminate()
            server.wait(20)


@pytest.fixture(params=PAGES, ids=lambda path: path.stem)
def page(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


SEEN = {
    "1-folder": ("/", "It works"),
    "2-hello": ("/", "Hello from Python!"),
    "3-site": ("/lyrics", "La la la"),
    "4-port": ("/lyrics", "La la la"),
    "5-echo": ("/echo/pineapple", "pineapple"),
}


@pytest.mark.slow
def test_the_page_does_what_it_says(page: Path, tmp_path: Path, browser: Chrome) -> None:
    with follow(page, tmp_path) as url:
        for script in blocks(page.read_text("utf-8"), "console"):
            for step in script.removeprefix("$ ").split("\n$ "):
                line, _, expected = step.partition("\n")
                line = re.sub(r"localhost:\d+", url.removeprefix("http://"), line).replace("curl", "curl -s")
                answer = subprocess.run(
                    ["sh", "-c", line], cwd=tmp_path, capture_output=True, check=True
                ).stdout
                shown = answer.decode().replace("\r\n", "\n")
                assert without_date(shown).strip() == without_date(expected).strip(), line
        path, text = SEEN[page.stem]
        browser.get(url + path)
        assert browser.find_element(By.TAG_NAME, "body").text == text


@pytest.mark.slow
def test_the_first_page_s_first_command_lists_the_folder(tmp_path: Path, browser: Chrome) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\nwsgiserve files\n```\n")
    with follow(page, tmp_path) as url:
        browser.get_log("browser")  # of the pages before
        browser.get(url)
        assert browser.find_element(By.CSS_SELECTOR, "td a").text == "page.md"
        assert browser.get_log("browser") == []


def test_the_list_of_pages_is_whole() -> None:
    listed = re.findall(r"\]\((\d-\w+\.md)\)", (ROOT / "docs" / "tutorial" / "README.md").read_text("utf-8"))
    assert listed == [path.name for path in PAGES]
    assert len(PAGES) == 5
