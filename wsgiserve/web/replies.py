"""Replies of views, turned into responses.

A view returns a body, ``(body, status)`` or ``(body, status, headers)``. The type of the body chooses the
Content-Type, unless the headers have one. A ``Response`` is sent unchanged. Any other value is an error that
names the view.

The first item of a stream is read before the response starts. The type of that item chooses the Content-Type,
and a generator may still ``abort()`` or raise before its first ``yield``.

Most replies are text or JSON, and no code changes them. ``render`` turns them directly into a status line,
header fields and a body for PEP 3333, without a ``Response``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.utils import redirect as _redirect
from werkzeug.wrappers import Response

from wsgiserve.web.encoding import encode_json
from wsgiserve.web.head import Fields, Rendered, status_line
from wsgiserve.web.media_types import BYTES, HTML, JSON, TEXT
from wsgiserve.web.views import View, describe

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
    """Turn a reply into status line, fields and body; a Response stays a Response.

    ``status`` and ``extra`` header fields apply unless the reply has its own. A returned HTTPException is
    raised. TypeError for an invalid reply; the message names the view.
    """
    if status is None and extra is None:  # a shortcut for the most common types
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
    """Turn a reply into a Response, for code that changes it."""
    return to_response(render(reply, view, status, extra))


def to_response(answer: Rendered | Response) -> Response:
    """Turn a rendered reply into a Response."""
    if isinstance(answer, Response):
        return answer
    status, fields, body = answer
    response = Response(body, status, fields)
    if isinstance(body, list):
        response.headers.remove("Content-Length")  # werkzeug counts again, because a hook may change the body
    if not any(name.lower() == "content-type" for name, _ in fields):
        response.headers.remove("Content-Type")  # werkzeug sets a default even without content
    return response


def without_body(body: Iterable[bytes]) -> list[bytes]:
    """Close a body; return the empty body of an answer to HEAD."""
    close_items(body)
    return []


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | Fields | None = None
) -> Response:
    """Return a response of any JSON value; a Content-Type in ``headers`` replaces the default.

    TypeError or ValueError for a value that is not JSON.
    """
    response = Response(encode_json(value), status_line(status), content_type=JSON)
    response.headers.update(headers or {})
    return response


def html(text: str, status: int = 200, headers: Mapping[str, str] | Fields | None = None) -> Response:
    """Return a page; ``text`` is sent as it is, so escape what is not yours (``html.escape``, a template)."""
    response = Response(_encode(text), status_line(status), content_type=HTML)
    response.headers.update(headers or {})
    return response


def redirect(location: str, code: int = 302) -> Response:
    """Return a redirect: 302, 303 (after a POST), 307, 301 or 308; ValueError for another status.

    The location is not checked: never pass one that comes from a client.
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
    described = hasattr(body, "__dataclass_fields__") or hasattr(body, "__struct_fields__")
    if described and not isinstance(body, type):
        return _dump(body, view), JSON
    raise TypeError(f"view {describe(view)} returned {type(body).__name__}; {_MAY_RETURN}")


def close_items(items: Iterable[object]) -> None:
    """Call ``close()`` of a body, if it has one."""
    close = getattr(items, "close", None)
    if close is not None:
        close()


def _encode(text: str) -> bytes:
    # Text from a client's JSON may hold a lone surrogate, which UTF-8 cannot encode. That must not be a 500.
    return text.encode("utf-8", "replace")


def _dump(body: object, view: View) -> bytes:
    try:
        return encode_json(body)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"view {describe(view)} returned a {type(body).__name__} that is not JSON: {error}"
        ) from error


class _Stream:
    """The encoded items of a view's iterator; closing the response closes the iterator."""

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
