"""Exchanges about which somebody wants to know more: the access log, or who reads the metrics.

A ``CountedExchange`` is counted in the ``tally``, once: when its response is there as a whole, before the
last bytes leave, or else when it has failed. ``Response._start`` itself counts the fast ones, if all of the
body is there. A slow one may be given up by another thread, which then counts it; a lock decides which.

A ``RecordedExchange`` knows how long each part took, and why it ended. The clock is read three times more per
request. So there are such exchanges only for a log that needs them.

| end | the request |
|---|---|
| done | has its whole response, also one of ours to an error of the app |
| client left | has no client any more |
| timeout | took too long: the app, or the client while it sent or read |
| shed | was answered 503, as no thread was free |
| refused | broke the rules of HTTP, or a limit |
| cut | has a response that is visibly incomplete, for a fault of the app or because the server stopped |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from wsgiserve.protocol.request import RequestHead
from wsgiserve.server.errors import ClientDisconnected
from wsgiserve.server.http.connection import Connection
from wsgiserve.server.http.environ import Environ
from wsgiserve.server.http.exchange import CLIENT_CLOSED_REQUEST, Exchange, IdentifiedExchange
from wsgiserve.server.http.file_wrapper import FileWrapper
from wsgiserve.server.http.gateway import Gateway
from wsgiserve.server.http.request_ids import id_maker
from wsgiserve.server.system import Lock, monotonic

_deciding = Lock()


class CountedExchange(Exchange):
    """An exchange that is counted."""

    counted = False  # once another way than ``Response._start`` has done it
    open_ended = False  # the response has begun, and is to be counted once it is whole
    waited = 0.0  # seconds, for a thread

    def run(self) -> None:
        """Call the app, for all to see; ``in_flight`` has the rules."""
        if self.detached:
            super().run()
            return
        in_flight = self.gateway.in_flight
        starts = in_flight.starts
        if self.request is not in_flight.shown or self.id:
            in_flight.show(self)
        starts[0] = self.started
        if self.detached:  # Deposed meanwhile, so it has another row.
            starts[0] = 0.0  # type: ignore[unreachable]  # Another thread sets it.
        super().run()
        if not self.detached:
            starts[0] = 0.0

    def _tally(self, known_length: int | None) -> None:
        if known_length is None:
            self.open_ended = True
        else:
            self._count(self.remaining)

    @property
    def _is_due(self) -> bool:
        return self.open_ended or not self.head_sent

    def _count(self, size: int) -> None:
        """Count it, with the bytes of its body, unless it is counted already."""
        with _deciding:
            if self.counted:
                return
            self.counted, self.open_ended = True, False
        tally = self.gateway.tally
        tally.request(self.request.method, self.status or CLIENT_CLOSED_REQUEST, monotonic() - self.started)
        tally.count("response_bytes", size)
        if self.waited:
            tally.wait(self.waited)

    # -- other ways of a response

    def _fit(self, data: bytes) -> bytes:
        data = super()._fit(data)
        if self.open_ended and self.framing == "length" and not self.remaining:
            self._count(self.sent)
        return data

    def _end_body(self) -> None:
        if self.open_ended:
            self._count(self.sent)
        super()._end_body()

    def _switch(self) -> None:
        self.status = 101
        self._count(0)
        super()._switch()

    def _answer(self, status: int, detail: str) -> None:
        self.status = status
        self._count(0)
        super()._answer(status, detail)
        self.gateway.tally.count("response_bytes", self.sent)

    def shed(self, detail: str) -> None:
        """Answer 503 in place of the app."""
        tally = self.gateway.tally
        tally.count("shed")
        if self.detached:  # It waited in the queue.
            tally.count("timeout queue")
            self.waited = monotonic() - self.started
        super().shed(detail)

    def _abandon(self, error: ClientDisconnected) -> None:
        super()._abandon(error)
        if not self.written_off:
            self.gateway.tally.count("timeout response" if self.end == "timeout" else "clients_left")
            if self._is_due:
                self._count(self.sent)

    def _fail(self, error: BaseException) -> None:
        super()._fail(error)
        if self._is_due and not self.written_off:
            self._count(self.sent)

    def answer_overdue(self, successor: Connection) -> None:
        """Answer 504 on the connection that replaces this one; cut a response that has begun."""
        super().answer_overdue(successor)
        self.gateway.tally.count("timeout call")
        if self._is_due:
            self._count(self.sent)

    # -- what else is counted

    def got_thread(self, now: float) -> None:
        """Note that it has got a thread."""
        self.waited = now - self.started

    def _open_body(self, environ: Environ) -> None:
        if self.reader is None:
            receiver = self.connection.receiver
            size = self.request.meaning.content_length
            self.gateway.tally.count("request_bytes", receiver.arrived if size is None else size)
        super()._open_body(environ)

    def _finish(self) -> None:
        if self.reader is not None:
            self.gateway.tally.count("request_bytes", self.connection.receiver.arrived)
        super()._finish()


class RecordedExchange(Exchange):
    """An exchange that takes notes."""

    def run(self) -> None:
        """Call the app and send its answer."""
        self.called = monotonic()
        Exchange.run(self)

    def _send_block(self, data: bytes) -> None:
        if not self.head_sent:
            self._note_first_byte()
        super()._send_block(data)

    def _send_file(self, wrapper: FileWrapper) -> bool:
        self._note_first_byte()
        return super()._send_file(wrapper)

    def _note_first_byte(self) -> None:
        """The head is ready, and the last byte leaves later."""
        self.connection.forget_plain_line()
        self.first_byte = monotonic()

    def _send_answer(self, status: int, head: bytes, body: bytes) -> None:
        self.first_byte = monotonic()
        super()._send_answer(status, head, body)

    def _end(self, environ: Environ) -> None:
        request, rendered, plain = self.connection.line
        try:
            if (
                request is self.request
                and rendered is self.head.rendered  # type: ignore[union-attr]  # as in ``Exchange._end``
                and "REMOTE_USER" not in environ
            ):
                line = plain(self.started, self.called, monotonic())
                self.gateway.access_log.write(line)  # type: ignore[union-attr]
                return
        except (AttributeError, IndexError, ValueError):
            pass
        self.user = environ.get("REMOTE_USER") or "-"
        self._log()

    def _log(self) -> None:
        if self.connection.outgoing:
            self.returned = monotonic()
        if self.head_sent and not self.first_byte:
            self.first_byte = monotonic()  # All of the response was ready at once.
        super()._log()


class CountedRecordedExchange(RecordedExchange, CountedExchange):
    """An exchange that takes notes and is counted."""


class IdentifiedRecordedExchange(IdentifiedExchange, RecordedExchange):
    """An exchange that takes notes, and whose request has an id."""


class IdentifiedCountedExchange(IdentifiedExchange, CountedExchange):
    """An exchange that is counted, and whose request has an id."""


class IdentifiedCountedRecordedExchange(IdentifiedExchange, CountedRecordedExchange):
    """All of it."""


def exchange_type(
    gateway: Gateway, *, request_id: bool = False
) -> Callable[[Gateway, Connection, RequestHead], Exchange]:
    """Return the kind of exchanges that a server's log, its metrics and ``--request-id`` need."""
    recorded = gateway.access_log is not None and gateway.log_format.takes_notes
    counted = gateway.counts
    if request_id:
        kinds = {
            (False, False): IdentifiedExchange,
            (True, False): IdentifiedRecordedExchange,
            (False, True): IdentifiedCountedExchange,
            (True, True): IdentifiedCountedRecordedExchange,
        }
        return partial(kinds[recorded, counted], id_maker())
    if counted:
        return CountedRecordedExchange if recorded else CountedExchange
    return RecordedExchange if recorded else Exchange
