"""Exchanges whose lines in the access log say more: how long each part took, and why it ended.

The clock is read three times more per request. So there are such exchanges only for a log that needs them.

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
from wsgiserve.server.http.connection import Connection
from wsgiserve.server.http.exchange import Exchange, IdentifiedExchange
from wsgiserve.server.http.gateway import Gateway
from wsgiserve.server.http.request_ids import id_maker
from wsgiserve.server.system import monotonic


class RecordedExchange(Exchange):
    """An exchange that takes notes; times are monotonic seconds, 0 for what has not happened."""

    called = 0.0  # the app was called
    first_byte = 0.0  # the head of the response was ready to be sent
    returned = 0.0  # the app had made its whole response

    received = 0  # bytes of the request's body, with their framing if it was chunked

    def run(self) -> None:
        """Call the app and send its answer."""
        self.called = monotonic()
        super().run()

    def _start(self, known_length: int | None) -> bytes:
        start = super()._start(known_length)
        self.first_byte = monotonic()
        return start

    def _send_answer(self, status: int, head: bytes, body: bytes) -> None:
        self.first_byte = monotonic()
        super()._send_answer(status, head, body)

    def _log(self) -> None:
        self.returned = now = monotonic()
        if self.connection.outgoing:
            self.connection.log_when_sent(self)
        else:
            self._record(self.sent, now)

    def _add_line(self, size: int) -> None:
        self._record(size, monotonic())

    def _record(self, size: int, now: float) -> None:
        log, format, connection = self.gateway.access_log, self.gateway.log_format, self.connection
        if log is None or format is None or self.logged:
            return
        self.logged = True  # A call may be given up just as it ends.
        meaning = self.request.meaning
        if meaning.has_body:
            self.received = self._arrived()
        request, status, last_size, client, kept = connection.logged
        if request is not self.request or size != last_size or status != self.status:
            client = connection.client_of(self.request)
            kept = format.keep(client, self.request, self.status, size)
            connection.remember_line(self.request, self.status, size, client, kept)
        line = format.line(kept, self, now)
        if line:
            log.append(line)

    def _arrived(self) -> int:
        """Count the bytes of the body that have arrived; a refused head has none."""
        receiver = self.connection.receiver
        if self.reader is not None:
            return receiver.arrived
        whole = self.request.meaning.content_length
        return (0 if receiver.failed else whole) if whole is not None else receiver.arrived


class IdentifiedRecordedExchange(IdentifiedExchange, RecordedExchange):
    """An exchange that takes notes, and whose request has an id; a ``Format`` writes it."""


def exchange_type(
    gateway: Gateway, *, request_id: bool = False
) -> Callable[[Gateway, Connection, RequestHead], Exchange]:
    """Return the kind of exchanges that a server's log and ``--request-id`` need."""
    recorded = gateway.log_format is not None
    if request_id:
        return partial(IdentifiedRecordedExchange if recorded else IdentifiedExchange, id_maker())
    return RecordedExchange if recorded else Exchange
