"""The common part of all exchanges: the app, the environ's first layer, the Date line.

PEP 3333 calls this side the gateway. Once the server runs, only caches and the clock change in here, and
``parting``, which changes once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from wsgiserve.config import Config
from wsgiserve.protocol.response import Framing, ResponseHead, render_head, response_framing, response_head
from wsgiserve.server.access_log import MONTHS, AccessLog, output
from wsgiserve.server.http.environ import Environ, server_environ, with_deadline
from wsgiserve.server.http.strict import strict
from wsgiserve.server.in_flight import InFlight
from wsgiserve.server.journal import unit_of
from wsgiserve.server.log_lines import Combined, Format, make_format
from wsgiserve.server.log_pages import OpenPage
from wsgiserve.server.refusals import RefusalLog
from wsgiserve.server.sinks import open_sink
from wsgiserve.server.system import monotonic, wall_clock
from wsgiserve.server.tally import Tally
from wsgiserve.version import __version__

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

Start = tuple[Framing, int, bool, int, bytes, float]

_MAX_HEADS = 256
_MAX_STARTS = 256
DAYS = "Mon Tue Wed Thu Fri Sat Sun".split()  # noqa: SIM905 - as MONTHS
_SERVER_LINE = f"Server: wsgiserve/{__version__}\r\n".encode()


class Gateway:
    """The WSGI side of one server."""

    def __init__(
        self,
        app: WSGIApplication,
        config: Config,
        *,
        alone: bool = True,
        pages: tuple[OpenPage, OpenPage] | None = None,
        tally: Tally | None = None,
        in_flight: InFlight | None = None,
    ) -> None:
        self.app = strict(app) if config.strict else app
        if config.request_timeout:
            self.app = with_deadline(self.app, config.request_timeout)
        if config.hsts:
            self.app = with_hsts(self.app, int(config.hsts))
        self.config = config
        # A call that took too long may go on beside the others.
        multithread = config.threads > 1 or bool(config.request_timeout)
        self.environ = server_environ(multithread=multithread, multiprocess=not alone)
        self.counts = tally is not None  # somebody wants to know what is counted
        self.tally = tally or Tally()
        self.in_flight = in_flight or InFlight()
        self.journal = self.in_flight.journal
        self.refusals = RefusalLog(self.tally.refuse)
        self.access_log: AccessLog | None = None
        self.log_format: Format = Combined()
        if config.access_log:
            self.access_log, self.log_format = _open_log(config, pages)
            self.journal.expect_lines()
        # Whether no connection persists behind a response that begins from now on.
        self.parting = config.keep_alive == 0
        self.before_wait: Callable[[Any], None] = _go_on
        self._heads: dict[tuple[object, ...], ResponseHead] = {}
        self._last_head: tuple[object, object, ResponseHead | None] = (None, None, None)
        self.starts: dict[tuple[object, ...], Start] = {}  # rendered starts of responses, of this epoch
        self.epoch = object()  # at most a second, until the Date line or ``parting`` changes
        self.now = 0.0  # time.monotonic() of the last tick
        self._second = 0
        self._date_line = self._date_and_server = b""
        self.tick()

    def tell_before_wait(self, before_wait: Callable[[Any], None]) -> None:
        """Have an exchange call ``before_wait`` with itself before it waits for its client."""
        self.before_wait = before_wait

    def response_head(self, status: str, headers: list[tuple[str, str]]) -> ResponseHead:
        """Check and render a response head, or find it among those that were equal."""
        last_status, last_headers, last = self._last_head
        if last is not None and headers == last_headers and status == last_status:
            return last
        try:
            key = (status, *headers)
            head = self._heads.get(key)
        except TypeError:  # Not hashable or not a list, hence not valid: the check says why.
            return response_head(status, headers)
        if head is None:
            head = response_head(status, headers)
            if len(self._heads) >= _MAX_HEADS:
                self._heads.clear()
            self._heads[key] = head
        self._last_head = (status, list(headers), head)
        return head

    def render_start(
        self, head: ResponseHead, announced: int | None, method: str, minor: int, keep_alive: bool
    ) -> Start:
        """Decide on the framing and render all that precedes the body; cache it in ``starts``.

        ``announced`` is the body's length if known. Returns (framing, the length to keep to, whether the
        connection persists, the status, the bytes, its unit in the journal or 0.0 if nobody counts).
        """
        # Taken first: nothing is cached for longer than its Date is right.
        epoch, starts = self.epoch, self.starts
        framing, length = response_framing(method, head.status, minor, announced)
        persists = keep_alive and framing != "close" and not self.parting
        persistence = b""
        if not persists:
            persistence = b"Connection: close\r\n"
        elif not minor:
            persistence = b"Connection: keep-alive\r\n"
        data = render_head(head, framing, length, self.date_and_server(head), persistence)
        kept_to = (length or 0) if framing == "length" else 0
        unit = unit_of(head.status, kept_to) if self.counts else 0.0
        start = (framing, kept_to, persists, head.status, data, unit)
        if len(starts) < _MAX_STARTS:
            starts[head, announced, method, minor, keep_alive] = start
        if head.content_length is not None and minor and keep_alive and method != "HEAD":
            head.cache(epoch, start)
        return start

    def part(self) -> None:
        """Let no connection persist behind a response that begins from now on; for the leader."""
        self.parting = True
        self._begin_epoch()

    def tick(self) -> float:
        """Keep the Date line true, and return the monotonic time.

        Called once a turn of the loop, and when an exchange took a while. Only what a person reads comes from
        the system's clock, which may be set.
        """
        second = int(wall_clock())
        if second != self._second:
            self._second = second
            self.log_format.tick(second)
            self._date_line = f"Date: {http_date(second)}\r\n".encode()
            self._date_and_server = self._date_line + _SERVER_LINE
            self._begin_epoch()
        self.now = now = monotonic()
        return now

    def _begin_epoch(self) -> None:
        self.starts = {}
        self.epoch = object()

    def date_and_server(self, head: ResponseHead | None = None) -> bytes:
        """Return the Date and Server lines, but not one that the app set itself."""
        if head is None or not (head.has_date or head.has_server):
            return self._date_and_server
        return (b"" if head.has_date else self._date_line) + (b"" if head.has_server else _SERVER_LINE)


def _open_log(config: Config, pages: tuple[OpenPage, OpenPage] | None) -> tuple[AccessLog, Format]:
    """Return the access log, and the format of its lines; OSError if its file cannot be opened."""
    stream = output()
    terminal = stream if config.access_log == "-" else None
    format = make_format(config.log_format, config.log_skip, config.log_sample, terminal, os.environ)
    return AccessLog(sink=open_sink(config.access_log, stream), pages=pages), format


def http_date(second: int) -> str:
    """Write a time as RFC 9110 §5.6.7 has it. Importing ``email.utils`` for that is a tenth of our start."""
    at = time.gmtime(second)
    day = f"{DAYS[at.tm_wday]}, {at.tm_mday:02} {MONTHS[at.tm_mon - 1]} {at.tm_year:04}"
    return f"{day} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"


def with_hsts(app: WSGIApplication, seconds: int) -> WSGIApplication:
    """Return ``app``, whose responses over TLS tell browsers to come back by https alone (RFC 6797).

    A field of the app's own stays. Without TLS the field is not allowed (§7.2).
    """
    name = "Strict-Transport-Security"
    field = (name, f"max-age={seconds}")

    def call(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["wsgi.url_scheme"] != "https":
            return app(environ, start_response)

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
            try:
                if all(pair[0].lower() != name.lower() for pair in headers):
                    headers = [*headers, field]
            except (AttributeError, LookupError, TypeError):
                pass  # They are not valid, and ``start_response`` says why.
            return start_response(status, headers, *exc_info)

        return app(environ, start)

    return call


def _go_on(exchange: object) -> None:
    """Nobody has to know that an exchange is about to wait."""
