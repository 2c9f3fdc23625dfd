"""The formats of the access log: combined, JSON, logfmt, templates, a terminal's.

A line is made in two steps. ``keep`` makes the part that equal requests share, once for all of them. ``line``
adds the rest: time, user, how the request ended, durations.

Rules
- Making a line is part of the way of each request, so what can be looked up is not formatted. The plain
  combined line costs the least: ``Combined.start`` has all of it but the duration, for a second.
- Whatever a client or the app says is escaped, so that it can neither end a field nor a line, nor reach a
  terminal's controls. All lines are ASCII.
- A line that would be longer than a write (see ``sinks``) has shorter fields.
- The names of JSON and logfmt are those of OpenTelemetry's semantic conventions; what these do not have
  begins with ``wsgiserve.``.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from json.encoder import encode_basestring_ascii as quoted
from math import trunc
from typing import Any, Protocol, TextIO

from wsgiserve.config.log_format import parse_template
from wsgiserve.protocol.request import RequestHead
from wsgiserve.server.access_log import ESCAPES, MAX_USER, combined_time, escaped, shortened, user_text
from wsgiserve.server.system import monotonic, wall_clock

ENDS = ("done", "client left", "timeout", "shed", "refused", "cut")  # see ``recorded``
MAX_LINE = 3400  # characters of all texts of a line, before each of them is shortened
MAX_TEXTS = 2400  # characters that are shared out to the texts of such a line

# W3C Trace Context §3.2: version, trace, parent, flags. All zeros are not valid.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)


# Makes the line of a request from the moments when it began, when the app was called, and when its response
# had left. IndexError if that took long.
Timed = Callable[[float, float, float], bytes]
# All of a line but the microseconds at its end, or a function that makes it.
Plain = tuple[bytes, None] | tuple[None, Timed]


class Record(Protocol):
    """A request that is over. Times are monotonic seconds, 0 for what did not happen.

    The last four are there only for formats that have ``takes_notes``.
    """

    status: int
    user: str
    id: str
    end: str  # why it ended
    started: float
    called: float
    returned: float
    first_byte: float

    @property
    def received(self) -> int:
        """The bytes of its body."""


class Format(Protocol):
    """One format of lines."""

    takes_notes: bool  # each line is made by ``line``, and may say how long parts took; see ``recorded``

    def tick(self, now: float) -> None:
        """Set the clock, once a second."""

    def keep(self, client: str, request: RequestHead, status: int, size: int) -> Any:
        """Return what lines of equal requests have in common."""

    def plain(self, kept: Any) -> Plain | None:
        """Return what makes their plain lines in this second; None if ``line`` makes them."""

    def line(self, kept: Any, record: Record, now: float) -> bytes:
        """Return the line of a request that was over ``now``, in monotonic seconds; b"" for none."""


def make_format(
    name: str, skipped: Collection[str], sample: int, stream: TextIO | None, environ: Mapping[str, str]
) -> Format:
    """Return a format; ``stream`` is there if the lines go to it."""
    format = _format(name, stream, environ)
    return Selection(format, skipped, sample) if skipped or sample > 1 else format


def _format(name: str, stream: TextIO | None, environ: Mapping[str, str]) -> Format:
    if name == "json":
        return Structured(_json_item, "{", ",", "}\n")
    if name == "logfmt":
        return Structured(_logfmt_item, "", " ", "\n")
    if name == "auto" and stream is not None and _is_terminal(stream):
        return Readable(coloured=not environ.get("NO_COLOR") and environ.get("TERM") != "dumb")
    return Combined() if name in ("auto", "combined") else Template(name)


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, OSError, ValueError):
        return False


class Selection:
    """A format without the lines that nobody wants."""

    takes_notes = True

    def __init__(self, format: Format, skipped: Collection[str], sample: int) -> None:
        self.tick = format.tick
        self._format = format
        self._paths = frozenset(skipped)
        self._folders = tuple(path for path in skipped if path != "/" and path.endswith("/"))
        self._sample = sample
        self._counter = itertools.count()

    def keep(self, client: str, request: RequestHead, status: int, size: int) -> Any:
        """Return what lines of equal requests have in common; None if they have none."""
        path = request.path
        if status < 500 and (path in self._paths or path.startswith(self._folders)):
            return None
        return self._format.keep(client, request, status, size)

    def plain(self, kept: Any) -> None:
        """Return None: each line is decided on by itself."""

    def line(self, kept: Any, record: Record, now: float) -> bytes:
        """Return the line of one of ``sample`` requests, and of each that did not go well."""
        sampled = self._sample > 1 and record.status < 500 and record.end == "done"
        if kept is None or (sampled and next(self._counter) % self._sample):
            return b""
        return self._format.line(kept, record, now)


# -- texts


def as_text(value: str) -> str:
    """Return a text from the wire, or from the app, without what is not valid in UTF-8."""
    try:
        return value.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace").decode()


def _json(value: str) -> str:
    return quoted(as_text(value))


def _fitting(values: list[str], escape: Callable[[str], str]) -> list[str]:
    """Escape texts; shorten them if they would make a line too long."""
    texts = [escape(value) for value in values]
    if sum(map(len, texts)) > MAX_LINE:
        most = MAX_TEXTS // len(texts)
        texts = [shortened(value, escape, most) for value in values]
    return texts


def trace_of(request: RequestHead) -> tuple[str, str, str]:
    """Return the ids of a request's trace and of the span that sent it, and its flags; or three times ""."""
    match = _TRACEPARENT.fullmatch(request.fields.get("HTTP_TRACEPARENT", ""))
    return (match[1], match[2], match[3]) if match else ("", "", "")


# -- JSON and logfmt


class _Clock:
    """The time in UTC with milliseconds, from a clock that is read once a second."""

    takes_notes = True

    def __init__(self) -> None:
        self._second = ""
        self._offset = 0.0  # monotonic seconds at the beginning of that second

    def tick(self, now: float) -> None:
        """Set the clock."""
        self._second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        self._offset = monotonic() - (wall_clock() - int(now))

    def plain(self, kept: Any) -> Any:
        """Return None: no line is a plain one."""
        return None

    def _millisecond(self, now: float) -> int:
        """Return the milliseconds of the current second; a second whose end was not told of yet goes on."""
        milliseconds = int((now - self._offset) * 1000)
        return milliseconds if 0 <= milliseconds < 1000 else 999

    def utc(self, now: float) -> str:
        """Return the time at a monotonic moment."""
        return f"{self._second}.{self._millisecond(now):03}Z"


# Formatting a number costs more than looking it up; most requests take a few milliseconds at most. For the
# same reason ``trunc`` makes the index: ``int`` takes more than twice as long for a float.
_KNOWN_DURATIONS = 4096  # microseconds
_KNOWN_SHORT = 1024
# The ends of combined lines.
MICROSECONDS = [b"%d\n" % number for number in range(_KNOWN_DURATIONS)]


Item = Callable[[str, str], str]


def _json_item(name: str, value: str) -> str:
    return f'"{name}":{value}'


def _logfmt_item(name: str, value: str) -> str:
    return f"{name}={value}"


class Structured(_Clock):
    """JSON and logfmt: the same names and values, the texts in JSON's quotes.

    What ``keep`` returns is a pair: the bytes, and whether the request has a body.
    """

    def __init__(self, item: Item, begin: str, comma: str, end: str) -> None:
        super().__init__()
        self._item = item
        self._comma = comma
        self._begin, after = f"{begin}{item('timestamp', chr(34) + '%' + chr(34))}{comma}".split("%")
        self._start = b""
        self._milliseconds = [f".{number:03}Z{after}".encode() for number in range(1000)]
        self._ends = {end: (item("wsgiserve.end", f'"{end}"') + comma).encode() for end in ENDS}
        self._durations = [_seconds(number / 1e6) for number in range(_KNOWN_DURATIONS)]
        self._wait = item("wsgiserve.wait.duration", "").encode()
        self._app = (comma + item("wsgiserve.app.duration", "")).encode()
        self._first = (comma + item("wsgiserve.first_byte.duration", "")).encode()
        self._whole = (comma + item("http.server.request.duration", "")).encode()
        self._end = end.encode()
        # For plain lines: the durations with the names behind them.
        known = self._durations[:_KNOWN_SHORT]
        self._waits = [b"".join((self._wait, duration, self._app)) for duration in known]
        self._apps = [duration + self._first for duration in known]
        self._wholes = [b"".join((duration, self._whole, duration, self._end)) for duration in known]

    def tick(self, now: float) -> None:
        """Set the clock."""
        super().tick(now)
        self._start = f"{self._begin}{self._second}".encode()

    def keep(self, client: str, request: RequestHead, status: int, size: int) -> tuple[bytes, bool]:
        """Return the facts about a request and its response."""
        fields = request.fields
        names = [
            "http.request.method",
            "url.path" if request.method else "wsgiserve.request_line",
            "user_agent.original",
            "http.request.header.referer",
            "url.query",
        ]
        values = [
            request.method,
            request.path or request.target,
            fields.get("HTTP_USER_AGENT", ""),
            fields.get("HTTP_REFERER", ""),
            request.query,
        ]
        texts = dict(zip(names, _fitting(values, _json), strict=True))
        facts = {
            "client.address": quoted(client),
            **{name: text for name, text in texts.items() if text != '""'},
            **({"network.protocol.version": f'"1.{request.minor}"'} if request.method else {}),
            **({"http.response.status_code": str(status)} if status else {}),
            "http.response.body.size": str(size),
        }
        trace = dict(zip(("trace_id", "span_id", "trace_flags"), trace_of(request), strict=True))
        facts |= {name: f'"{text}"' for name, text in trace.items() if text}
        kept = "".join(self._item(name, text) + self._comma for name, text in facts.items())
        return kept.encode(), request.has_body

    def line(self, kept: tuple[bytes, bool], record: Record, now: float) -> bytes:
        """Return a line of whichever values there are."""
        facts, has_body = kept
        if has_body or record.id or record.user != "-":
            facts += "".join(self._some(record)).encode()
        started, called, first = record.started, record.called, record.first_byte
        wait = (called or now) - started
        app = (record.returned or now) - called if called else 0.0
        first = first - started if first else 0.0
        known = self._durations
        whole = now - started
        try:
            times = (
                known[trunc(wait * 1e6)],
                known[trunc(app * 1e6)],
                known[trunc(first * 1e6)],
                known[trunc(whole * 1e6)],
            )
        except IndexError:
            times = _seconds(wait), _seconds(app), _seconds(first), _seconds(whole)
        return b"".join(
            (
                self._start,
                self._milliseconds[self._millisecond(now)],
                facts,
                self._ends[record.end],
                self._wait,
                times[0],
                self._app,
                times[1],
                self._first,
                times[2],
                self._whole,
                times[3],
                self._end,
            )
        )

    def plain(self, kept: tuple[bytes, bool]) -> Plain | None:
        """Return the function that adds time and durations."""
        facts, has_body = kept
        return None if has_body else (None, self._plain_line(facts + self._ends["done"]))

    def _plain_line(self, middle: bytes) -> Timed:
        """Return the function that makes lines in this second; what it needs is in its closure."""
        start, offset, milliseconds = self._start, self._offset, self._milliseconds
        waits, apps, wholes, join = self._waits, self._apps, self._wholes, b"".join

        def line(started: float, called: float, now: float) -> bytes:
            wait = trunc((called - started) * 1e6)
            app = trunc((now - called) * 1e6)
            millisecond = milliseconds[trunc((now - offset) * 1000)]
            return join((start, millisecond, middle, waits[wait], apps[app], wholes[wait + app]))

        return line

    def _some(self, record: Record) -> Iterator[str]:
        if record.user != "-":
            yield self._item("user.name", shortened(record.user, _json, MAX_USER)) + self._comma
        if record.id:
            yield self._item("wsgiserve.request_id", _json(record.id)) + self._comma
        if record.received:
            yield self._item("http.request.body.size", str(record.received)) + self._comma


def _seconds(duration: float) -> bytes:
    return b"%.6f" % duration


# -- templates


class Template(_Clock):
    """A format that the user wrote. Fields are escaped as between double quotes; an empty one is "-"."""

    # The fields that ``line`` fills in.
    LATE = ("time", "user", "request_id", "bytes_in", "end", "duration", "wait", "app", "first_byte")

    def __init__(self, text: str) -> None:
        super().__init__()
        self._pairs = parse_template(text)

    def keep(self, client: str, request: RequestHead, status: int, size: int) -> str:
        """Return the template with the facts about a request and its response."""
        trace, span, _ = trace_of(request)
        facts: dict[str, str] = {
            "client": client,
            "method": request.method,
            "target": request.target,
            "path": request.path,
            "query": request.query,
            "version": f"1.{request.minor}" if request.method else "",
            "status": f"{status:03}",
            "bytes_out": str(size),
            "referer": request.fields.get("HTTP_REFERER", ""),
            "agent": request.fields.get("HTTP_USER_AGENT", ""),
            "trace_id": trace,
            "span_id": span,
        }
        names = [name for _, name in self._pairs if name and name not in self.LATE]
        values = [facts[name] if name in facts else _header(request, name) for name in names]
        texts = iter(_fitting(values, escaped))
        pieces = []
        for plain, name in self._pairs:
            pieces.append(escaped_percent(plain))
            if name in self.LATE:
                pieces.append(f"%({name})s")
            elif name:
                pieces.append(escaped_percent(next(texts) or "-"))
        return "".join([*pieces, "\n"])

    def line(self, kept: str, record: Record, now: float) -> bytes:
        """Return a line with times in seconds."""
        started, called = record.started, record.called
        line = kept % {
            "time": self.utc(now),
            "user": shortened(record.user, escaped, MAX_USER),
            "request_id": escaped(record.id) or "-",
            "bytes_in": record.received,
            "end": record.end,
            "duration": f"{now - started:.6f}",
            "wait": f"{(called or now) - started:.6f}",
            "app": f"{(record.returned or now) - called:.6f}" if called else "-",
            "first_byte": f"{record.first_byte - started:.6f}" if record.first_byte else "-",
        }
        return line.encode()


def _header(request: RequestHead, name: str) -> str:
    key = name.removeprefix("header:").upper().replace("-", "_")
    return str(request.fields.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}", ""))


def escaped_percent(text: str) -> str:
    """Return a text for a place in a format of ``%``."""
    return text.replace("%", "%%")


class Combined:
    """The combined format; what ``keep`` returns is the client, and the middle of the line."""

    takes_notes = False

    def __init__(self) -> None:
        self._time = ""

    def tick(self, now: float) -> None:
        """Set the clock; lines say when their exchange began or ended, or a time between."""
        self._time = combined_time(now)

    def keep(self, client: str, request: RequestHead, status: int, size: int) -> tuple[str, str]:
        """Return the client, and the middle of a line."""
        return client, line_text(request, status, size)

    def plain(self, kept: tuple[str, str]) -> Plain:
        """Return all but the duration."""
        client, text = kept
        return f"{client} - -{self._time}{text}".encode(), None

    def line(self, kept: tuple[str, str], record: Record, now: float) -> bytes:
        """Return a line; with ``--request-id`` it ends with the id."""
        client, text = kept
        id = f" {record.id}" if record.id else ""
        microseconds = int((now - record.started) * 1e6)
        return f"{client} - {user_text(record.user)}{self._time}{text}{microseconds}{id}\n".encode()


# -- the combined format


MAX_TEXT = 700  # characters of a field in a line that would be longer than a write


def line_text(head: RequestHead, status: int, size: int) -> str:
    """Return the middle of a combined line: the same for equal requests answered with as many bytes."""
    texts = [
        f"{head.method} {head.target} HTTP/1.{head.minor}" if head.method else head.target or "-",
        head.fields.get("HTTP_REFERER", "-"),
        head.fields.get("HTTP_USER_AGENT", "-"),
    ]
    line, referer, agent = (text.translate(ESCAPES) for text in texts)
    if len(line) + len(referer) + len(agent) > 3 * MAX_TEXT:
        line, referer, agent = (_cut(text) for text in (line, referer, agent))
    return f'"{line}" {status:03} {size} "{referer}" "{agent}" '


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT].rstrip("\\") + "..."


# -- a terminal

_COLOURS = {2: 32, 3: 36, 4: 33, 5: 31}  # by the status's first digit: green, cyan, yellow, red


class Readable:
    """A line for a person: time, status, method, target, duration, bytes, client, and an unusual end."""

    takes_notes = True

    def __init__(self, *, coloured: bool) -> None:
        self._coloured = coloured
        self._time = ""

    def tick(self, now: float) -> None:
        """Set the clock."""
        self._time = time.strftime("%H:%M:%S", time.localtime(now))

    def keep(self, client: str, request: RequestHead, status: int, size: int) -> str:
        """Return the facts about a request and its response."""
        asked = shortened(f"{request.method} {request.target}".strip() or "-", escaped, MAX_TEXT)
        shown = self._colour(_COLOURS.get(status // 100, 0), f"{status:03} {asked}")
        return f"%s {escaped_percent(shown)} %s {_bytes(size)} {client}%s\n"

    def plain(self, kept: str) -> None:
        """Return None: no line is a plain one."""

    def line(self, kept: str, record: Record, now: float) -> bytes:
        """Return the line."""
        unusual = "" if record.end == "done" else f" {self._colour(31, record.end)}"
        user = "" if record.user == "-" else f" {shortened(record.user, escaped, MAX_USER)}"
        id = f" {record.id}" if record.id else ""
        line = kept % (self._time, self._colour(2, _duration(now - record.started)), user + id + unusual)
        return line.encode()

    def _colour(self, number: int, text: str) -> str:
        return f"\x1b[{number}m{text}\x1b[0m" if self._coloured else text


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _bytes(size: int) -> str:
    return (
        f"{size} B" if size < 1000 else f"{size / 1000:.1f} kB" if size < 10**6 else f"{size / 10**6:.1f} MB"
    )
