"""Tables of error handlers."""

from __future__ import annotations

import pytest
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    NotFound,
)

from wsgiserve.web import App
from wsgiserve.web.handlers import ErrorHandlers


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (200, ValueError),
        (600, ValueError),
        ("404", TypeError),
        (object, TypeError),
        (KeyboardInterrupt, TypeError),
    ],
)
def test_errorhandler_accepts_only_error_statuses_and_exception_classes(key, error):
    with pytest.raises(error, match=r"errorhandler\(.*write a status"):
        App().errorhandler(key)(lambda request, error: "")


def test_a_handler_has_to_take_the_request_and_the_error():
    with pytest.raises(TypeError, match=r"def handler\(request, error\)"):
        App().errorhandler(404)(lambda error: "")


def test_a_second_handler_for_the_same_error_is_refused():
    app = App()
    app.errorhandler(HTTPException)(lambda request, error: "")

    with pytest.raises(ValueError, match=r"already answered by .*<lambda>.*remove one"):
        app.errorhandler(HTTPException)(lambda request, error: "")


def test_a_handler_is_looked_up_by_status_and_then_by_class():
    handlers = ErrorHandlers()
    keys = {404: lambda request, error: "status", NotFound: lambda request, error: "class"}
    for key, handler in keys.items():
        handlers.add(key, handler)

    assert handlers.find(NotFound()) is keys[404]
    assert handlers.find(BadRequest()) is None
    assert handlers.find(KeyError()) is None
