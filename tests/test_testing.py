"""What a user's own tests stand on: ``app.client()``, the pytest fixtures, and the recipes for both."""

from __future__ import annotations

import configparser
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

CONFTEST = """
import pytest
from wsgiserve import App

@pytest.fixture
def application():
    app = App()
    app.get("/")(lambda request: "hello")
    return app
"""


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


# -- the fixtures


def test_fixtures_find_the_app_under_its_other_name(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        def test_directly(wsgi_client, wsgi_app, application):
            assert wsgi_app is application
            assert wsgi_client.get("/").text == "hello"
        """
    )
    run(pytester).assert_outcomes(passed=1)


def test_an_app_lives_as_long_as_its_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest
        from wsgiserve import App

        app = App()
        seen = []
        app.get("/")(lambda: str(seen))
        app.on_startup(lambda: seen.append("start"))
        app.on_shutdown(lambda: seen.append("end"))

        @pytest.fixture(name="app")
        def one_for_all():
            return app
        """
    )
    pytester.makepyfile(
        """
        from urllib.request import urlopen

        def test_first(wsgi_client):
            assert wsgi_client.get("/").text == "['start']"

        def test_second(wsgi_client):
            assert wsgi_client.get("/").text == "['start', 'end', 'start']"

        def test_third(wsgi_server):
            with urlopen(wsgi_server.url) as answer:
                assert answer.read() == b"['start', 'end', 'start', 'end', 'start']"
        """
    )
    run(pytester).assert_outcomes(passed=3)


def test_without_an_app_the_message_says_what_to_write(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(wsgi_server): pass")
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*write a fixture app or application that returns the WSGI app*"])


def test_a_fixture_that_the_app_s_own_fixture_lacks_is_named(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef app(database): pass")
    pytester.makepyfile("def test_it(wsgi_client): pass")
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'database' not found*"])


def test_server_is_strict_and_ends_with_its_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def app():
            def careless(environ, start_response):
                start_response("200 OK", {}.items())  # not a list
                return [b""]
            return careless
        """
    )
    pytester.makepyfile(
        """
        import socket
        from urllib.error import HTTPError
        from urllib.request import urlopen
        import pytest

        ports = []

        def test_strict(wsgi_server):
            ports.append(wsgi_server.port)
            with pytest.raises(HTTPError) as caught:
                urlopen(wsgi_server.url)
            assert caught.value.code == 500
            caught.value.close()

        def test_stopped():
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", ports[0]))
        """
    )
    run(pytester).assert_outcomes(passed=2)


def test_fixtures_of_these_names_elsewhere_are_left_alone(pytester: pytest.Pytester) -> None:
    """A project may be served by wsgiserve, and tested with pytest-django or pytest-flask."""
    listed = run(pytester, "--fixtures", "-q").stdout.str()
    ours = re.findall(r"^(\w+)[^\n]* -- \S*wsgiserve/pytest_plugin\.py", listed, re.MULTILINE)
    assert sorted(ours) == ["wsgi_app", "wsgi_client", "wsgi_server"]


def test_pytest_finds_the_plugin_by_itself() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    # The name is the module's, so that ``-p`` and the entry point mean one plugin.
    assert setup["options.entry_points"]["pytest11"].strip() == f"{PLUGIN} = {PLUGIN}"
