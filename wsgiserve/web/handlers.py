"""Tables of error handlers, by status or exception class."""

from __future__ import annotations

from werkzeug.exceptions import HTTPException

from wsgiserve.web.views import View, check, describe


class ErrorHandlers:
    """The error handlers of one group: looked up by status first, then by the classes of the error."""

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
