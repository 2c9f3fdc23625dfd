"""Exchanges whose lines in the access log say more: how long each part took, and why it ended.

The clock is read twice more per request. So there are such exchanges only for a log that needs them.

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
from wsgiserve.server.http.environ import Environ
from wsgiserve.server.http.exchange import Exchange, IdentifiedExchange
from wsgiserve.server.http.file_wrapper import FileWrapper
from wsgiserve.server.http.gateway import Gateway
from wsgiserve.server.http.request_ids import id_maker
from wsgiserve.server.system import monotonic


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


class IdentifiedRecordedExchange(IdentifiedExchange, RecordedExchange):
    """An exchange that takes notes, and whose request has an id."""


def exchange_type(
    gateway: Gateway, *, request_id: bool = False
) -> Callable[[Gateway, Connection, RequestHead], Exchange]:
    """Return the kind of exchanges that a server's log and ``--request-id`` need."""
    recorded = gateway.access_log is not None and gateway.log_format.takes_notes
    if request_id:
        return partial(IdentifiedRecordedExchange if recorded else IdentifiedExchange, id_maker())
    return RecordedExchange if recorded else Exchange
