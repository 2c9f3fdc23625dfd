"""The page of a folder in a real browser: with and without script, and on a phone."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from tests.browsing import contrast, luminance, prefer
from wsgiserve import Server
from wsgiserve.files import Files

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

XSS = "<img src=x onerror=alert(1)>.txt"
HEBREW = "\u05e9\u05dc\u05d5\u05dd 1.txt"
NAMES = ["sub", XSS, "a1.txt", "a2.txt", "a10.txt", HEBREW]  # sorted by name


class Gate:
    """Middleware that holds back the bodies of uploads until it is opened."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.opened = threading.Event()
        self.opened.set()

    def __call__(self, environ: Any, start_response: Any) -> Any:
        if not self.opened.is_set() and environ["REQUEST_METHOD"] in ("PUT", "PATCH"):
            environ["wsgi.input"] = io.BufferedReader(_Held(environ["wsgi.input"], self.opened))
        return self.app(environ, start_response)


class _Held(io.RawIOBase):
    def __init__(self, stream: Any, opened: threading.Event) -> None:
        self.stream, self.opened = stream, opened

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.opened.wait(20)
        data = self.stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Shared:
    """A served folder with all options."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.gate = Gate(
            Files(root, listing=True, upload=True, delete=True, archive=True, max_size=50_000_000)
        )
        self.server = Server(self.gate, port=0)


@pytest.fixture
def shared(browser: Chrome, tmp_path: Path) -> Iterator[Shared]:
    """Serve a folder and open its page; afterwards the log of the browser must be empty."""
    root = tmp_path / "shared"
    (root / "sub").mkdir(parents=True)
    for size, name in enumerate(NAMES[1:]):
        (root / name).write_bytes(b"x" * 1000 * size)
        os.utime(root / name, (1_700_000_000 - 86400 * size,) * 2)
    shared = Shared(root)
    with shared.server:
        browser.get(shared.server.url)
        yield shared
        assert browser.get_log("browser") == []
        browser.get("about:blank")


@pytest.fixture
def no_script(browser: Chrome) -> Iterator[None]:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    yield
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def find(browser: Chrome, selector: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, selector)


def shown(browser: Chrome) -> list[str]:
    rows = "[...document.querySelectorAll('tbody tr:not([hidden])')]"
    return list(browser.execute_script(f"return {rows}.map(row => row.cells[0].textContent)"))


def names(browser: Chrome) -> list[str]:
    """Return the names that ``shown`` returns, for a page without script."""
    return [link.text for link in browser.find_elements(By.CSS_SELECTOR, "td:first-child a")]


def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, also while the page replaces its elements."""
    deadline = time.monotonic() + 20
    while not _holds(condition):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _holds(condition: Callable[[], object]) -> bool:
    try:
        return bool(condition())
    except StaleElementReferenceException:  # an element that was replaced
        return False


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def choose(browser: Chrome, *paths: Path) -> None:
    find(browser, "input[name=file]").send_keys("\n".join(map(str, paths)))


def idle(browser: Chrome) -> bool:
    return bool(browser.execute_script("return document.querySelector('#uploads').hidden"))


@pytest.mark.slow
def test_names_are_shown_as_text(browser: Chrome, shared: Shared) -> None:
    assert shown(browser) == NAMES
    assert browser.find_elements(By.TAG_NAME, "img") == []
    assert find(browser, "#count").text == "1 folder, 5 files, 10 kB"


@pytest.mark.slow
def test_a_right_to_left_name_leaves_the_rest_of_its_row_alone(browser: Chrome, shared: Shared) -> None:
    rows = browser.find_elements(By.CSS_SELECTOR, "tbody tr")
    first, last = rows[1], rows[-1]
    for column in range(3):
        edges = [row.find_elements(By.TAG_NAME, "td")[column].rect for row in (first, last)]
        assert edges[0]["x"] == edges[1]["x"]
    # The first letter is to the right of the last one.
    letters = (
        "const r = document.createRange(); return [0, 3].map(i => { r.setStart(arguments[0].firstChild, i);"
    )
    letters += "r.setEnd(arguments[0].firstChild, i + 1); return r.getBoundingClientRect().x; })"
    left, right = browser.execute_script(letters, last.find_element(By.TAG_NAME, "bdi"))
    assert left > right


@pytest.mark.slow
def test_a_click_on_a_column_sorts_and_a_second_click_reverses(browser: Chrome, shared: Shared) -> None:
    by_size = ["sub", *reversed(NAMES[1:])]
    find(browser, "#by-size").click()
    until(lambda: shown(browser) == by_size)
    assert find(browser, "th[aria-sort=descending]").text.startswith("Size")
    assert browser.current_url.endswith("?sort=size&order=desc")
    find(browser, "#by-size").click()
    until(lambda: shown(browser) == NAMES)
    find(browser, "#by-date").click()
    until(lambda: browser.current_url.endswith("?sort=date&order=desc"))
    find(browser, "#by-name").click()
    until(lambda: "sort=name&order=asc" in browser.current_url)
    find(browser, "#by-name").click()
    until(lambda: shown(browser) == by_size)


@pytest.mark.slow
def test_the_filter_hides_other_names_and_survives_sorting(browser: Chrome, shared: Shared) -> None:
    find(browser, "#filter").send_keys("A1")
    assert shown(browser) == ["a1.txt", "a10.txt"]
    assert find(browser, "#count").text == "2 of 6 shown"
    find(browser, "#by-size").click()
    until(lambda: shown(browser) == ["a10.txt", "a1.txt"])
    find(browser, "#filter").clear()
    find(browser, "#filter").send_keys("<img")
    assert shown(browser) == [XSS]


@pytest.mark.slow
def test_folders_open_and_breadcrumbs_lead_back(browser: Chrome, shared: Shared) -> None:
    browser.find_element(By.LINK_TEXT, "sub").click()
    until(lambda: browser.current_url.endswith("/sub/"))
    assert "There is nothing here." in find(browser, "main").text
    browser.find_element(By.LINK_TEXT, "Files").click()
    until(lambda: shown(browser) == NAMES)


@pytest.mark.slow
def test_an_upload_shows_its_progress(browser: Chrome, shared: Shared, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(os.urandom(1 << 20) * 40)
    shared.gate.opened.clear()
    choose(browser, large)
    progress = "return document.querySelector('#uploads li progress')?.value"
    until(lambda: 0 < (browser.execute_script(progress) or 0) < 1)
    assert find(browser, "#uploads li span").text == "large.bin"
    assert " of 41.9 MB" in find(browser, "#uploads p").text
    assert not (shared.root / "large.bin").exists()
    shared.gate.opened.set()
    until(lambda: idle(browser) and "large.bin" in shown(browser))
    assert content(shared.root / "large.bin") == large.read_bytes()


@pytest.mark.slow
def test_a_finished_upload_is_told_and_its_row_is_in_view(
    browser: Chrome, shared: Shared, tmp_path: Path
) -> None:
    for number in range(100):
        (shared.root / f"m{number}.txt").touch()
    browser.refresh()
    for name in ("zz new.txt", ".hidden"):
        (tmp_path / name).write_text("new")
    choose(browser, tmp_path / "zz new.txt", tmp_path / ".hidden")
    until(lambda: idle(browser) and browser.find_elements(By.CSS_SELECTOR, "tr.new"))
    assert find(browser, "#notice").text == "Saved: zz new.txt. Left out, since hidden: .hidden"
    assert find(browser, "tr.new td").text == "zz new.txt"
    in_view = "const r = arguments[0].getBoundingClientRect(); return r.top >= 0 && r.bottom <= innerHeight"
    assert browser.execute_script(in_view, find(browser, "tr.new"))


@pytest.mark.slow
def test_an_upload_can_be_cancelled_and_repeated(browser: Chrome, shared: Shared, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(40 << 20))
    shared.gate.opened.clear()
    choose(browser, large)
    until(lambda: browser.find_elements(By.CSS_SELECTOR, "#uploads li progress"))
    find(browser, "#uploads li button").click()
    until(lambda: browser.find_elements(By.CSS_SELECTOR, "#uploads li em"))
    assert find(browser, "#uploads li em").text == "Cancelled."
    shared.gate.opened.set()
    assert not (shared.root / "large.bin").exists()
    find(browser, "#uploads li button").click()
    until(lambda: idle(browser) and "large.bin" in shown(browser))
    assert (shared.root / "large.bin").stat().st_size == 40 << 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("keep", {"a1.txt": 1000, "a1 (2).txt": 3}),
        ("replace", {"a1.txt": 3, "a1 (2).txt": None}),
        ("skip", {"a1.txt": 1000, "a1 (2).txt": None}),
    ],
)
def test_the_page_asks_about_a_taken_name(
    browser: Chrome, shared: Shared, tmp_path: Path, choice: str, expected: dict[str, int | None]
) -> None:
    (tmp_path / "a1.txt").write_text("new")
    (tmp_path / "b.txt").write_text("new")
    choose(browser, tmp_path / "a1.txt", tmp_path / "b.txt")
    until(lambda: find(browser, "#clash").get_attribute("open"))
    assert find(browser, "#clash p").text == "There is a “a1.txt” already."
    find(browser, f"#clash button[value={choice}]").click()
    until(lambda: idle(browser) and "b.txt" in shown(browser))
    sizes = {
        name: len(data) if (data := content(shared.root / name)) is not None else None for name in expected
    }
    assert sizes == expected


@pytest.mark.slow
def test_one_answer_may_apply_to_all_files(browser: Chrome, shared: Shared, tmp_path: Path) -> None:
    for name in ("a1.txt", "a2.txt", "a10.txt"):
        (tmp_path / name).write_text("new")
    choose(browser, *(tmp_path / name for name in ("a1.txt", "a2.txt", "a10.txt")))
    until(lambda: find(browser, "#clash").get_attribute("open"))
    find(browser, "#always").click()
    find(browser, "#clash button[value=replace]").click()
    until(lambda: idle(browser))
    until(lambda: [content(shared.root / name) for name in ("a1.txt", "a2.txt", "a10.txt")] == [b"new"] * 3)


@pytest.mark.slow
def test_refusals_are_shown(browser: Chrome, shared: Shared, tmp_path: Path) -> None:
    (tmp_path / "con.txt").write_text("x")
    (tmp_path / ".hidden").write_text("x")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(50_000_001)
    choose(browser, tmp_path / "con.txt", tmp_path / ".hidden", tmp_path / "huge")
    until(lambda: len(browser.find_elements(By.CSS_SELECTOR, "#uploads li em")) == 2)
    said = find(browser, "#uploads").text
    assert said.startswith("2 of 2 files, 2 failed, 0 of 50 MB")
    assert "it is a device on some systems" in said
    assert "It is larger than 50 MB, the most that this server takes." in said
    assert find(browser, "#notice").text == "Left out, since hidden: .hidden"
    assert [line["message"].endswith("(Bad Request)") for line in browser.get_log("browser")] == [True]


@pytest.mark.slow
def test_files_and_folders_may_be_dropped(browser: Chrome, shared: Shared, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "empty").mkdir()
    (tree / "ü.txt").write_text("ü")
    (tree / "deep" / "er" / "x.txt").write_text("x")
    (tmp_path / "b.txt").write_text("b")
    drag = {"items": [], "files": [str(tree), str(tmp_path / "b.txt")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": 200, "y": 200, "data": drag}
        browser.execute_cdp_cmd("Input.dispatchDragEvent", event)
    until(lambda: {"tree", "b.txt"} <= set(shown(browser)) and idle(browser))
    found = {str(path.relative_to(shared.root)) for path in (shared.root / "tree").rglob("*")}
    assert found == {"tree/deep", "tree/deep/er", "tree/deep/er/x.txt", "tree/empty", "tree/ü.txt"}
    assert content(shared.root / "tree" / "ü.txt") == "ü".encode()
    assert "dropping" not in browser.execute_script("return document.documentElement.className")


@pytest.mark.slow
def test_the_page_asks_before_a_deletion(browser: Chrome, shared: Shared) -> None:
    delete = f'a[aria-label="Delete {XSS}"]'
    find(browser, delete).click()
    assert find(browser, "#delete p").text == f"Delete “{XSS}”?"
    find(browser, "#delete button[value='']").click()
    assert (shared.root / XSS).exists()
    find(browser, delete).click()
    find(browser, "#delete button[value=delete]").click()
    until(lambda: shown(browser) == [name for name in NAMES if name != XSS])
    assert find(browser, "#notice").text == f"Deleted: {XSS}."
    assert not (shared.root / XSS).exists()
    find(browser, 'a[aria-label="Delete sub"]').click()
    find(browser, "#delete button[value=delete]").click()
    until(lambda: "sub" not in shown(browser))
    assert not (shared.root / "sub").exists()


@pytest.mark.slow
def test_a_cancelled_question_does_not_answer_the_next(browser: Chrome, shared: Shared) -> None:
    """A dialog tells that it was closed a moment later, when it may ask again already."""
    click = "for (const each of arguments) document.querySelector(each).click()"
    delete, cancel, confirm = f'a[aria-label="Delete {XSS}"]', "#delete .first", "#delete [value=delete]"
    browser.execute_script(click, delete, cancel, delete, confirm)
    until(lambda: shown(browser) == [name for name in NAMES if name != XSS])
    assert find(browser, "#notice").text == f"Deleted: {XSS}."
    assert not (shared.root / XSS).exists()


@pytest.mark.slow
def test_without_script_the_page_sorts_and_filters(browser: Chrome, shared: Shared, no_script: None) -> None:
    browser.get(shared.server.url)
    assert names(browser) == NAMES
    find(browser, "#by-size").click()
    until(lambda: names(browser) == ["sub", *reversed(NAMES[1:])])
    find(browser, "#filter").send_keys("a1\n")
    until(lambda: names(browser) == ["a10.txt", "a1.txt"])
    find(browser, "#by-size").click()
    until(lambda: names(browser) == ["a1.txt", "a10.txt"])


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1", "nas.lan"])
def test_without_script_the_page_uploads_and_deletes(
    browser: Chrome, shared: Shared, tmp_path: Path, no_script: None, host: str
) -> None:
    (tmp_path / "a1.txt").write_text("new")
    browser.get(f"http://{host}:{shared.server.port}/?sort=size")
    Select(find(browser, "select[name=clash]")).select_by_value("keep")
    choose(browser, tmp_path / "a1.txt")
    find(browser, ".upload button").click()
    until(lambda: "a1 (2).txt" in names(browser))
    assert content(shared.root / "a1 (2).txt") == b"new"
    assert find(browser, "#notice").text == "Saved: a1 (2).txt."
    assert find(browser, "tr.new").get_attribute("id") == "saved"
    assert "sort=size" in browser.current_url
    find(browser, f'a[aria-label="Delete {XSS}"]').click()
    until(lambda: browser.find_elements(By.CSS_SELECTOR, ".confirm button"))
    assert find(browser, ".confirm bdi").text == XSS
    find(browser, ".confirm button").click()
    until(lambda: len(names(browser)) == len(NAMES))
    assert not (shared.root / XSS).exists()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_either_scheme(browser: Chrome, shared: Shared, scheme: str) -> None:
    prefer(browser, scheme)
    browser.execute_script("document.querySelector('#delete').show()")
    ground = find(browser, "body").value_of_css_property("background-color")
    card = find(browser, "table").value_of_css_property("background-color")
    assert (luminance(ground) > 0.5) == (luminance(card) > 0.5) == (scheme == "light")
    on_ground = ("nav b", "footer p", ".archives", ".archives a", ".upload span", "#notice")
    on_card = ("td a", "td:nth-child(2)", "th a", "a.delete", "#filter", "label.pick", "#delete p")
    for back, selectors in ((ground, on_ground), (card, on_card)):
        for selector in selectors:
            assert contrast(find(browser, selector).value_of_css_property("color"), back) >= 4.5, selector
    button = find(browser, "button.bad")
    colors = [button.value_of_css_property(name) for name in ("color", "background-color")]
    assert contrast(*colors) >= 4.5


@pytest.mark.slow
def test_the_page_fits_a_phone(browser: Chrome, shared: Shared) -> None:
    (shared.root / ("long" * 50 + ".txt")).write_text("")
    phone = {"width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        browser.refresh()
        assert browser.execute_script("return document.documentElement.scrollWidth") == 320
        for link in browser.find_elements(By.CSS_SELECTOR, "td:first-child a, .archives a"):
            assert link.rect["height"] >= 24  # WCAG 2.2, target size
        for link in browser.find_elements(By.CSS_SELECTOR, "a.delete"):
            assert min(link.rect["height"], link.rect["width"]) >= 44  # a slip would hit another file
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.slow
def test_the_page_without_script_fits_a_phone(browser: Chrome, shared: Shared, no_script: None) -> None:
    phone = {"width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        browser.get(shared.server.url)
        metrics = browser.execute_cdp_cmd("Page.getLayoutMetrics", {})
        assert metrics["cssContentSize"]["width"] == 320
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.slow
def test_a_page_of_ten_thousand_entries_is_fast(browser: Chrome, shared: Shared) -> None:
    many = shared.root / "many"
    many.mkdir()
    for number in range(10_000):
        (many / f"file {number}.txt").touch()
    started = time.monotonic()
    browser.get(f"{shared.server.url}/many/")
    assert find(browser, "#count").text == "10,000 files, 0 B"
    find(browser, "#filter").send_keys("99")
    until(lambda: find(browser, "#count").text == "280 of 10,000 shown")
    find(browser, "#by-name").click()
    until(
        lambda: browser.current_url.endswith("?sort=name&order=desc") and shown(browser)[0] == "file 9999.txt"
    )
    assert time.monotonic() - started < 10  # about two seconds on an idle machine
