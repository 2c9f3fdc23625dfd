"""Content negotiation: choose a media type by the client's ``Accept`` field (RFC 9110 section 12.5.1).

The most precise range decides about a type, so ``text/html;q=0, */*`` excludes HTML. Parameters of ranges are
ignored, because clients send ``application/json; charset=utf-8``. Clients in use write more than the grammar
has: ``*`` for ``*/*`` and ``q=.2`` (older Java), and other parameters behind the weight. A range with any
other weight is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from werkzeug.exceptions import NotAcceptable

if TYPE_CHECKING:
    from wsgiserve.web.requests import Request

# Elements end at a comma, and parameters at a semicolon, unless it stands in quotes. A quote may lack its
# end: so the patterns never fail, and take linear time.
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_PARAMETER = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*"?)+')
_WEIGHT = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")


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
    for element in _ELEMENT.findall(accept):
        name, *parameters = _PARAMETER.findall(element) or [""]
        name = name.strip().lower()
        weight = _weight(parameters)
        if name and weight is not None:
            name = "*/*" if name == "*" else name
            ranges[name] = max(weight, ranges.get(name, 0))
    return ranges


def _weight(parameters: list[str]) -> float | None:
    """Return the weight among the parameters of a range, 1 if there is none, None if it is no number."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            return min(float(value), 1) if _WEIGHT.fullmatch(value := value.strip()) else None
    return 1


def quality(ranges: Mapping[str, float], offered: str, *wider: str) -> float:
    """Return the quality of a type, by its range, else its group such as ``text/*``, else ``wider``."""
    name = offered.partition(";")[0].strip().lower()
    known = (name, f"{name.partition('/')[0]}/*", *wider)
    return next((ranges[range] for range in known if range in ranges), 0)
