"""Conditional requests (RFC 9110 §13): proceed, answer "not modified", or refuse.

The functions get header fields and the validators of the current version, and return a decision. They use no
file and no clock.

The order is that of §13.2.2: If-Match, else If-Unmodified-Since; then If-None-Match, else If-Modified-Since;
then If-Range, if the request has a Range.

* If-Match and If-None-Match turn off the date field beside them, even when they are malformed.
* Malformed dates are ignored, as the RFC asks. Malformed entity tags match nothing; then PUT, POST and DELETE
  are refused, because nobody knows which version the client wanted to protect.
* Tags and dates are parsed strictly. werkzeug's parser accepts tags without quotes, and dates such as "1994".
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Iterator, Mapping
from typing import Literal

from wsgiserve.files.validators import Validators

Outcome = Literal["proceed", "not modified", "failed"]

CONDITIONS = (
    "HTTP_IF_MATCH",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_UNMODIFIED_SINCE",
)
"""The keys of the WSGI environ that ``evaluate`` reads."""


def evaluate(method: str, fields: Mapping[str, str], current: Validators | None) -> Outcome:
    """Evaluate the conditions in ``fields``, a WSGI environ; ``current`` is None if there is no file.

    Answer "not modified" with 304 and "failed" with 412.
    """
    reading = method in ("GET", "HEAD")
    if (tags := fields.get("HTTP_IF_MATCH")) is not None:
        if not _matches(tags, current, strongly=True):
            return "failed"
    elif (
        (date := parse_date(fields.get("HTTP_IF_UNMODIFIED_SINCE", ""))) is not None
        and current is not None
        and current.modified > date
    ):
        return "failed"
    if (tags := fields.get("HTTP_IF_NONE_MATCH")) is not None:
        if _matches(tags, current, strongly=False):
            return "not modified" if reading else "failed"
        if not reading and not _readable(tags):
            return "failed"
    elif (
        reading
        and (date := parse_date(fields.get("HTTP_IF_MODIFIED_SINCE", ""))) is not None
        and current is not None
        and current.modified <= date
    ):
        return "not modified"
    return "proceed"


def part_is_wanted(fields: Mapping[str, str], current: Validators) -> bool:
    """Whether the Range applies: there is no If-Range (§13.1.5), or it names the current version."""
    value = fields.get("HTTP_IF_RANGE")
    if value is None:
        return True
    if value.endswith('"'):
        return value == current.etag and not value.startswith("W/")
    return current.settled and parse_date(value) == current.modified


# §8.8.3: etagc is "!", or any character from "#" on except DEL. So a tag may hold commas, but no quotes.
_TAG = re.compile(r'(?:W/)?"[!#-~\x80-\xff]*"')
# §5.6.1.2: empty elements are accepted. Tags are replaced by "" before, so that the match takes linear time.
_LIST = re.compile(r'[ \t,]*""(?:[ \t]*,[ \t,]*"")*[ \t,]*')


def _readable(field: str) -> bool:
    return field == "*" or _LIST.fullmatch(_TAG.sub('""', field)) is not None


def _matches(field: str, current: Validators | None, *, strongly: bool) -> bool:
    """Compare a list of tags, or ``*``, with the current version (§8.8.3.2)."""
    if current is None or not _readable(field):
        return False
    if field == "*":
        return True
    if strongly:
        return not current.etag.startswith("W/") and current.etag in _tags(field)
    opaque = current.etag.removeprefix("W/")
    return any(tag.removeprefix("W/") == opaque for tag in _tags(field))


def _tags(field: str) -> Iterator[str]:
    return (match[0] for match in _TAG.finditer(field))


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_CLOCK = r"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_SHORT = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
# §5.6.7: IMF-fixdate, and the two obsolete forms that a recipient has to accept.
_DATES = [
    re.compile(rf"{_SHORT}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_CLOCK} GMT"),
    re.compile(rf"{_LONG}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_CLOCK} GMT"),
    re.compile(rf"{_SHORT} {_MONTH} (?P<day>[ 0-9][0-9]) {_CLOCK} (?P<year>[0-9]{{4}})"),
]


def parse_date(text: str) -> int | None:
    """Return an HTTP-date (§5.6.7) in seconds since 1970, or None for any other text."""
    match = next((match for form in _DATES if (match := form.fullmatch(text))), None)
    if match is None:
        return None
    year, day = int(match["year"]), int(match["day"])
    month = _MONTHS.index(match["month"]) + 1
    if len(match["year"]) == 2:
        year = _full_year(year)
    if not (year >= 1 and 1 <= day <= calendar.monthrange(year, month)[1]):
        return None
    clock = int(match["hour"]), int(match["minute"]), int(match["second"])
    return calendar.timegm((year, month, day, *clock))


def format_date(seconds: int) -> str:
    """Render an IMF-fixdate (§5.6.7)."""
    year, month, day, hour, minute, second, weekday, *_ = time.gmtime(seconds)
    name = f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04}"
    return f"{name} {hour:02}:{minute:02}:{second:02} GMT"


def _full_year(two_digits: int) -> int:
    """§5.6.7: a date more than 50 years ahead means the last year with the same two digits."""
    now = time.gmtime().tm_year
    year = now - now % 100 + two_digits
    return year - 100 if year > now + 50 else year
