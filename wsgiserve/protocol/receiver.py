"""The bytes of one connection, cut into requests: heads, bodies, and bodies that nobody reads.

Strategy. A request is returned once the server can act on it. A small body is collected first, so that the
app finds all of it in memory. A large body, or one whose client waits for ``100 Continue``, is left to the
caller: it reads on through ``body_reader``, and calls ``leave_body`` when it wants no more.

The phase says where received bytes belong:

========= ==========================================================================
phase     received bytes belong to
========= ==========================================================================
head      the next request's head; or the body that the caller reads, if ``body_reader`` is set
body      a body that is collected in memory
discard   a body whose rest nobody reads; a next request may follow it
========= ==========================================================================
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from wsgiserve.protocol.body import BodyReader, body_reader
from wsgiserve.protocol.fields import EVERY_FIELD, FieldReader
from wsgiserve.protocol.limits import Limits
from wsgiserve.protocol.request import RequestHead, RequestReader

# A body up to this size is collected in memory.
BODY_IN_MEMORY = 1 << 20
# A chunked body is collected while its framing is at most this: tiny chunks are slow to read.
CHUNK_OVERHEAD = 16384

Phase = Literal["head", "body", "discard"]


class Receiver(RequestReader):
    """Cut a stream of bytes into requests."""

    __slots__ = ("_head", "arrived", "body", "body_reader", "last_body_reader", "phase")

    def __init__(
        self, limits: Limits, own_paths: Collection[str] = (), field_reader: FieldReader = EVERY_FIELD
    ) -> None:
        super().__init__(limits, own_paths, field_reader)
        self.phase: Phase = "head"
        self._head: RequestHead | None = None  # whose body is being collected
        self.body: bytes | bytearray = b""  # the collected part of it
        self.body_reader: BodyReader | None = None  # of a body whose end has not arrived
        self.last_body_reader: BodyReader | None = None  # has the trailer fields of the last chunked body
        self.arrived = 0  # bytes of the body, with its framing

    @property
    def incomplete(self) -> RequestHead | None:
        """The request whose body is being collected, and which is not returned yet."""
        return self._head

    def unserved(self) -> RequestHead:
        """Return what is known of a request that is refused, or incomplete, for a log."""
        return self._head or super().unserved()

    @property
    def begun(self) -> bool:
        """Whether a part of a request is there, but not all of it."""
        return self.phase == "body" or (self.phase == "head" and bool(self.buffer))

    def next_request(self, data: bytes = b"") -> RequestHead | None:
        """Add received bytes, and return the next request; None while bytes are missing.

        The body is in ``body``; the rest of it, if there is one, is still to be read by ``body_reader``.
        Raise RemoteProtocolError to refuse.
        """
        if self.phase != "head":
            self.receive_data(data)
            data = b""
            if self.phase == "body":
                return self._collect_body()
            if not self._discard_body():
                return None
        head = self.next_head(data)
        if head is None or not head.meaning.has_body or head.own:
            return head
        buffer, length = self.buffer, head.meaning.content_length
        if length is not None and length <= len(buffer):  # Most bodies come with their head.
            self.body, self.buffer = buffer[:length], buffer[length:]
            return head
        self._head, self.phase = head, "body"
        self.body = bytearray()
        self.arrived = 0
        self.body_reader = self.last_body_reader = body_reader(head.meaning, self.limits)
        return self._collect_body()

    def _collect_body(self) -> RequestHead | None:
        head, reader = self._head, self.body_reader
        assert head is not None
        assert reader is not None
        self.body += self.read_body()
        if reader.done:
            self.body_reader = None
        elif self.collects(head, len(self.body)):
            return None
        return self.end_collecting()

    def collects(self, head: RequestHead, size: int) -> bool:
        """Whether the rest of a body belongs in memory too, once ``size`` bytes of it have arrived."""
        return not (
            head.expects_continue
            or (head.meaning.content_length or 0) > BODY_IN_MEMORY
            or size > BODY_IN_MEMORY
            or self.arrived - size > CHUNK_OVERHEAD
        )

    def end_collecting(self) -> RequestHead:
        """Return the request whose body is being collected; the rest of it is left to the caller."""
        head = self._head
        assert head is not None
        self._head = None
        self.phase = "head"
        return head

    @property
    def kept(self) -> int:
        """Count the bytes that are kept, of a body or of requests that are not read yet."""
        return len(self.body) + len(self.buffer)

    def forget(self) -> None:
        """Read nothing more, and keep nothing."""
        self.fail()
        self.body = b""

    def take_body(self) -> bytes:
        """Return the part of the body that has arrived, and keep it no longer.

        As ``bytes``: ``io.BytesIO`` shares these with the app's ``read()``. It would copy a bytearray twice.
        """
        body, self.body = self.body, b""
        return bytes(body)

    def read_body(self, data: bytes = b"") -> bytes:
        """Add received bytes, and return those that belong to the body."""
        assert self.body_reader is not None
        data, self.buffer = bytes(self.buffer) + data if self.buffer else data, b""
        body, rest = self.body_reader.receive_data(data)
        self.buffer = rest
        self.arrived += len(data) - len(rest)
        return body

    def leave_body(self) -> None:
        """Read no more of the body: its rest is discarded when it arrives."""
        assert self.body_reader is not None
        if self.body_reader.done:
            self.body_reader = None
        else:
            self.phase = "discard"

    def _discard_body(self) -> bool:
        """Discard the part of the body that has arrived; True at its end."""
        self.read_body()
        self.leave_body()
        if self.body_reader is not None:
            return False
        self.phase = "head"
        return True
