"""Exchanges about which somebody wants to know more: the access log, or who reads the metrics.

A ``CountedExchange`` is counted once: when its response is there as a whole, before the last bytes leave, or
else when it has failed. ``Response._start`` counts in the ``journal`` what the leader answers at once; the
``tally`` counts the rest. A slow one may be given up by another thread, which then counts it; a lock decides
which. An ``OwingExchange`` has a line in the access log too, so it is not done when it is counted.

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

Counts and lines agree: each request that has a line is counted once, by the status in the line. If the line
does not say "done", the request is also counted by why it ended. The counts are the same without a log.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from wsgiserve.protocol.errors import RemoteProtocolError
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

    open_ended = False  # the response has begun, and is to be counted once it is whole
    counted_end = "done"  # why it has ended, as far as that is counted
    waited = 0.0  # seconds, for a thread
    by_tally = False  # the tally counts it; so if it owes its line, it has a row

    def _leave_rest(self) -> None:
        super()._leave_rest()
        self._have_end_counted()

    def _have_end_counted(self) -> None:
        """Have ``log`` called once the loop has sent the rest of a response, also without an access log."""
        if self.gateway.access_log is None and self.connection.outgoing and not self.written_off:
            self.connection.log_when_sent(self)
            self.counted_end = self.end

    def _tally(self, known_length: int | None) -> None:
        if known_length is None:
            self.open_ended = True
        else:
            self._count(min(known_length, self.remaining))

    @property
    def _is_due(self) -> bool:
        return self.open_ended or not self.head_sent

    def _count(self, size: int) -> None:
        """Count it, with the bytes of its body, unless it is counted already."""
        with _deciding:
            if self.counted:
                return
            self.counted, self.by_tally, self.open_ended = True, True, False
        tally = self.gateway.tally
        tally.count("response_bytes", size)
        tally.request(self.request.method, self.status, monotonic() - self.started)
        self.gateway.in_flight.count(self)
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
        if self.end == "cut":
            self.gateway.tally.end("cut")

    def _switch(self) -> None:
        self.status = 101
        self._count(0)
        super()._switch()

    def _answer(self, status: int, detail: str) -> None:
        self.status = status
        self._count(0)
        super()._answer(status, detail)
        self.gateway.tally.count("response_bytes", self.sent)

    def _send_answer(self, status: int, head: bytes, body: bytes) -> None:
        end = self.end
        super()._send_answer(status, head, body)
        if self.end != end:
            self.gateway.tally.end(self.end)

    def shed(self, detail: str) -> None:
        """Answer 503 in place of the app."""
        tally, in_flight = self.gateway.tally, self.gateway.in_flight
        self.end = "shed"
        in_flight.put(self, "sending")
        tally.count("shed")
        if self.detached:  # It waited in the queue.
            tally.count("timeout queue")
            self.waited = monotonic() - self.started
        super().shed(detail)
        self._have_end_counted()
        in_flight.take(self)

    def answer_itself(self, status: int, head: bytes, body: bytes = b"", end: str = "done") -> None:
        """Send an answer of the server's own in place of the app's; who asks decides about the connection."""
        in_flight = self.gateway.in_flight
        self.status, self.end = status, end
        in_flight.put(self, "sending")
        self._count(len(body))
        if end == "client left":
            self.gateway.tally.end(end)
        super().answer_itself(status, head, body, end)
        self._have_end_counted()
        in_flight.take(self)

    def lose(self, end: str) -> None:
        """End without an answer, or in the middle of one; nothing if it has ended before."""
        loses = not (self.over or self.counted)
        if loses:
            if end == "client left":
                self.status = self.status or CLIENT_CLOSED_REQUEST
            self._count(self.sent)
            self.gateway.tally.end(end)
            self.counted_end = end
        super().lose(end)
        if loses:
            self._show_no_more()

    def _show_no_more(self) -> None:
        """It is counted and has its line, unless that waits. If it has a thread, that gives the row back."""
        if not self.detached:
            self.gateway.in_flight.take(self)
        elif not self.owes_line:
            self.gateway.in_flight.settle(self)

    def _abandon(self, error: ClientDisconnected) -> None:
        super()._abandon(error)
        if not self.written_off:
            self.gateway.tally.end(self.end)
            if self._is_due:
                self._count(self.sent)

    def _fail(self, error: BaseException) -> None:
        end = self.end
        if isinstance(error, RemoteProtocolError) and not self.written_off:
            self.end = end = "timeout" if error.status == 408 else "refused"
            self.gateway.in_flight.end(self, "app")
        super()._fail(error)
        if self._is_due and not self.written_off:
            self._count(self.sent)
        if self.end == "cut" != end:
            self.gateway.tally.end("cut")

    def answer_overdue(self, successor: Connection) -> None:
        """Answer 504 on the connection that replaces this one; cut a response that has begun."""
        if not self.complete:
            self.end = self.counted_end = "timeout"
            self.gateway.in_flight.end(self, "given up")
            self.gateway.tally.count("timeout call")
        if self._is_due:
            self.status = self.status if self.head_sent else 504
            self._count(self.sent)
        super().answer_overdue(successor)
        self.gateway.in_flight.settle(self)

    # -- a response that the loop sends

    def _log(self) -> None:
        super()._log()
        if self.connection.unlogged is self:
            self.owes_line, self.counted_end = True, self.end
            self.gateway.in_flight.put(self, "sending")

    def log(self) -> None:
        """Write the access log's line, once the response has left or has been given up."""
        super().log()
        if self.end != self.counted_end:
            self.gateway.tally.end(self.end)
        if self.owes_line:
            self.owes_line = False
            self.gateway.in_flight.take(self)

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


class OwingExchange(CountedExchange):
    """An exchange that is counted, and then has its line."""

    def run(self) -> None:
        """Call the app and send its answer."""
        try:
            Exchange.run(self)  # Looking it up by ``super`` costs more than the call.
        finally:
            if not self.detached:
                self.gateway.journal.owed[0] = 0.0
            if self.by_tally or self.detached:
                self._show_no_more()


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

    def _log(self) -> None:
        if self.connection.outgoing:
            self.returned = monotonic()
        if self.head_sent and not self.first_byte:
            self.first_byte = monotonic()  # All of the response was ready at once.
        super()._log()


class OwingRecordedExchange(RecordedExchange, OwingExchange):
    """An exchange that takes notes and is counted."""

    def run(self) -> None:
        """Call the app and send its answer."""
        self.called = monotonic()
        OwingExchange.run(self)


class IdentifiedRecordedExchange(IdentifiedExchange, RecordedExchange):
    """An exchange that takes notes, and whose request has an id."""


class IdentifiedCountedExchange(IdentifiedExchange, CountedExchange):
    """An exchange that is counted, and whose request has an id."""


class IdentifiedOwingExchange(IdentifiedExchange, OwingExchange):
    """An exchange that is counted and has a line, and whose request has an id."""


class IdentifiedOwingRecordedExchange(IdentifiedExchange, OwingRecordedExchange):
    """All of it."""


def exchange_type(
    gateway: Gateway, *, request_id: bool = False
) -> Callable[[Gateway, Connection, RequestHead], Exchange]:
    """Return the kind of exchanges that a server's log, its metrics and ``--request-id`` need."""
    logs, takes_notes = gateway.access_log is not None, gateway.log_format.takes_notes
    recorded, counted = logs and takes_notes, gateway.counts
    kind: type[Exchange]
    if recorded:
        kind = OwingRecordedExchange if counted else RecordedExchange
    elif counted:
        kind = OwingExchange if logs else CountedExchange
    else:
        kind = Exchange
    return partial(_IDENTIFIED[kind], id_maker()) if request_id else kind


_IDENTIFIED: dict[type[Exchange], type[IdentifiedExchange]] = {
    Exchange: IdentifiedExchange,
    RecordedExchange: IdentifiedRecordedExchange,
    CountedExchange: IdentifiedCountedExchange,
    OwingExchange: IdentifiedOwingExchange,
    OwingRecordedExchange: IdentifiedOwingRecordedExchange,
}
