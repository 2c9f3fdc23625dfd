"""The access log: one line for each answer, in the combined format that every log tool reads.

``host - user [time] "request line" status bytes "referer" "user agent" microseconds``, and the request's id
behind it with ``--request-id``. Nothing that a client sent can forge a line or reach a terminal's controls.
``host`` is the client that trusted proxies name; ``unix`` for a client on a Unix socket, ``unknown`` for one
that its proxies hide.

Rules
- Lines are collected, and written before the loop sleeps, or once they are many or have waited for long. The
  part of a line that a repeated request shares with the one before is kept per connection, as heads are.
- A write has whole lines, and not more bytes than a pipe takes at once (PIPE_BUF), so that lines of several
  workers do not mix.
- Lines that cannot be written are counted and dropped. The count is logged once writing works again.
- Standard output is looked up once, by the command before it imports the app, which may redirect it.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import time
from typing import TextIO

from wsgiserve.protocol.request import RequestHead
from wsgiserve.server.system import Lock, monotonic

logger = logging.getLogger("wsgiserve")

MAX_LINES = 512
MAX_SECONDS = 0.1
MAX_WRITE: int = getattr(select, "PIPE_BUF", 512)  # bytes that are written to a pipe as a whole
MAX_TEXT = 700  # characters of a field in a line that would be longer than a write

# The app may change the locale: names are written out here.
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # noqa: SIM905

# Control characters do not come this far through the parser. The quote and the backslash would end a field,
# and the log's encoding may lack characters that are not ASCII.
_ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\"} | {c: f"\\x{c:02x}" for c in [*range(32), *range(127, 256)]}


_kept: TextIO | None = None


def keep_output() -> None:
    """Write access logs to the standard output of now: an app that is imported later may replace it."""
    global _kept
    _kept = sys.stdout


class AccessLog:
    """Write to ``stream``, standard output by default."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or _kept or sys.stdout
        self._descriptor = _descriptor(self._stream)
        self._lines: list[str] = []
        self._rest = b""  # of a write that was cut short
        self._lost = 0
        self._written = 0.0
        self._lock = Lock()
        self._time = ""

    def add(self, client: str, user: str, text: str, started: float, end: str = "") -> None:
        """Add the line of an exchange that is over; it ``started`` at this ``monotonic()``.

        ``end`` stands behind all else.
        """
        microseconds = int((monotonic() - started) * 1e6)
        if user != "-":
            user = user.translate(_ESCAPES).replace(" ", "\\x20")
        self._lines.append(f"{client} - {user}{self._time}{text}{microseconds}{end}\n")

    def tick(self, now: float) -> None:
        """Set the clock, once a second; lines say when their exchange began or ended, or a time between."""
        local = time.localtime(now)
        self._time = time.strftime(f" [%d/{MONTHS[local.tm_mon - 1]}/%Y:%H:%M:%S %z] ", local)

    def is_due(self) -> bool:
        """Tell whether lines should be written although there is other work."""
        return len(self._lines) >= MAX_LINES or monotonic() - self._written >= MAX_SECONDS

    @property
    def pending(self) -> bool:
        """Whether there are lines to be written."""
        return bool(self._lines)

    def flush(self) -> None:
        """Write the collected lines."""
        with self._lock:  # Its holder may be about to write lines that it has taken out already.
            if not self._lines:
                return
            self._written = monotonic()
            count = len(self._lines)  # Other threads may add more meanwhile.
            lines = self._lines[:count]
            del self._lines[:count]
            lost = self._lost
            try:
                self._write(lines)
            except (AttributeError, OSError, ValueError):  # No standard output, no reader, a full disk.
                self._lost += len(lines)
                return
            self._lost = 0
        if lost:
            logger.warning("%d lines of the access log could not be written", lost)

    def _write(self, lines: list[str]) -> None:
        """Write lines, and take out of the list those that were written."""
        if self._descriptor is None:
            self._stream.write("".join(lines))
            self._stream.flush()
            return
        self._write_rest()
        while lines:
            count, size = 0, 0
            while count < len(lines) and size + len(lines[count]) <= MAX_WRITE:
                size += len(lines[count])
                count += 1
            self._rest = "".join(lines[: count or 1]).encode("ascii", "replace")
            del lines[: count or 1]
            self._write_rest()

    def _write_rest(self) -> None:
        while self._rest:
            assert self._descriptor is not None
            self._rest = self._rest[os.write(self._descriptor, self._rest) :]


def _descriptor(stream: TextIO | None) -> int | None:
    """Return the descriptor behind a stream, after writing what is in the stream; None if there is none."""
    try:
        assert stream is not None
        stream.flush()
        return stream.fileno()
    except (AssertionError, AttributeError, OSError, ValueError):
        return None


def line_text(head: RequestHead, status: int, size: int) -> str:
    """Return the middle of a line: the same for equal requests answered with as many bytes."""
    texts = [
        f"{head.method} {head.target} HTTP/1.{head.minor}",
        head.fields.get("HTTP_REFERER", "-"),
        head.fields.get("HTTP_USER_AGENT", "-"),
    ]
    line, referer, agent = (text.translate(_ESCAPES) for text in texts)
    if len(line) + len(referer) + len(agent) > 3 * MAX_TEXT:
        line, referer, agent = (_shortened(text) for text in (line, referer, agent))
    return f'"{line}" {status} {size} "{referer}" "{agent}" '


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT].rstrip("\\") + "..."
