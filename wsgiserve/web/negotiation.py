"""What a client would rather have: its ``Accept`` field against what there is (RFC 9110 section 12.5.1).

The range that names a type most precisely decides about it, so that ``text/html;q=0, */*`` takes no HTML.
Parameters of ranges are not looked at: clients send ``application/json; charset=utf-8``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from werkzeug.exceptions import NotAcceptable
from werkzeug.http import parse_accept_header

if TYPE_CHECKING:
    from wsgiserve.web.requests import Request


def negotiate(request: Request, *types: str) -> str:
    """Choose of the offered media types the one that the client likes best, at a tie the first.

    Without an ``Accept`` field that is the first. If it takes none, a 406 says which there are.
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
    """Read an ``Accept`` field: each range in lower case, and how much it is liked, from 0 to 1."""
    ranges: dict[str, float] = {}
    for value, liked in parse_accept_header(accept):
        name = value.partition(";")[0].strip().lower()
        ranges[name] = max(liked, ranges.get(name, 0))
    return ranges


def quality(ranges: Mapping[str, float], offered: str, *wider: str) -> float:
    """Say how much a type is liked, by the ranges that name it or its group, or else by ``wider`` ones."""
    name = offered.partition(";")[0].strip().lower()
    known = (name, f"{name.partition('/')[0]}/*", *wider)
    return next((ranges[range] for range in known if range in ranges), 0)
