"""A fixture that sends paths which client libraries refuse to send."""

from __future__ import annotations

import pytest
from webtest import TestApp
from webtest.app import TestRequest


@pytest.fixture(scope="session")
def send():
    """Call an application with exactly this path, in bytes."""

    def send(app, path, method="GET", query="", lint=True, **headers):
        request = TestRequest.blank("/", method=method, headers=headers)
        request.environ["PATH_INFO"] = path.decode("latin-1")
        request.environ["QUERY_STRING"] = query
        return TestApp(app, lint=lint).do_request(request, status="*")

    return send
