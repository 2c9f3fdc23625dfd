"""Answers to errors: by a registered handler, or else by the default of ``problems``.

A handler is looked up by status first, then by the classes of the error. Each group has a table of handlers,
and the nearest group is asked first. An unhandled exception is logged with its traceback and becomes an
InternalServerError, which a handler for 500 may answer. An exception of a handler goes to no other handler.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.wrappers import Response

from wsgiserve.web.problems import own_fields, present
from wsgiserve.web.replies import Rendered, render
from wsgiserve.web.views import View, check, describe

if TYPE_CHECKING:
    from wsgiserve.web.requests import Request

logger = logging.getLogger("wsgiserve.app")

DEBUGGER = "wsgiserve.debugger"
"""The key of the environ for a function ``(request, error)`` that returns a page for an unhandled error."""


class ErrorHandlers:
    """A table of handlers, by status or exception class."""

    def __init__(self) -> None:
        self._handlers: dict[int | type[Exception], View] = {}

    def add(self, key: int | type[Exception], handler: View) -> None:
        """Register a handler; TypeError or ValueError for an invalid key or handler."""
        if isinstance(key, int) and not 400 <= key <= 599:
            raise ValueError(f"errorhandler({key}): write a status from 400 to 599")
        if not isinstance(key, int) and not (isinstance(key, type) and issubclass(key, Exception)):
            raise TypeError(f"errorhandler({key!r}): write a status or an exception class")
        check(handler, f"errorhandler({key!r})", (), "def handler(request, error)", positional=2)
        if key in self._handlers:
            raise ValueError(
                f"errorhandler({key!r}) of {describe(handler)} is already answered by "
                f"{describe(self._handlers[key])}; remove one of them"
            )
        self._handlers[key] = handler

    def find(self, error: Exception) -> View | None:
        """Find the handler of an error."""
        if not self._handlers:
            return None
        if isinstance(error, HTTPException):
            if error.response is not None:  # abort(response) answers by itself
                return None
            if error.code in self._handlers:
                return self._handlers[error.code]
        classes = (cls for cls in type(error).__mro__ if cls in self._handlers)
        return next((self._handlers[cls] for cls in classes), None)

    def answer(
        self, request: Request, error: Exception, farther: Sequence[ErrorHandlers] = ()
    ) -> Rendered | Response:
        """Answer an exception of a view, of the routing or of a reply.

        ``farther`` are the tables to ask after this one, the nearest first.
        """
        try:
            return _handle(request, error, (self, *farther))
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
    # Quoted, so that no path can add a line to the log.
    line = quote(f"{request.method} {request.path}", safe="/ !$&'()*+,:;=@")
    id = "" if request.id is None else f" [{request.id}]"
    logger.error("%s%s: %s: %s", line, id, type(error).__name__, error, exc_info=error)
    return InternalServerError(original_exception=error)
