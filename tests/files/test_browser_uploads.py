"""Large uploads from the page of a folder in a real browser, and what interrupts them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.by import By

from tests.files.seaweed import free_ports
from tests.files.test_browser import choose, content, find, idle, shown, until
from tests.program import Program
from wsgiserve.files.uploads import HOME

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

MIB = 1024 * 1024
SIZE = 40 * MIB + 3


class Site:
    """``wsgiserve files --upload`` for a folder, which can be killed and started again at its port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        [self.port] = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}/"

    @contextmanager
    def served(self) -> Iterator[None]:
        arguments = (
            "files",
            str(self.port),
            "--upload",
            "--bind",
            "127.0.0.1",
            "--directory",
            str(self.folder),
        )
        with Program(self.folder, *arguments) as program:
            assert program.port() == self.port
            yield
            program.process.send_signal(signal.SIGKILL)

    def kept(self) -> list[int]:
        """Return the sizes of uploads that are not finished."""
        return [path.stat().st_size for path in (self.folder / HOME).glob("?" * 32)]

    def plans(self) -> int:
        return len(list((self.folder / HOME).glob("*.plan")))

    def has(self, count: int) -> bool:
        return any(size >= count for size in self.kept())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "site").mkdir()
    return Site(tmp_path / "site")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
def slow(browser: Chrome) -> Iterator[None]:
    """Let the browser send 4 MB a second, so that an upload takes ten seconds."""
    emulate(browser, 4_000_000)
    yield
    emulate(browser, -1)
    browser.get("about:blank")
    browser.get_log("browser")


def emulate(browser: Chrome, rate: int, *, offline: bool = False) -> None:
    conditions = {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate}
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)


def note(browser: Chrome) -> str:
    return "".join(each.text for each in browser.find_elements(By.CSS_SELECTOR, "#uploads li em"))


@pytest.mark.slow
def test_a_large_upload_survives_a_killed_server(browser: Chrome, site: Site, film: Path, slow: None) -> None:
    with site.served():
        browser.get(site.url)
        choose(browser, film)
        until(lambda: site.has(MIB))
    until(lambda: "Trying again." in note(browser))
    assert not (site.folder / "film.mp4").exists()
    emulate(browser, -1)
    with site.served():
        until(lambda: idle(browser) and shown(browser) == ["film.mp4"])
        assert find(browser, "#notice").text == "Saved: film.mp4."
    assert content(site.folder / "film.mp4") == film.read_bytes()
    assert (site.plans(), site.kept()) == (1, [])


@pytest.mark.slow
def test_a_large_upload_survives_a_lost_network(browser: Chrome, site: Site, film: Path, slow: None) -> None:
    with site.served():
        browser.get(site.url)
        choose(browser, film)
        until(lambda: site.has(MIB))
        emulate(browser, -1, offline=True)
        until(lambda: "Trying again." in note(browser))
        emulate(browser, -1)
        until(lambda: idle(browser) and shown(browser) == ["film.mp4"])
    assert content(site.folder / "film.mp4") == film.read_bytes()
    assert site.plans() == 1


@pytest.mark.slow
def test_the_same_file_goes_on_after_the_page_was_loaded_again(
    browser: Chrome, site: Site, film: Path, slow: None
) -> None:
    with site.served():
        browser.get(site.url)
        choose(browser, film)
        until(lambda: site.has(MIB))
        browser.get(site.url)
        [kept] = site.kept()
        assert MIB <= kept < SIZE
        emulate(browser, -1)
        choose(browser, film)
        until(lambda: idle(browser) and shown(browser) == ["film.mp4"])
    assert content(site.folder / "film.mp4") == film.read_bytes()
    assert site.plans() == 1


@pytest.mark.slow
def test_a_cancelled_upload_leaves_nothing(browser: Chrome, site: Site, film: Path, slow: None) -> None:
    with site.served():
        browser.get(site.url)
        choose(browser, film)
        until(lambda: site.has(1))
        find(browser, "#uploads li button").click()
        until(lambda: note(browser) == "Cancelled.")
        until(lambda: not os.listdir(site.folder / HOME))
        emulate(browser, -1)
        find(browser, "#uploads li button").click()
        until(lambda: idle(browser) and shown(browser) == ["film.mp4"])
    assert content(site.folder / "film.mp4") == film.read_bytes()


@pytest.mark.slow
def test_a_name_that_was_taken_meanwhile_is_asked_for_and_nothing_is_sent_again(
    browser: Chrome, site: Site, film: Path, slow: None
) -> None:
    with site.served():
        browser.get(site.url)
        choose(browser, film)
        until(lambda: site.has(1))
        (site.folder / "film.mp4").write_bytes(b"another's")
        emulate(browser, -1)
        until(lambda: find(browser, "#clash").is_displayed())
        assert site.kept() == [SIZE]
        assert content(site.folder / "film.mp4") == b"another's"
        find(browser, "#clash button[value=replace]").click()
        until(lambda: idle(browser) and shown(browser) == ["film.mp4"])
    assert content(site.folder / "film.mp4") == film.read_bytes()
    assert site.plans() == 1


@pytest.mark.slow
def test_a_small_upload_is_one_request(browser: Chrome, site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with site.served():
        browser.get(site.url)
        choose(browser, tmp_path / "a.txt")
        until(lambda: idle(browser) and shown(browser) == ["a.txt"])
    assert not (site.folder / HOME).exists()
