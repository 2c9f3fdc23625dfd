"""The access log: one line for each answer, by default in the combined format that every log tool reads.

``host - user [time] "request line" status bytes "referer" "user agent" microseconds``, and the request's id
behind it with ``--request-id``. Nothing that a client sent can forge a line or reach a terminal's controls.
``host`` is the client that trusted proxies name; ``unix`` for a client on a Unix socket, ``unknown`` for one
that its proxies hide. ``log_lines`` makes the lines, ``log_pages`` keeps them, ``sinks`` are the places that
they go to.

Rules
- Lines are collected, and written before the loop sleeps, or once they are many or have waited for long. The
  part of a line that a repeated request shares with the one before is kept per connection, as heads are.
- Any thread adds lines. With the GIL, to look up ``write`` and call it is one step, so it is the page's own.
  Without, it takes a lock: else a line could reach a page that was sealed and cleared meanwhile.
- A request never waits for the log. Lines for which there is no room, or the system lacks descriptors or
  memory, are kept until two pages are full; from then on lines are dropped. Those and lines that cannot be
  written, as on a full disk, are counted. The count is logged once writing works again, and now and then
  before.
- Standard output is looked up once, by the command before it imports the app, which may redirect it.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import TextIO

from wsgiserve.server.errors import is_shortage
from wsgiserve.server.log_pages import HEADER, Left, OpenPage
from wsgiserve.server.sinks import Sink, open_sink, stream_sink
from wsgiserve.server.system import HAS_GIL, Lock, monotonic, sleep

logger = logging.getLogger("wsgiserve")

MAX_BYTES = 1 << 16
MAX_SECONDS = 0.1
MAX_USER = 120  # characters of a user's name
RETRY_SECONDS = 0.005  # between two attempts to write where there is no room
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


def write_left(left: Left, more: bytes, destination: str) -> None:
    """Write the lines that a process has left behind, and more, as far as there is room now.

    OSError or MemoryError, with nothing written, if the system lacks now what that takes.
    """
    lines, done = left.writing + left.lines + more, 0
    if not lines:
        tell_lost(left.lost)
        return
    try:
        sink = open_sink(destination, output())
        try:
            done = sink.find(left.writing, left.file) if left.writing else 0
            while done < len(lines) and (count := sink.write(lines, done)):
                done += count
        finally:
            sink.close()
    except BrokenPipeError:
        return  # As in ``AccessLog``.
    except (AttributeError, OSError, ValueError, MemoryError) as error:
        if is_shortage(error) and not done:
            raise
    tell_lost(left.lost + lines.count(b"\n", done))


def tell_lost(lost: int) -> None:
    """Log that lines were lost."""
    if lost:
        logger.warning("%d lines of the access log could not be written", lost)


class AccessLog:
    """Write to ``sink``, or to ``stream``, which is standard output by default.

    ``write`` takes a line that fits into the page; ``append`` takes any line.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        sink: Sink | None = None,
        pages: tuple[OpenPage, OpenPage] | None = None,
    ) -> None:
        self._sink = sink or stream_sink(stream or output())
        self._page, self._spare = pages or (OpenPage(), OpenPage())
        self._sealed: OpenPage | None = None  # what ``_spare`` was, while its lines are written
        self._pages = 0  # that were filled
        self._adding = Lock()  # for the page that lines are added to
        self.write = self._page.add if HAS_GIL else self._write_alone
        self._written = 0.0
        self._lock = Lock()
        # lines that were lost since the last one that was written
        self._has_reader = True
        self._tally = self._page  # says how many lines were lost, also if this process is killed
        self._lost = 0
        self._lost_since = 0.0
        self._has_room = True
        self._is_short = False  # The system lacks what writing takes; so there is no room now.

    def append(self, line: bytes) -> None:
        """Add a line, or count it as lost if there is no room for it."""
        for _ in range(2):
            try:
                self.write(line)
                return
            except ValueError:  # The page is full, or was sealed just now.
                self.flush()
        with self._lock:
            self._lose(1, monotonic())

    def _write_alone(self, line: bytes) -> int:
        with self._adding:
            return self._page.add(line)

    def is_due(self, now: float) -> bool:
        """Tell whether lines should be written although there is other work."""
        return self._page.used() >= MAX_BYTES or now - self._written >= MAX_SECONDS

    @property
    def pending(self) -> bool:
        """Whether there are lines to be written."""
        return self._page.used() > HEADER or self._sealed is not None

    def reopen(self) -> None:
        """Open the log's file anew before the next line; safe in a signal handler."""
        self._sink.reopen()

    def flush(self) -> None:
        """Write the lines, as far as there is room."""
        with self._lock:
            now = monotonic()
            if not self.pending or (not self._has_room and now < self._written + RETRY_SECONDS):
                return
            self._written = now
            failed, self._has_room, self._is_short = False, True, False
            for _ in range(2):  # Others may add lines all the time.
                if self.pending and self._has_room:
                    failed = not self._write_page(self._sealed or self._seal(), now)
            lost = self._count_to_tell(now, over=self._has_room and not failed)
        tell_lost(lost)

    def _seal(self) -> OpenPage:
        """Have lines added to the other page from now on, and return the one that was filled."""
        self._pages += 1
        self._spare.number(self._pages)
        with self._adding:
            self._sealed, self._page = self._page, self._spare
            if HAS_GIL:
                self.write = self._page.add
            self._sealed.seal()
        return self._sealed

    def _write_page(self, page: OpenPage, now: float) -> bool:
        """Write from a sealed page as far as there is room; False if its lines are lost."""
        data, done, failed = b"", 0, False
        try:
            data = page.left()
            while done < len(data):
                page.begin(self._sink.target())
                count = self._sink.write(data, done)
                page.written(count)
                if not count:
                    self._has_room = False
                    return True
                done += count
                self._has_reader = True
        except (AttributeError, OSError, ValueError, MemoryError) as error:  # No reader, a full disk.
            if is_shortage(error):
                page.written(0)
                self._has_room, self._is_short = False, True
                return True
            self._has_reader = not isinstance(error, BrokenPipeError)
            self._lose(data.count(b"\n", done), now)
            failed = True
        page.clear()
        self._spare, self._sealed = page, None
        return not failed

    def _lose(self, count: int, now: float) -> None:
        if count and not self._lost:
            self._lost_since = now
        self._lost += count
        self._tally.lost = self._lost

    def _count_to_tell(self, now: float, *, over: bool) -> int:
        """Return how many lines were lost if that is to be logged now; ``over`` if writing works again."""
        if not self._lost or not (over or now - self._lost_since >= TELL_SECONDS):
            return 0
        lost, self._lost, self._tally.lost = self._lost, 0, 0
        return lost

    def close(self) -> None:
        """Write the last lines, and wait for a moment where there is no room for them."""
        until = monotonic() + LAST_SECONDS
        self.flush()
        while self.pending and (left := until - monotonic()) > 0:
            if self._is_short:
                sleep(RETRY_SECONDS)
            else:
                self._sink.wait(left)
            self._has_room = True
            self.flush()
        with self._lock:
            for page in (self._sealed, self._page):
                self._lose(page.left().count(b"\n") if page is not None else 0, until)
            lost = self._count_to_tell(until, over=True)
        if self._has_reader:  # Who has left misses nothing.
            tell_lost(lost)
        self._sink.close()
