"""A test client that needs no server: WebTest's ``TestApp``, which checks each response against PEP 3333."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from webtest import TestApp  # type: ignore[import-untyped]  # WebTest has no annotations


def make_client(app: WSGIApplication, **options: Any) -> TestApp:
    """Wrap a WSGI app in WebTest's ``TestApp``, with lint; ImportError if WebTest is not installed."""
    try:
        from webtest import TestApp
    except ModuleNotFoundError as error:
        if error.name != "webtest":
            raise
        raise ImportError("a test client needs WebTest; install it with: pip install WebTest") from None
    return TestApp(app, **{"lint": True, **options})
