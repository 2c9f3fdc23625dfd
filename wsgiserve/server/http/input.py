"""``wsgi.input`` for a body that is still arriving when the app reads it.

``io.BufferedReader`` gives the app ``read``, ``readline``, ``readlines`` and iteration. Below it,
``readinto`` receives from the connection, which belongs to the exchange meanwhile. A body that is cut short
is an error, never a short read: PEP 3333 allows both, but a truncated upload that is saved as whole is lost
data.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from wsgiserve.protocol.body import BodyReader
from wsgiserve.protocol.errors import RemoteProtocolError
from wsgiserve.protocol.request import RequestHead
from wsgiserve.server.errors import ClientDisconnected
from wsgiserve.server.http.connection import Connection
from wsgiserve.server.http.pace import Pace

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class BodyStream(io.RawIOBase):
    """The bytes of one request body.

    ``first_read`` is called before the first byte is read, when ``100 Continue`` is due; ``before_wait``
    before each wait for the client.
    """

    def __init__(
        self,
        connection: Connection,
        reader: BodyReader,
        first_read: Callable[[], None],
        before_wait: Callable[[], None],
    ) -> None:
        self.reader = reader
        self._received = 0
        self._pace: Pace | None = None
        self._begun = False
        self._connection = connection
        self._arrived = memoryview(connection.take_body())
        self._first_read = first_read
        self._before_wait = before_wait

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def collect(self, head: RequestHead) -> int | None:
        """Wait for the whole body, and return its length; None for one that does not belong in memory."""
        arrived = bytearray(self._arrived)
        while not self.reader.done and self._connection.receiver.collects(head, len(arrived)):
            self._receive()
            arrived += self._arrived
        self._arrived = memoryview(arrived)
        return len(arrived) if self.reader.done else None

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill ``buffer`` with bytes that have arrived, waiting for at least one; 0 at the body's end."""
        if not self._begun:
            self._begun = True
            self._first_read()
        while not self._arrived and not self.reader.done:
            self._receive()
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._arrived))
        target[:count] = self._arrived[:count]
        self._arrived = self._arrived[count:]
        return count

    def _receive(self) -> None:
        receiver = self._connection.receiver
        if receiver.failed:
            raise ClientDisconnected("the request body is incomplete")
        try:
            self._arrived = memoryview(receiver.read_body(b"" if receiver.buffer else self._more()))
        except BaseException:
            receiver.fail()  # The body stays incomplete, also if the app catches the error.
            raise

    def _more(self) -> bytes:
        data = self._connection.receive()
        if data is None:
            self._before_wait()
            data = self._await()
        else:
            self._received += len(data)
        if not data:
            raise ClientDisconnected("the client left before its request body was complete")
        return data

    def _await(self) -> bytes:
        """Wait for the client; time that the app takes between two reads does not count."""
        connection = self._connection
        pace = self._pace = self._pace or connection.pace_from(self._received)
        data = None
        while data is None:
            connection.wait_readable(pace.resume())
            data = connection.receive()
            self._received += len(data or b"")
            if pace.too_slow(lambda: self._received):
                raise RemoteProtocolError(408, "the request body arrives too slowly")
        return data
