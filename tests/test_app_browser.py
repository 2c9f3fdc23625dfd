"""The page of the demo in a real browser: light and dark, wide and on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from app import create_app
from tests.browsing import contrast, luminance, prefer

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.conftest import ServeApp


@pytest.fixture
def home(browser: Chrome, serve_app: ServeApp, tmp_path: Path) -> str:
    """Serve the demo and open its page; return its URL."""
    url = serve_app(create_app(tmp_path / "files"))
    browser.get(url)
    return url


@pytest.mark.slow
def test_the_page_says_hello_without_errors(browser: Chrome, home: str) -> None:
    assert browser.find_element(By.TAG_NAME, "h1").text == "Hello!"
    assert f"curl {home}/echo/hello" in browser.find_element(By.TAG_NAME, "body").text
    assert browser.get_log("browser") == []


@pytest.mark.slow
def test_a_click_leads_to_the_echo(browser: Chrome, home: str) -> None:
    browser.find_element(By.LINK_TEXT, "/echo/hello").click()
    WebDriverWait(browser, 10).until(lambda browser: browser.current_url == f"{home}/echo/hello")
    assert browser.find_element(By.TAG_NAME, "body").text == "hello"


@pytest.mark.slow
def test_a_click_shows_the_user_agent(browser: Chrome, home: str) -> None:
    agent = browser.execute_script("return navigator.userAgent")
    browser.find_element(By.LINK_TEXT, "/user-agent").click()
    WebDriverWait(browser, 10).until(lambda browser: browser.current_url == f"{home}/user-agent")
    assert browser.find_element(By.TAG_NAME, "body").text == agent


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_either_scheme(browser: Chrome, home: str, scheme: str) -> None:
    prefer(browser, scheme)
    ground = browser.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
    assert (luminance(ground) > 0.5) == (scheme == "light")
    for selector in ("body", "section p", "a", "h2 span", "h2 .post", ".try code", "button"):
        color = browser.find_element(By.CSS_SELECTOR, selector).value_of_css_property("color")
        assert contrast(color, ground) >= 4.5, selector


@pytest.mark.slow
def test_the_page_fits_a_phone(browser: Chrome, home: str) -> None:
    phone = {"width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        width = browser.execute_script("return document.documentElement.scrollWidth")
        assert width == 320
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.slow
def test_a_button_copies_the_line_beside_it(browser: Chrome, home: str) -> None:
    grant = {"origin": home, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    browser.execute_cdp_cmd("Browser.grantPermissions", grant)
    button = browser.find_element(By.CSS_SELECTOR, ".try button")
    button.click()
    WebDriverWait(browser, 10).until(lambda _: button.text == "Copied")
    copied = browser.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert copied == f"curl {home}/echo/hello"


@pytest.mark.slow
def test_the_page_works_without_script(browser: Chrome, home: str) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(home)
        assert browser.find_elements(By.TAG_NAME, "button") == []
        assert len(browser.find_elements(By.CSS_SELECTOR, ".try code")) == 4
        browser.find_element(By.LINK_TEXT, "/echo/hello").click()
        WebDriverWait(browser, 10).until(lambda browser: browser.current_url.endswith("/hello"))
        assert browser.find_element(By.TAG_NAME, "body").text == "hello"
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
