"""What a view returned, made a response.

A view returns a body, ``(body, status)`` or ``(body, status, headers)``. The body's type picks the
content type, and a header given beside it wins. A ``Response`` goes out as it is. Everything else
is an error that names the view.

A stream is asked for its first item before the response starts. So the item's type picks the
content type, and a generator may still ``abort()``, or fail as any view fails, before its first
``yield``.

Most replies are text or JSON that nobody looks at again: ``render`` makes of them what PEP 3333 wants, a
status, a list of fields and a body, and no ``Response``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.utils import redirect as _redirect
from werkzeug.wrappers import Response

from wsgiserve.web.encoding import encode_json
from wsgiserve.web.head import Fields, status_line
from wsgiserve.web.media_types import BYTES, JSON, TEXT
from wsgiserve.web.views import View, describe

Rendered = tuple[str, Fields, Iterable[bytes]]
"""The status line, the header fields and the body, as PEP 3333 wants them; the body may have ``close()``."""

_MAY_RETURN = (
    "a view returns str, bytes, dict, list, a dataclass, None, an iterator of bytes or str, a Response, "
    "(body, status) or (body, status, headers)"
)
_OK = status_line(200)
_TEXT_FIELD, _JSON_FIELD = ("Content-Type", TEXT), ("Content-Type", JSON)
_BODILESS = (204, 304)  # RFC 9110 sections 15.3.5 and 15.4.5


def render(
    reply: object, view: View, status: int | None = None, extra: Headers | None = None
) -> Rendered | Response:
    """Turn what a view returned into what a server wants; a Response stays what it is.

    ``status`` and ``extra`` header fields apply where the reply has none of its own; a returned
    HTTPException is raised; TypeError says which view returned what.
    """
    if status is None and extra is None:  # the common ones, for which the rest would find the same
        kind = type(reply)
        if kind is str:
            content = _encode(cast(str, reply))
            return _OK, [_TEXT_FIELD, ("Content-Length", str(len(content)))], [content]
        if kind is dict or kind is list:
            content = _dump(reply, view)
            return _OK, [_JSON_FIELD, ("Content-Length", str(len(content)))], [content]
    if isinstance(reply, Response):
        return reply
    if isinstance(reply, HTTPException):
        raise reply
    body, code, headers = _unpack(reply, view, status)
    fields, result = _content(body, view)
    for more in (extra, headers):
        if more:
            names = {name.lower() for name, _ in more}
            fields = [*(field for field in fields if field[0].lower() not in names), *more]
    if code in _BODILESS:
        fields = [field for field in fields if field[0].lower() not in ("content-type", "content-length")]
        result = without_body(result)
    return status_line(code), fields, result


def make_response(
    reply: object, view: View, status: int | None = None, extra: Headers | None = None
) -> Response:
    """Turn what a view returned into a Response, as ``render`` does, for those who want to change it."""
    return to_response(render(reply, view, status, extra))


def to_response(answer: Rendered | Response) -> Response:
    """Make a Response of a rendered reply."""
    if isinstance(answer, Response):
        return answer
    status, fields, body = answer
    response = Response(body, status, fields)
    if isinstance(body, list):
        response.headers.remove("Content-Length")  # werkzeug counts anew, since the body may be changed
    if not any(name.lower() == "content-type" for name, _ in fields):
        response.headers.remove("Content-Type")  # werkzeug's default, also for what has no content
    return response


def without_body(body: Iterable[bytes]) -> list[bytes]:
    """Give the body of the answer to HEAD: none. The one it would have is closed."""
    close_items(body)
    return []


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | Fields | None = None
) -> Response:
    """Make a response of any JSON value; a Content-Type among the headers wins.

    TypeError or ValueError for what is not JSON.
    """
    response = Response(encode_json(value), status_line(status), content_type=JSON)
    response.headers.update(headers or {})
    return response


def redirect(location: str, code: int = 302) -> Response:
    """Send the client to another place: 302, 303 (after a POST), 307, 301 or 308.

    The location is taken as it is: check one that comes from the client. ValueError for another status.
    """
    if code not in (301, 302, 303, 307, 308):
        raise ValueError(f"redirect with status {code}: write 301, 302, 303, 307 or 308")
    response = _redirect(location, code)
    response.status = status_line(code)
    return response


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
    return body, status, _headers(rest[0], view) if rest else None


def _headers(given: Any, view: View) -> Headers:
    try:
        headers = Headers(given)
        "".join(f"{name}{value}" for name, value in headers).encode("latin-1")  # PEP 3333
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"view {describe(view)} returned headers {given!r} ({error}); "
            "headers are a dict or a list of (name, value)"
        ) from None
    return headers


def _content(body: object, view: View) -> tuple[Fields, Iterable[bytes]]:
    if isinstance(body, Iterator):
        stream = _Stream(body, view)
        return [("Content-Type", stream.content_type)], stream
    content, content_type = _render(body, view)
    return [("Content-Type", content_type), ("Content-Length", str(len(content)))], [content]


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
    if hasattr(type(body), "__dataclass_fields__"):
        return _dump(body, view), JSON
    raise TypeError(f"view {describe(view)} returned {type(body).__name__}; {_MAY_RETURN}")


def close_items(items: Iterable[object]) -> None:
    """Close a body, if it can be."""
    close = getattr(items, "close", None)
    if close is not None:
        close()


def _encode(text: str) -> bytes:
    # A client's JSON may hold a lone surrogate, which has no UTF-8 form: not worth a 500.
    return text.encode("utf-8", "replace")


def _dump(body: object, view: View) -> bytes:
    try:
        return encode_json(body)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"view {describe(view)} returned a {type(body).__name__} that is not JSON: {error}"
        ) from error


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
        close_items(self._items)

    def _encode(self, item: object) -> bytes:
        match item:
            case bytes():
                return item
            case str():
                return _encode(item)
        raise TypeError(
            f"view {describe(self._view)} yielded {type(item).__name__}; a stream yields bytes or str"
        )
