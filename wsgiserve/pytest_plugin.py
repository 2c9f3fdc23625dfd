"""Fixtures for pytest: a client and a live server for the WSGI app that a test suite tests.

``wsgi_app`` is the value of the suite's fixture ``app`` or ``application``. A suite can override ``wsgi_app``
instead. The app may be of any framework.

pytest loads this module wherever wsgiserve is installed, for example in a Django project that is only served
by it. So every name begins with ``wsgi_``, because pytest-django and pytest-flask have ``client`` and
``live_server``. And so the server and the framework are imported only when a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from webtest import TestApp  # type: ignore[import-untyped]  # WebTest has no annotations

    from wsgiserve.server import Server

GRACEFUL_TIMEOUT = 5.0  # seconds for a call that still runs at the end of a test

_NAMES = ("app", "application")


@pytest.fixture
def wsgi_app(request: pytest.FixtureRequest) -> WSGIApplication:
    """Give the app under test: the fixture ``app`` or ``application``."""
    for name in _NAMES:
        try:
            return request.getfixturevalue(name)  # type: ignore[no-any-return]  # fixtures have no types
        except pytest.FixtureLookupError as error:
            if error.argname != name:  # The suite's fixture exists, and needs one that does not.
                raise
    pytest.fail(f"wsgi_app: write a fixture {' or '.join(_NAMES)} that returns the WSGI app", pytrace=False)


@pytest.fixture
def wsgi_client(wsgi_app: WSGIApplication) -> Iterator[TestApp]:
    """Give a WebTest ``TestApp``, which calls the app directly and checks each response against PEP 3333.

    An ``App`` is shut down at the end of the test, as by a server.
    """
    from wsgiserve.server import lifespan
    from wsgiserve.web.client import make_client

    yield make_client(wsgi_app)
    lifespan.shutdown(wsgi_app)


@pytest.fixture
def wsgi_server(wsgi_app: WSGIApplication) -> Iterator[Server]:
    """Serve the app on a free port, in threads of this process, until the end of the test.

    ``wsgi_server.url`` is ``http://127.0.0.1:PORT``. The server is strict: it refuses an app that breaks
    PEP 3333, even where this server could go on.
    """
    from wsgiserve.server import Server

    with Server(wsgi_app, port=0, strict=True, graceful_timeout=GRACEFUL_TIMEOUT) as server:
        yield server
