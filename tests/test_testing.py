"""``app.client()``, and the recipes of ``docs/testing.md`` for it and for the pytest fixtures."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from webtest import AppError, TestApp

from wsgiserve import App

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "testing.md").read_text("utf-8")
PLUGIN = "wsgiserve.pytest_plugin"


@pytest.fixture(autouse=True)
def without_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other installed plugins take a second to load, for each run."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run the suite in the test's folder with the plugin."""
    return pytester.runpytest_inprocess("-p", PLUGIN, "-p", "no:cacheprovider", *arguments)


def recipes() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each test file of the page's with the files of its section that stand above it."""
    for section in PAGE.split("\n## ")[1:]:
        files: dict[str, str] = {}
        for code in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
            name = code.partition("\n")[0].removeprefix("# ")
            files[name] = code
            if name.startswith("test_"):
                yield name, dict(files)


@pytest.mark.parametrize(("name", "files"), [pytest.param(*recipe, id=recipe[0]) for recipe in recipes()])
def test_recipe(pytester: pytest.Pytester, name: str, files: dict[str, str]) -> None:
    for file, code in files.items():
        (pytester.path / file).write_text(code)
    outcome = run(pytester, name).parseoutcomes()
    assert outcome.keys() == {"passed"} or outcome.keys() == {"passed", "warnings"}, outcome


def test_every_block_of_the_page_is_run() -> None:
    run = {code for _, files in recipes() for code in files.values()}
    assert len(run) == PAGE.count("```python")


# -- app.client()


def test_client_is_webtest_with_lint() -> None:
    app = App()
    client = app.client(extra_environ={"REMOTE_ADDR": "192.0.2.1"})
    app.get("/who")(lambda request: request.remote_addr)
    assert isinstance(client, TestApp)
    assert client.lint
    assert not app.client(lint=False).lint
    assert client.get("/who").text == "192.0.2.1"
    with pytest.raises(AppError, match="404"):
        client.get("/nothing")


WITHOUT_WEBTEST = """
import sys
sys.modules["webtest"] = None  # so an import of it fails as if it were not there
from wsgiserve import App
try:
    App().client()
except ImportError as error:
    print(error)
"""


def test_client_without_webtest_says_what_to_install() -> None:
    said = subprocess.check_output([sys.executable, "-c", WITHOUT_WEBTEST], cwd=ROOT, text=True)
    assert said == "a test client needs WebTest; install it with: pip install WebTest\n"
