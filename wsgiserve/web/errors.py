"""Answers to errors: by a registered handler, or else by the default of ``problems``.

Each group has a table of handlers, and the nearest group is asked first. An unhandled exception is logged
with its traceback and becomes an InternalServerError, which a handler for 500 may answer. An exception of a
handler goes to no other handler.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import cast
from urllib.parse import quote

from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.wrappers import Response

from wsgiserve.web.handlers import ErrorHandlers
from wsgiserve.web.head import Rendered
from wsgiserve.web.problems import own_fields, present
from wsgiserve.web.replies import render
from wsgiserve.web.requests import Request
from wsgiserve.web.views import View

logger = logging.getLogger("wsgiserve.app")

DEBUGGER = "wsgiserve.debugger"
"""The key of the environ for a function ``(request, error)`` that returns a page for an unhandled error."""


def answer_error(request: Request, error: Exception, tables: Sequence[ErrorHandlers]) -> Rendered | Response:
    """Answer an exception of a view, of the routing or of a reply, by the tables, the nearest first."""
    try:
        return _handle(request, error, tables)
    except Exception as raised:
        if getattr(raised, "client_fault", False):  # raised by wsgi.input: the server answers it
            raise
        return present(request, _with_status(request, raised))


def _handle(request: Request, error: Exception, tables: Iterable[ErrorHandlers]) -> Rendered | Response:
    handler = _find(error, tables)
    if handler is None and not isinstance(error, HTTPException):
        unhandled, error = error, _with_status(request, error)
        debug: Callable[[Request, Exception], Response | None] | None = request.environ.get(DEBUGGER)
        if debug is not None and (page := debug(request, unhandled)) is not None:
            return page
        handler = _find(error, tables)
    elif isinstance(error, HTTPException) and error.__cause__ is not None and (error.code or 500) >= 500:
        _log(request, error)  # such as a store whose disk fails: the client gets a status, the log the cause
    if handler is None:
        return present(request, cast(HTTPException, error))
    status, headers = 500, Headers()
    if isinstance(error, HTTPException):
        status, headers = error.code or 500, Headers(own_fields(request, error))
    return render(handler(request, error), handler, status, headers)


def _find(error: Exception, tables: Iterable[ErrorHandlers]) -> View | None:
    return next((handler for table in tables if (handler := table.find(error)) is not None), None)


def _with_status(request: Request, error: Exception) -> HTTPException:
    """Return an error with a status: log any other error, and return an InternalServerError for it."""
    if isinstance(error, HTTPException):
        return error
    _log(request, error)
    return InternalServerError(original_exception=error)


def _log(request: Request, error: Exception) -> None:
    # Quoted, so that no path can add a line to the log.
    line = quote(f"{request.method} {request.path}", safe="/ !$&'()*+,:;=@")
    id = "" if request.id is None else f" [{request.id}]"
    logger.error("%s%s: %s: %s", line, id, type(error).__name__, error, exc_info=error)
