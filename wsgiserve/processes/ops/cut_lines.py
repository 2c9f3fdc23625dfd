"""Lines of the access log for requests whose worker has ended before it could write them.

They are made from the table of requests in flight, which has no header fields. A request that was counted
already has the status of its count. Nobody knows how much of its response was sent.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

from wsgiserve.config import Config
from wsgiserve.protocol.request import head_of
from wsgiserve.server.access_log import output
from wsgiserve.server.in_flight import Entry
from wsgiserve.server.log_lines import make_format


@dataclass
class _Record:
    """What a line says beside the request."""

    status: int
    id: str
    started: float
    called: float
    end: str
    user: str = "-"
    returned: float = 0.0
    first_byte: float = 0.0
    received: int = 0


def cut_lines(entries: Iterable[Entry], config: Config) -> bytes:
    """Return a line for each request, as the configuration wants it; b"" without an access log."""
    if not config.access_log:
        return b""
    terminal = output() if config.access_log == "-" else None
    format = make_format(config.log_format, config.log_skip, config.log_sample, terminal, os.environ)
    now = time.monotonic()
    format.tick(time.time())
    lines = []
    for entry in entries:
        head = head_of(entry.method, entry.target, entry.minor)
        kept = format.keep(entry.client, head, entry.status or 0, 0)
        called = 0.0 if entry.phase == "waiting" else entry.started
        end = "cut" if entry.end == "done" else entry.end
        record = _Record(entry.status or 0, entry.id, entry.started, called, end)
        lines.append(format.line(kept, record, now))
    return b"".join(lines)
