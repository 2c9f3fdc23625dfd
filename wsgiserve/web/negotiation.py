"""Content negotiation: choose a media type by the client's ``Accept`` field (RFC 9110 section 12.5.1).

The most precise range decides about a type, so ``text/html;q=0, */*`` excludes HTML. Parameters of ranges are
ignored, because clients send ``application/json; charset=utf-8``.
"""

from __future__ import annotations

from collections.abc import Mapping

from werkzeug.exceptions import NotAcceptable
from werkzeug.http import parse_accept_header

from wsgiserve.web.requests import Request


def negotiate(request: Request, *types: str) -> str:
    """Return the offered media type that the client prefers; of equally preferred types, the first.

    Without an ``Accept`` field, return the first type. If the client accepts no type, raise a 406 that lists
    them.
    """
    if not types:
        raise TypeError("negotiate() has nothing to offer; write negotiate(request, 'text/html', ...)")
    accept = request.environ.get("HTTP_ACCEPT", "")
    if not accept.strip():
        return types[0]
    ranges = media_ranges(accept)
    best = max(types, key=lambda offered: quality(ranges, offered, "*/*"))
    if not quality(ranges, best, "*/*"):
        raise NotAcceptable(f"There is only {', '.join(types)}.")
    return best


def media_ranges(accept: str) -> Mapping[str, float]:
    """Parse an ``Accept`` field: each range, in lower case, with its quality from 0 to 1."""
    ranges: dict[str, float] = {}
    for value, weight in parse_accept_header(accept):
        name = value.partition(";")[0].strip().lower()
        ranges[name] = max(weight, ranges.get(name, 0))
    return ranges


def quality(ranges: Mapping[str, float], offered: str, *wider: str) -> float:
    """Return the quality of a type, by its range, else its group such as ``text/*``, else ``wider``."""
    name = offered.partition(";")[0].strip().lower()
    known = (name, f"{name.partition('/')[0]}/*", *wider)
    return next((ranges[range] for range in known if range in ranges), 0)
