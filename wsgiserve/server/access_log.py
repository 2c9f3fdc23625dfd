"""The access log: one line for each answer, in the combined format that every log tool reads.

``host - user [time] "request line" status bytes "referer" "user agent" seconds``. Lines are collected and
written once a turn of the loop. Nothing that a client sent can forge a line or reach a terminal's controls;
what was made safe lately is kept, since most of it comes again.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from typing import TextIO

from wsgiserve.protocol import RequestHead
from wsgiserve.server.environ import Environ

# Control characters do not come this far through the parser. The quote and the backslash would end a field,
# and what is not ASCII may not be printable in the log's encoding.
_ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\"} | {c: f"\\x{c:02x}" for c in [*range(32), *range(127, 256)]}


class AccessLog:
    """Write to ``stream``, standard output by default; a stream that fails ends the log, not the server."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self._lock = threading.Lock()
        self._second = 0
        self._time = ""
        self._failed = False

    def add(
        self, peer: str, head: RequestHead, fields: Environ, status: int, size: int, started: float
    ) -> None:
        """Add the line of an exchange that is over.

        ``fields`` is the environ layer with the header fields, ``size`` the bytes of the body that were sent,
        ``started`` the ``time.time()`` at which the request was complete.
        """
        now = time.time()
        if int(now) != self._second:
            self._time = time.strftime(" - - [%d/%b/%Y:%H:%M:%S %z] ", time.localtime(now))
            self._second = int(now)
        request = _request(head.method, head.target, head.minor)
        client = _client(fields.get("HTTP_REFERER", "-"), fields.get("HTTP_USER_AGENT", "-"))
        self._lines.append(
            f"{peer or '-'}{self._time}{request} {status} {size} {client} {now - started:.6f}\n"
        )

    def flush(self) -> None:
        """Write the collected lines."""
        if not self._lines:
            return
        with self._lock:
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


@functools.lru_cache(maxsize=256)
def _request(method: str, target: str, minor: int) -> str:
    return f'"{f"{method} {target} HTTP/1.{minor}".translate(_ESCAPES)}"'


@functools.lru_cache(maxsize=256)
def _client(referer: str, agent: str) -> str:
    return f'"{referer.translate(_ESCAPES)}" "{agent.translate(_ESCAPES)}"'
