"""The hooks of an app with ``startup()`` and ``shutdown()``."""

from __future__ import annotations

import pytest

from wsgiserve.server import lifespan
from wsgiserve.server.errors import StartError


class App:
    def __init__(self, error=None):
        self.error = error
        self.calls = []

    def startup(self):
        self.calls.append("startup")
        if self.error:
            raise self.error

    def shutdown(self):
        self.calls.append("shutdown")
        if self.error:
            raise self.error


def test_both_hooks_are_called():
    app = App()
    lifespan.startup(app)
    lifespan.checked_startup(app)
    lifespan.shutdown(app)
    assert app.calls == ["startup", "startup", "shutdown"]


def test_an_app_with_one_of_them_has_no_hooks():
    """Such a method may mean anything."""

    class Half:
        def startup(self):
            raise AssertionError

    lifespan.startup(Half())
    lifespan.checked_startup(Half())
    lifespan.shutdown(Half())
    assert not hasattr(Half, "shutdown")


@pytest.mark.parametrize("error", [RuntimeError("no database"), SystemExit("no database")])
def test_a_startup_hook_that_raises_gives_the_user_s_traceback(error):
    with pytest.raises(type(error)):
        lifespan.startup(App(error))
    with pytest.raises(StartError) as caught:
        lifespan.checked_startup(App(error))
    lines = str(caught.value).splitlines()
    assert lines[1].startswith(f'  File "{__file__}"')
    assert lines[-1] == f"{type(error).__name__}: no database"


def test_a_shutdown_hook_that_raises_is_logged(log):
    lifespan.shutdown(App(RuntimeError("no database")))
    assert [record.getMessage() for record in log.records] == ["a shutdown hook raised"]
    assert "RuntimeError: no database" in log.text
