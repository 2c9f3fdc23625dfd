"""Fixtures for pytest: a client and a live server for the WSGI app that a test suite is about.

``wsgi_app`` is the value of the suite's own fixture ``app`` or ``application``, or what the suite says
instead by a fixture ``wsgi_app`` of its own. It may be of any framework.

pytest loads this wherever wsgiserve is installed, also for a Django project that is only served by it. So
every name begins with ``wsgi_``: ``client`` and ``live_server`` are those of pytest-django and pytest-flask.
And so nothing is imported before a fixture is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from webtest import TestApp  # type: ignore[import-untyped]  # WebTest has no annotations

    from wsgiserve.server import Server

GRACEFUL_TIMEOUT = 5.0  # seconds that a test's end waits for a call that still runs

_NAMES = ("app", "application")


@pytest.fixture
def wsgi_app(request: pytest.FixtureRequest) -> WSGIApplication:
    """Give the app under test: the fixture ``app`` or ``application``."""
    for name in _NAMES:
        try:
            return request.getfixturevalue(name)  # type: ignore[no-any-return]  # the suite's word for it
        except pytest.FixtureLookupError as error:
            if error.argname != name:  # theirs is there, and asks for one that is not
                raise
    pytest.fail(f"wsgi_app: write a fixture {' or '.join(_NAMES)} that returns the WSGI app", pytrace=False)


@pytest.fixture
def wsgi_client(wsgi_app: WSGIApplication) -> Iterator[TestApp]:
    """Give a WebTest ``TestApp`` that calls the app directly, and checks each answer against PEP 3333.

    An ``App`` is shut down at the test's end, as it is with a server.
    """
    from wsgiserve.server import lifespan
    from wsgiserve.web.client import make_client

    yield make_client(wsgi_app)
    lifespan.shutdown(wsgi_app)


@pytest.fixture
def wsgi_server(wsgi_app: WSGIApplication) -> Iterator[Server]:
    """Serve the app on a port of the system's choice, in threads of this process, to the test's end.

    ``wsgi_server.url`` is ``http://127.0.0.1:PORT``. The server is strict: what it lets pass, others do too.
    """
    from wsgiserve.server import Server

    with Server(wsgi_app, port=0, strict=True, graceful_timeout=GRACEFUL_TIMEOUT) as server:
        yield server
