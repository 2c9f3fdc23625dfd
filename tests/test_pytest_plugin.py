"""The fixtures for the tests of a user: each test here is a test suite of its own."""

from __future__ import annotations

import configparser
import re

import pytest

from tests.program import ROOT
from wsgiserve import pytest_plugin

pytest_plugins = ["pytester"]

PLUGIN = pytest_plugin.__name__

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
