"""A connection whose requests are seen while they run; ``journal`` has the rules."""

from __future__ import annotations

from typing import Any

from wsgiserve.protocol.request import RequestHead
from wsgiserve.server.http.connection import Connection
from wsgiserve.server.http.environ import Environ
from wsgiserve.server.in_flight import Exchange, text_of
from wsgiserve.server.journal import PLACE, Journal


class ShownConnection(Connection):
    """A connection that writes to the journal which request it runs."""

    __slots__ = ("base", "journal", "place", "shown")

    exchange: Any

    def __init__(self, journal: Journal, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.journal = journal
        self.place: int | None = None  # of its texts; None before the first
        self.base = 0.0  # of its words
        self.shown: object = None  # the request whose text is there

    def environ_of(self, request: RequestHead) -> Environ:
        """Make a request's environ, as the app is about to be called; show the request."""
        exchange = self.exchange
        if request is not self.shown:
            self._write_text(exchange)
        if not exchange.detached:
            journal = self.journal
            try:
                journal.words[journal.at] = self.base - exchange.started
            except IndexError:
                pass  # Until the loop's next turn, others than this one are shown.
        if request is self.repeated and self.kept_environ is not None:
            return self.kept_environ.copy()  # as in ``Connection``, which costs another call
        return Connection.environ_of(self, request)

    def _write_text(self, exchange: Exchange) -> None:
        if exchange.detached:
            return  # It has a row.
        if self.place is None:
            self.place = self.journal.take_place()
            self.base = -PLACE * self.place
        self.journal.write(self.place, text_of(exchange), exchange.request)
        if self.place and not exchange.id:
            self.shown = exchange.request

    def forget_exchange(self) -> None:
        """Serve no more requests; another connection may have the place."""
        super().forget_exchange()
        if self.place is not None:
            self.journal.give_back(self.place)
            self.place, self.base, self.shown = None, 0.0, None
