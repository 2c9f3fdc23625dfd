"""What a view returned, made a response.

A view returns a body, ``(body, status)`` or ``(body, status, headers)``. The body's type picks the
content type, and a header given beside it wins. A ``Response`` goes out as it is. Everything else
is an error that names the view.

A stream is asked for its first item before the response starts. So the item's type picks the
content type, and a generator may still ``abort()``, or fail as any view fails, before its first
``yield``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.wrappers import Response

from wsgiserve.web.views import View, describe

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"
JSON = "application/json"

_MAY_RETURN = (
    "a view returns str, bytes, dict, list, None, an iterator of bytes or str, a Response, "
    "(body, status) or (body, status, headers)"
)


Rendered = tuple[str, list[tuple[str, str]], Iterable[bytes]]


def render(
    reply: object, view: View, status: int | None = None, extra: Headers | None = None
) -> Rendered | Response:
    """Do what ``make_response`` does, as (status line, headers, body) where no Response is needed."""
    if type(reply) is str and status is None and extra is None:
        body = _encode(reply)
        return "200 OK", [("Content-Type", TEXT), ("Content-Length", str(len(body)))], [body]
    if type(reply) is dict and status is None and extra is None:
        body = _dump(reply, view)
        return "200 OK", [("Content-Type", JSON), ("Content-Length", str(len(body)))], [body]
    return make_response(reply, view, status, extra)


def make_response(
    reply: object, view: View, status: int | None = None, extra: Headers | None = None
) -> Response:
    """Turn what a view returned into a response.

    ``status`` and ``extra`` header fields apply where the reply has none of its own; a returned
    HTTPException is raised; TypeError says which view returned what.
    """
    if isinstance(reply, Response):
        return reply
    if isinstance(reply, HTTPException):
        raise reply
    body, status, headers = _unpack(reply, view, status)
    content: bytes | _Stream
    if isinstance(body, Iterator):
        content = _Stream(body, view)
        content_type = content.content_type
    else:
        content, content_type = _render(body, view)
    response = Response(content, status_line(status), content_type=content_type)
    for fields in (extra, headers):
        if fields:
            response.headers.update(fields)
    return response


def status_line(code: int) -> str:
    """Give a status its registered phrase, in the registered spelling (werkzeug would shout it)."""
    return f"{code} {HTTP_STATUS_CODES.get(code, 'Unknown')}"


def _unpack(reply: object, view: View, status: int | None) -> tuple[object, int, Headers | None]:
    if not isinstance(reply, tuple):
        return reply, status or (204 if reply is None else 200), None
    if len(reply) not in (2, 3):
        raise TypeError(f"view {describe(view)} returned a tuple of {len(reply)}; {_MAY_RETURN}")
    body, status, *rest = reply
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise TypeError(
            f"view {describe(view)} returned the status {status!r}; a status is an int from 200 to 599"
        )
    try:
        return body, status, Headers(*rest) if rest else None
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"view {describe(view)} returned headers {rest[0]!r} ({error}); "
            "headers are a dict or a list of (name, value)"
        ) from None


def _render(body: object, view: View) -> tuple[bytes, str]:
    match body:
        case None:
            return b"", TEXT
        case str():
            return _encode(body), TEXT
        case bytes() | bytearray() | memoryview():
            return bytes(body), BYTES
        case dict() | list():
            return _dump(body, view), JSON
    raise TypeError(f"view {describe(view)} returned {type(body).__name__}; {_MAY_RETURN}")


def _encode(text: str) -> bytes:
    # A client's JSON may hold a lone surrogate, which has no UTF-8 form: not worth a 500.
    return text.encode("utf-8", "replace")


def _dump(body: object, view: View) -> bytes:
    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"view {describe(view)} returned a {type(body).__name__} that is not JSON: {error}"
        ) from error
    # Lone surrogates come out as \udxxx, which is their form in JSON.
    return text.encode("utf-8", "backslashreplace")


class _Stream:
    """The encoded items of a view's iterator, which is closed with the response."""

    def __init__(self, items: Iterator[object], view: View) -> None:
        self._items = items
        self._view = view
        try:
            first = next(items, b"")
            self._first = self._encode(first)
        except BaseException:
            self.close()
            raise
        self.content_type = TEXT if isinstance(first, str) else BYTES

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        for item in self._items:
            yield self._encode(item)

    def close(self) -> None:
        close = getattr(self._items, "close", None)
        if close is not None:
            close()

    def _encode(self, item: object) -> bytes:
        match item:
            case bytes():
                return item
            case str():
                return _encode(item)
        raise TypeError(
            f"view {describe(self._view)} yielded {type(item).__name__}; a stream yields bytes or str"
        )
