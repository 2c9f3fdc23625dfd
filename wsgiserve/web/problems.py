"""The default answer to an error: an HTML page, a problem document (RFC 9457), or a line of text.

A client whose Accept names HTML gets a page, and a client whose Accept names JSON gets a problem document.
All others get text, such as curl with its ``*/*``. The answer never repeats input and tells nothing about the
program. A 5xx has the request's id, which the log line has too.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any, Literal

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from wsgiserve.web.encoding import encode_json
from wsgiserve.web.head import Fields, Rendered, status_line
from wsgiserve.web.media_types import TEXT
from wsgiserve.web.negotiation import media_ranges, quality
from wsgiserve.web.requests import Request

Format = Literal["json", "html", "text"]

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>:root {{ color-scheme: light dark; font: 1rem system-ui, sans-serif; margin: 3rem }}</style>
<h1>{title}</h1>
<p>{text}</p>
"""


class Problem(HTTPException):
    """An error with details for API clients (RFC 9457 section 3).

    ``detail`` is a text for people; pages and plain text show it too. ``type`` is a URI of the kind of
    problem and ``title`` its short name. ``instance`` is a URI of this occurrence. ``members`` are further
    JSON values. ValueError for a status outside 400 to 599; TypeError or ValueError for members that are not
    JSON.
    """

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        *,
        type: str = "about:blank",
        title: str | None = None,
        instance: str | None = None,
        **members: Any,
    ) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"Problem({status}): write a status from 400 to 599")
        encode_json(members)  # raise now, not while the error is answered
        super().__init__(detail)
        self.code = status
        self.document = {"type": type, "title": title, "instance": instance, **members}


def present(request: Request, error: HTTPException) -> Rendered | Response:
    """Make the default answer to an error."""
    if isinstance(error.response, Response):
        return error.response
    status = error.code or 500
    id = request.id if status >= 500 else None
    content_type, write = _WRITERS[preferred(request.environ.get("HTTP_ACCEPT"))]
    content = write(error, status, id)
    fields = [
        ("Content-Type", content_type),
        ("Content-Length", str(len(content))),
        ("Vary", "Accept"),
        ("X-Content-Type-Options", "nosniff"),
        *own_fields(request, error),
    ]
    return status_line(status), fields, [content]


def own_fields(request: Request, error: HTTPException) -> Fields:
    """Return the error's own fields, such as Allow or Retry-After, and for a 5xx the request's id."""
    fields = [field for field in error.get_headers(request.environ) if field[0].lower() != "content-type"]
    if (error.code or 500) >= 500 and request.id is not None:
        fields.append(("X-Request-Id", request.id))
    return fields


def preferred(accept: str | None) -> Format:
    """Choose the format of an error; ``*/*`` means text."""
    if not accept or accept == "*/*":
        return "text"
    ranges = media_ranges(accept)
    wishes: list[tuple[Format, float]] = [
        ("json", max(quality(ranges, f"application/{name}") for name in ("json", "problem+json"))),
        ("html", quality(ranges, "text/html")),
        ("text", quality(ranges, "text/plain")),
    ]
    format, liked = max(wishes, key=lambda wish: wish[1])
    return format if liked else "text"


def _text(error: HTTPException, status: int, id: str | None) -> bytes:
    text = f"{error.description or error.name}\n"
    return (text if id is None else f"{text}Request id: {id}\n").encode("utf-8", "replace")


def _html(error: HTTPException, status: int, id: str | None) -> bytes:
    page = _PAGE.format(
        title=escape(f"{status} {_title(error)}"), text=escape(f"{error.description or error.name}")
    )
    return (page if id is None else f"{page}<p>Request id: {escape(id)}</p>\n").encode("utf-8", "replace")


def _json(error: HTTPException, status: int, id: str | None) -> bytes:
    document = {
        "type": "about:blank",
        "title": error.name,
        "status": status,
        "detail": error.description and str(error.description),
        "request_id": id,
    }
    if isinstance(error, Problem):
        document |= error.document | {"title": _title(error)}
    return encode_json({name: value for name, value in document.items() if value is not None})


def _title(error: HTTPException) -> str:
    title: str | None = error.document["title"] if isinstance(error, Problem) else None
    return error.name if title is None else title


_WRITERS: dict[Format, tuple[str, Callable[[HTTPException, int, str | None], bytes]]] = {
    "json": ("application/problem+json", _json),
    "html": ("text/html; charset=utf-8", _html),
    "text": (TEXT, _text),
}
