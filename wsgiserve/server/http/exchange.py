"""One request and its response: the call of the app, as PEP 3333 wants it.

The bytes are ``reply``'s business. In here are the three shapes of a result, what the app may call meanwhile,
and what becomes of errors: a clean 500 until the first byte of the response has left.

Rules
- ``close()`` of what the app returned is called exactly once, also after errors and when the client left.
- What the client gets is whole or visibly cut: after an error behind the head there is no last chunk, no
  filling up, no second response; the connection ends.
- The thread that runs the exchange owns the connection; before it waits, it tells the leadership.
"""

from __future__ import annotations

import io
import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from wsgiserve.protocol import (
    CONTINUE,
    BodyReader,
    LocalProtocolError,
    RemoteProtocolError,
    switching_protocols,
)
from wsgiserve.server.access_log import AccessLog
from wsgiserve.server.errors import ClientDisconnected
from wsgiserve.server.http.environ import request_environ
from wsgiserve.server.http.file_wrapper import FileWrapper
from wsgiserve.server.http.input import BodyStream
from wsgiserve.server.http.response import Reply

if TYPE_CHECKING:
    from types import TracebackType

    ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

logger = logging.getLogger("wsgiserve")

# What the access log shows where the client left before there was a response; as other servers do.
CLIENT_CLOSED_REQUEST = 499


class Exchange(Reply):
    """One call of the app, and the response to it."""

    over = False  # the connection is no longer ours
    deferred_close = False  # the connection closes the result, once the file has left
    written_off = False  # its thread is given up, and whatever that does now reaches nobody

    # -- the call

    def run(self) -> None:
        """Call the app and send what it answers; the connection is left ready for what comes next."""
        try:
            request = self.request
            block, connection = request.block, self.connection
            # As in ``layer``, without the call.
            layer = connection.block_layer if block is connection.last_block else self.layer()
            environ = request_environ(layer, request)
            if block.has_body:
                environ["wsgi.input"] = self._open_body()
            result = self.gateway.app(environ, self.start_response)
            if type(result) is list or type(result) is tuple:
                self._send_whole(result)
            else:
                self._send_iterable(result)
        except ClientDisconnected as error:
            self._abandon(error)
        except BaseException as error:  # noqa: BLE001 - whatever the app raises, SystemExit included
            self._fail(error)
        self.over = True
        if not self.keep_alive or self.reader is not None:
            self._finish()
        if self.gateway.access_log is not None:
            self._log(self.gateway.access_log)

    def shed(self, detail: str) -> None:
        """Answer in place of the app, which there is no thread for; the connection is left as by ``run``."""
        self.connection.body = b""  # Not to be kept on an idle connection.
        self._answer(503, detail)
        self._finish()
        if self.gateway.access_log is not None:
            self._log(self.gateway.access_log)

    def _send_iterable(self, result: Iterable[bytes]) -> None:
        try:
            if self.switching:
                self._switch()
            elif type(result) is FileWrapper:
                self._send_file(result)
            else:
                self._send_blocks(result)
        finally:
            if hasattr(result, "close") and not self.deferred_close:
                result.close()

    def _open_body(self) -> io.BufferedIOBase:
        """Return ``wsgi.input`` for what is there, or for what is still arriving."""
        connection = self.connection
        if self.reader is not None:
            self.stream = BodyStream(connection, self.reader, self._continue, self._before_wait)
            return io.BufferedReader(self.stream, 65536)
        body = io.BytesIO(connection.body)
        connection.body = b""
        return body

    def _continue(self) -> None:
        """RFC 9110 §10.1.1: only when the app wants the body, and not once an answer has left."""
        if self.request.expects_continue and not self.head_sent:
            self.connection.send(CONTINUE)

    def _before_wait(self) -> None:
        self.gateway.before_wait(self)

    # -- what the app calls

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        """Take the status and headers (PEP 3333, "The start_response() Callable")."""
        if self.switching:
            raise LocalProtocolError("upgrade() was called; return [] without calling start_response")
        if exc_info is not None and exc_info[1] is not None:
            try:
                if self.head_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # PEP 3333: no circular reference through the traceback
        elif self.head is not None:
            raise LocalProtocolError(
                "start_response was called twice; a second call is for errors and passes exc_info"
            )
        self.head = self.gateway.response_head(status, headers)
        return self.write

    def write(self, data: bytes) -> None:
        """Send a block now (PEP 3333, "The write() Callable")."""
        if not isinstance(data, bytes):
            raise LocalProtocolError(f"the app wrote {type(data).__name__}; a body is made of bytes")
        if self.over:
            raise LocalProtocolError("write() was called after the response was over")
        if data:
            self._send_block(data)

    def upgrade(
        self, protocol: str, handler: Callable[[socket.socket, bytes], object], fields: list[tuple[str, str]]
    ) -> None:
        """Answer 101 in place of a response, and hand the socket over (RFC 9110 §7.8)."""
        self.switching = switching_protocols(protocol, fields)
        self.connection.handler = handler

    def _switch(self) -> None:
        self.head_sent = True
        self.status = 101
        self.keep_alive = False
        self.connection.send(self.switching)

    # -- the three shapes of a result

    def _send_whole(self, blocks: list[bytes] | tuple[bytes, ...]) -> None:
        """All blocks are there: their length is known, and they leave in one send."""
        try:
            data = b"".join(blocks)
        except TypeError:
            wrong = next(type(b).__name__ for b in blocks if not isinstance(b, bytes))
            raise LocalProtocolError(f"the app returned {wrong}; a body is made of bytes") from None
        if self.head_sent:
            if data:
                self._send_block(data)
        elif self.switching:
            self._switch()
            return
        else:
            length = len(data)
            start = self._start(length)
            if length == self.remaining and self.framing == "length":
                self.sent = length
                self.complete = True
                self.connection.send(start + data)
                return
            self.connection.send(start + self._fit(data))
        self._end_body()

    def _send_file(self, wrapper: FileWrapper) -> None:
        """A regular file goes from the disk to the socket; anything else is a result like any other."""
        segment = wrapper.segment()
        if segment is None or self.head_sent:
            self._send_blocks(wrapper)
            return
        descriptor, offset, count = segment
        start = self._start(count)
        if self.framing == "length":
            if count < self.remaining:
                self._complain(f"a file of {count} bytes for a Content-Length of {self.remaining}")
                self.keep_alive = False
            count = min(count, self.remaining)
            self.remaining = 0
            self.sent += count
            self.deferred_close = True
            self.deferred_close = self.connection.send_file(start, wrapper, descriptor, offset, count)
        else:
            self.connection.send(start)
        self.complete = True

    def _send_blocks(self, result: Iterable[bytes]) -> None:
        """Anything iterable: each block leaves when it is produced."""
        for block in _iterate(result):
            if not isinstance(block, bytes):
                raise LocalProtocolError(f"the app yielded {type(block).__name__}; a body is made of bytes")
            if block:
                self._send_block(block)
                if self.framing == "none" or self.framing == "head":
                    break  # Nobody will see more of it.
        if not self.head_sent:
            self.connection.send(self._start(0))
        self._end_body()

    # -- the end

    def _abandon(self, error: ClientDisconnected) -> None:
        """The client left; one that only ended its sending side too early can still be told."""
        if self.written_off:
            return
        logger.debug("%s: %s", self.connection.peer, error)
        self.status = self.status or CLIENT_CLOSED_REQUEST
        if self.stream is not None and self.stream.failed and not self.head_sent:
            self.keep_alive = False
            self._answer(400, "the request body is incomplete")
        else:
            self.connection.broken = True

    def _fail(self, error: BaseException) -> None:
        """Answer for an error that the app let through; behind a head that has left, cut the connection."""
        if self.written_off:
            return
        connection = self.connection
        status, detail = 500, "the application failed; its log says why"
        if isinstance(error, RemoteProtocolError):
            status, detail = error.status, error.detail
            self.keep_alive = False
            self.gateway.refusals.add(connection.peer, error)
        elif isinstance(error, LocalProtocolError):
            self._complain(str(error))
        else:
            theirs = (type(error), error, _below_here(error.__traceback__))
            logger.error("%s %s raised", self.request.method, self.request.target, exc_info=theirs)
        if self.complete:
            return  # The client has its whole response; only close() failed.
        if self.head_sent:
            connection.broken = True
            connection.reset = self.framing == "close"
            return
        connection.handler = None
        self._answer(status, detail)

    def _finish(self) -> None:
        """Leave the connection as the next owner expects it, and nothing large behind."""
        connection = self.connection
        if not self.keep_alive:
            connection.closing = True
        if self.reader is not None:
            self._leave_body(self.reader)

    def _log(self, log: AccessLog) -> None:
        if self.connection.outgoing:
            self.connection.unlogged = self
        else:
            log.add(self, self.sent)

    def write_off(self) -> None:
        """Silence it: its thread is given up, and somebody else answers."""
        self.written_off = True
        self._log = _log_nothing  # type: ignore[method-assign]  # Nothing to look at for all the others.

    def _leave_body(self, reader: BodyReader) -> None:
        """What has not arrived of the request's body is read and forgotten, as far as that can be done."""
        connection = self.connection
        if reader.done:
            connection.body_reader = None
            return
        if self.stream is not None and self.stream.failed:
            connection.closing = True
        connection.phase = "discard"


def _log_nothing(log: AccessLog) -> None:
    pass


def _below_here(frames: TracebackType | None) -> TracebackType | None:
    """Leave our own frames out of a traceback."""
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return frames


def _iterate(result: Any) -> Iterator[Any]:
    """Iterate what the app returned; text and bytes are iterable too, but never what the app means."""
    if not isinstance(result, str | bytes):
        try:
            return iter(result)
        except TypeError:
            pass
    raise LocalProtocolError(
        f"the app returned {type(result).__name__}; return an iterable of bytes, such as [b'text']"
    )
