"""The access log: one line for each answer, by default in the combined format that every log tool reads.

``host - user [time] "request line" status bytes "referer" "user agent" microseconds``, and the request's id
behind it with ``--request-id``. Nothing that a client sent can forge a line or reach a terminal's controls.
``host`` is the client that trusted proxies name; ``unix`` for a client on a Unix socket, ``unknown`` for one
that its proxies hide. ``log_lines`` has the other formats, ``sinks`` the places that lines go to.

Rules
- Lines are collected, and written before the loop sleeps, or once they are many or have waited for long. The
  part of a line that a repeated request shares with the one before is kept per connection, as heads are.
- A request never waits for the log. Lines for which there is no room are kept until they are many; from then
  on lines are dropped. Those and lines that cannot be written, as on a full disk, are counted. The count is
  logged once writing works again, and now and then before.
- The plain combined format costs the least: ``add`` makes its lines, of facts that every exchange has. All
  others are made by a ``Format``, of a ``RecordedExchange``.
- Standard output is looked up once, by the command before it imports the app, which may redirect it.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import TextIO

from wsgiserve.server.sinks import Sink, stream_sink
from wsgiserve.server.system import Lock, monotonic

logger = logging.getLogger("wsgiserve")

MAX_LINES = 512
MAX_SECONDS = 0.1
MAX_USER = 120  # characters of a user's name
RETRY_SECONDS = 0.005  # between two attempts to write where there is no room
MAX_KEPT = 16384  # lines that wait for room
TELL_SECONDS = 10.0  # between two log lines about lines that are lost
LAST_SECONDS = 1.0  # for the last lines to be written, at the end

# The app may change the locale: names are written out here.
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # noqa: SIM905

# Control characters do not come this far through the parser. The quote and the backslash would end a field,
# and the log's encoding may lack characters that are not ASCII.
ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\"} | {c: f"\\x{c:02x}" for c in [*range(32), *range(127, 256)]}


_kept: TextIO | None = None


def keep_output() -> None:
    """Write access logs to the standard output of now: an app that is imported later may replace it."""
    global _kept
    _kept = sys.stdout


def output() -> TextIO | None:
    """Return the standard output to write to."""
    return _kept or sys.stdout


def escaped(value: str) -> str:
    """Return a text for a field between quotes; no character of it is a control or outside of ASCII."""
    return value.translate(ESCAPES).encode("ascii", "backslashreplace").decode()


def combined_time(now: float) -> str:
    """Return the time of the combined format, in brackets and with blanks around it."""
    local = time.localtime(now)
    return time.strftime(f" [%d/{MONTHS[local.tm_mon - 1]}/%Y:%H:%M:%S %z] ", local)


def shortened(value: str, escape: Callable[[str], str], most: int) -> str:
    """Return an escaped text of at most so many characters, with dots in the place of its end."""
    if len(escape(value)) <= most:
        return escape(value)
    while len(text := escape(f"{value}...")) > most:
        value = value[: min(len(value) - 1, len(value) * most // len(text))]
    return text


def user_text(user: str) -> str:
    """Return the user's name for the combined format, where it has no quotes."""
    return user if user == "-" else shortened(user, _without_blanks, MAX_USER)


def _without_blanks(value: str) -> str:
    return escaped(value).replace(" ", "\\x20")


class AccessLog:
    """Write to ``sink``, or to ``stream``, which is standard output by default."""

    def __init__(self, stream: TextIO | None = None, *, sink: Sink | None = None) -> None:
        self._sink = sink or stream_sink(stream or output())
        self._lines: list[str] = []
        self._written = 0.0
        self._lock = Lock()
        self._time = ""
        # lines that were lost since the last one that was written
        self._lost = 0
        self._lost_since = 0.0
        self._has_room = True

    def add(self, client: str, user: str, text: str, started: float, end: str = "") -> None:
        """Add the line of an exchange that is over; it ``started`` at this ``monotonic()``.

        ``end`` stands behind all else.
        """
        if user != "-":
            user = user_text(user)
        microseconds = int((monotonic() - started) * 1e6)
        self._lines.append(f"{client} - {user}{self._time}{text}{microseconds}{end}\n")

    def append(self, line: str) -> None:
        """Add a line of another format."""
        self._lines.append(line)

    def tick(self, now: float) -> None:
        """Set the clock, once a second; lines say when their exchange began or ended, or a time between."""
        self._time = combined_time(now)

    def is_due(self) -> bool:
        """Tell whether lines should be written although there is other work."""
        return len(self._lines) >= MAX_LINES or monotonic() - self._written >= MAX_SECONDS

    @property
    def pending(self) -> bool:
        """Whether there are lines to be written."""
        return bool(self._lines)

    def reopen(self) -> None:
        """Open the log's file anew before the next line; safe in a signal handler."""
        self._sink.reopen()

    def flush(self) -> None:
        """Write the collected lines, and keep or drop those for which there is no room."""
        with self._lock:  # Its holder may be about to write lines that it has taken out already.
            now = monotonic()
            if not self._lines or (not self._has_room and now < self._written + RETRY_SECONDS):
                return
            self._written = now
            count = len(self._lines)  # Other threads may add more meanwhile.
            lines = self._lines[:count]
            del self._lines[:count]
            try:
                self._sink.write(lines)
            except (AttributeError, OSError, ValueError):  # No standard output, no reader, a full disk.
                self._lose(len(lines), now)
                lines.clear()
                failed = True
            else:
                failed = False
            self._has_room = not lines
            if lines:
                self._lose(max(0, len(lines) - MAX_KEPT), now)
                self._lines[:0] = lines[:MAX_KEPT]
            lost = self._count_to_tell(now, over=not failed and len(lines) < count)
        if lost:
            logger.warning("%d lines of the access log could not be written", lost)

    def _lose(self, count: int, now: float) -> None:
        if count and not self._lost:
            self._lost_since = now
        self._lost += count

    def _count_to_tell(self, now: float, *, over: bool) -> int:
        """Return how many lines were lost if that is to be logged now; ``over`` if writing works again."""
        if not self._lost or not (over or now - self._lost_since >= TELL_SECONDS):
            return 0
        lost, self._lost = self._lost, 0
        return lost

    def close(self) -> None:
        """Write the last lines, and wait for a moment where there is no room for them."""
        until = monotonic() + LAST_SECONDS
        self.flush()
        while self._lines and (left := until - monotonic()) > 0:
            self._sink.wait(left)
            self._has_room = True
            self.flush()
        with self._lock:
            self._lose(len(self._lines), until)
            self._lines.clear()
            lost = self._count_to_tell(until, over=True)
        if lost:
            logger.warning("%d lines of the access log could not be written", lost)
        self._sink.close()
