"""The access log: one line for each answer, in the combined format that every log tool reads.

``host - user [time] "request line" status bytes "referer" "user agent" microseconds``. Nothing that a client
sent can forge a line or reach a terminal's controls.

Lines are collected, and written before the loop sleeps, or once they are many or have waited for long. The
part of a line that a repeated request shares with the one before is kept per connection, as heads are.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from typing import TextIO

from wsgiserve.protocol.request import RequestHead

MAX_LINES = 512
MAX_SECONDS = 0.1

# Control characters do not come this far through the parser. The quote and the backslash would end a field,
# and the log's encoding may lack characters that are not ASCII.
_ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\"} | {c: f"\\x{c:02x}" for c in [*range(32), *range(127, 256)]}


class AccessLog:
    """Write to ``stream``, standard output by default; a stream that fails ends the log, not the server."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self._written = 0.0
        self._lock = threading.Lock()
        self._time = ""
        self._failed = False

    def add(self, peer: str, text: str, started: float) -> None:
        """Add the line of an exchange that is over; it ``started`` at this ``time.time()``."""
        microseconds = int((time.time() - started) * 1e6)
        self._lines.append(f"{peer}{self._time}{text}{microseconds}\n")

    def tick(self, now: float) -> None:
        """Set the clock, once a second; lines say when their exchange began or ended, or a time between."""
        self._time = time.strftime(" - - [%d/%b/%Y:%H:%M:%S %z] ", time.localtime(now))

    def is_due(self) -> bool:
        """Tell whether lines should be written although there is other work."""
        return len(self._lines) >= MAX_LINES or time.monotonic() - self._written >= MAX_SECONDS

    @property
    def pending(self) -> bool:
        """Whether there are lines to be written."""
        return bool(self._lines)

    def flush(self) -> None:
        """Write the collected lines."""
        with self._lock:  # Whoever holds it may be about to write lines that are taken out already.
            if not self._lines:
                return
            self._written = time.monotonic()
            count = len(self._lines)  # Other threads may add more meanwhile.
            lines = self._lines[:count]
            del self._lines[:count]
            if self._failed:
                return
            try:
                stream = self._stream or sys.stdout
                stream.write("".join(lines))
                stream.flush()
            except (AttributeError, OSError, ValueError):
                self._failed = True  # Nobody reads it; standard output that was closed at the start is None.


def line_text(head: RequestHead, fields: Mapping[str, str], status: int, size: int) -> str:
    """Return the middle of a line: the same for a request that is repeated and answered with as many bytes.

    ``fields`` is an environ with the request's header fields.
    """
    request_line = f"{head.method} {head.target} HTTP/1.{head.minor}".translate(_ESCAPES)
    referer = fields.get("HTTP_REFERER", "-").translate(_ESCAPES)
    agent = fields.get("HTTP_USER_AGENT", "-").translate(_ESCAPES)
    return f'"{request_line}" {status} {size} "{referer}" "{agent}" '
