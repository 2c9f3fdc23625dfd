"""What goes wrong, made a response: the handlers an application registered, else a plain answer.

A handler is found by status first, then along the error's class hierarchy. An exception that nobody
handles is logged with its traceback and becomes an InternalServerError, which a handler for 500 may
answer. What a handler raises itself is not handed to handlers again.
"""

from __future__ import annotations

import logging
from html import escape
from urllib.parse import quote

from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.wrappers import Request, Response

from wsgiserve.web.replies import TEXT, make_response, status_line
from wsgiserve.web.views import View, check, describe

logger = logging.getLogger("wsgiserve.app")

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>:root {{ color-scheme: light dark; font: 1rem system-ui, sans-serif; margin: 3rem }}</style>
<h1>{title}</h1>
<p>{text}</p>
"""


class ErrorHandlers:
    """The handlers of an application, by status or exception class."""

    def __init__(self) -> None:
        self._handlers: dict[int | type[Exception], View] = {}

    def add(self, key: int | type[Exception], handler: View) -> None:
        """Register a handler; TypeError or ValueError for what cannot be one."""
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

    def answer(self, request: Request, error: Exception) -> Response:
        """Answer an exception that a view, the routing or a reply raised."""
        try:
            return self._handle(request, error)
        except HTTPException as raised:
            return plain_answer(request, raised)
        except Exception as raised:  # noqa: BLE001 -- the boundary: logged and answered
            _log(request, raised)
            return plain_answer(request, InternalServerError(original_exception=raised))

    def _handle(self, request: Request, error: Exception) -> Response:
        handler = self._find(error)
        if handler is None and not isinstance(error, HTTPException):
            _log(request, error)
            error = InternalServerError(original_exception=error)
            handler = self._find(error)
        if handler is None:
            raise error
        status, headers = 500, Headers()
        if isinstance(error, HTTPException):
            status, headers = error.code or 500, _own_headers(request, error)
        return make_response(handler(request, error), handler, status, headers)

    def _find(self, error: Exception) -> View | None:
        if isinstance(error, HTTPException):
            if error.response is not None:  # abort(response): the answer is there already
                return None
            if error.code in self._handlers:
                return self._handlers[error.code]
        classes = (cls for cls in type(error).__mro__ if cls in self._handlers)
        return next((self._handlers[cls] for cls in classes), None)


def plain_answer(request: Request, error: HTTPException) -> Response:
    """Answer with the error's description: a page for who asks for HTML, else text."""
    if isinstance(error.response, Response):
        return error.response
    text = str(error.description or error.name)
    offered = ("text/plain", "text/html")
    if request.accept_mimetypes.best_match(offered) == "text/html":
        title = f"{error.code or 500} {error.name}"
        body, content_type = (
            _PAGE.format(title=escape(title), text=escape(text)),
            "text/html; charset=utf-8",
        )
    else:
        body, content_type = f"{text}\n", TEXT
    headers = _own_headers(request, error)
    headers["Vary"] = "Accept"
    headers["X-Content-Type-Options"] = "nosniff"
    content = body.encode("utf-8", "replace")
    status = status_line(error.code or 500)
    return Response(content, status, headers, content_type=content_type)


def _own_headers(request: Request, error: HTTPException) -> Headers:
    """Read what the error itself has to say, such as Allow or Retry-After."""
    headers = Headers(error.get_headers(request.environ))
    headers.remove("Content-Type")
    return headers


def _log(request: Request, error: Exception) -> None:
    # Quoted, so that no path can write a line of its own into the log.
    line = quote(f"{request.method} {request.path}", safe="/ !$&'()*+,:;=@")
    logger.error("%s: %s: %s", line, type(error).__name__, error, exc_info=error)
