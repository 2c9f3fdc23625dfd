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
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

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

HeaderFields = Mapping[str, Any] | Iterable[tuple[str, Any]]


def make_response(
    reply: object, view: View, status: int | None = None, extra: HeaderFields = ()
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
    if isinstance(body, Iterator):
        response = _stream(body, view)
    else:
        content, content_type = _render(body, view)
        response = Response(content, content_type=content_type)
    response.status = status_line(status)
    response.headers.update(Headers(extra))
    response.headers.update(headers)
    return response


def status_line(code: int) -> str:
    """Give a status its registered phrase, in the registered spelling (werkzeug would shout it)."""
    return f"{code} {HTTP_STATUS_CODES.get(code, 'Unknown')}"


def _unpack(reply: object, view: View, status: int | None) -> tuple[object, int, Headers]:
    if not isinstance(reply, tuple):
        return reply, status or (204 if reply is None else 200), Headers()
    if len(reply) not in (2, 3):
        raise TypeError(f"view {describe(view)} returned a tuple of {len(reply)}; {_MAY_RETURN}")
    body, status, *rest = reply
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise TypeError(
            f"view {describe(view)} returned the status {status!r}; "
            "a status is an int from 200 to 599"
        )
    try:
        return body, status, Headers(*rest)
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


def _stream(items: Iterator[object], view: View) -> Response:
    """Answer with the items as they come; the source is closed with the response."""
    close = getattr(items, "close", None)
    try:
        first = next(items, b"")
        head = _encode_item(first, view)
    except BaseException:
        if close is not None:
            close()
        raise
    content_type = TEXT if isinstance(first, str) else BYTES
    response = Response(_chunks(head, items, view), content_type=content_type)
    if close is not None:
        response.call_on_close(close)
    return response


def _chunks(head: bytes, rest: Iterator[object], view: View) -> Iterator[bytes]:
    yield head
    for item in rest:
        yield _encode_item(item, view)


def _encode_item(item: object, view: View) -> bytes:
    if isinstance(item, bytes):
        return item
    if isinstance(item, str):
        return _encode(item)
    raise TypeError(
        f"view {describe(view)} yielded {type(item).__name__}; a stream yields bytes or str"
    )
