"""One request and its response: the call of the app, as PEP 3333 describes it.

``response`` sends the bytes. In here are the shapes of a result, the functions that the app may call
meanwhile, and the handling of errors: a clean 500 until the first byte of the response has left.

Rules
- ``close()`` of the app's result is called exactly once, also after errors and when the client left.
- The client gets a whole response or a visibly cut one: after an error behind the head there is no last
  chunk, no filling up, no second response; the connection ends.
- The thread that runs the exchange owns the connection; before it waits, it tells the leadership.
- A process that the app forks answers nobody: it ends where its call comes back (``forks``).
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from math import inf, trunc
from typing import TYPE_CHECKING, Any, NoReturn

from wsgiserve.forks import end_child, forget_finalizers
from wsgiserve.protocol.errors import LocalProtocolError, RemoteProtocolError
from wsgiserve.protocol.request import RequestHead
from wsgiserve.protocol.response import CONTINUE, error_response
from wsgiserve.server.errors import ClientDisconnected
from wsgiserve.server.http import request_ids
from wsgiserve.server.http.connection import Connection
from wsgiserve.server.http.environ import Environ
from wsgiserve.server.http.file_wrapper import FileWrapper
from wsgiserve.server.http.gateway import Gateway
from wsgiserve.server.http.input import BodyStream
from wsgiserve.server.http.response import Response
from wsgiserve.server.log_lines import MICROSECONDS
from wsgiserve.server.system import monotonic
from wsgiserve.tracebacks import theirs

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

logger = logging.getLogger("wsgiserve")

# The access log's status where the client left before there was a response; other servers use it too. Where
# a response was cut before it began, that is 0.
CLIENT_CLOSED_REQUEST = 499
# Why a response was given up that the loop was sending, by how its connection ends. It is reset for a client
# that is too slow; an end that is not the client's is the server's.
_GIVEN_UP = {"cut": "client left", "reset": "timeout"}
LOOK_SECONDS = 1.0  # between two looks for the client of a stream of empty blocks


class Exchange(Response):
    """One call of the app, and the response to it."""

    user = "-"  # REMOTE_USER, for the access log
    look_at = inf  # when to look whether the client of a stream of empty blocks is still there
    logged = False  # its line is in the access log
    over = False  # the call has ended: ``write`` is refused
    over_first = False  # it had ended when another thread took the lead, and its thread writes its line
    # for ``RecordedExchange``: monotonic seconds, 0 for what has not happened
    called = 0.0  # the app was called
    first_byte = 0.0  # the head of the response was ready to be sent
    returned = 0.0  # the app had made its whole response, if that was before the response had left

    # -- the call

    def run(self) -> None:
        """Call the app and send its answer; the connection is left ready for the next request."""
        request = self.request
        environ = self.connection.environ_of(request)
        try:
            if request.meaning.has_body:
                self._open_body(environ)
            result = self.gateway.app(environ, self.start_response)
            if type(result) is list or type(result) is tuple:
                self._send_whole(result)
            else:
                self._send_iterable(result)
        except ClientDisconnected as error:
            self._abandon(error)
        except BaseException as error:  # noqa: BLE001 - the app may raise anything, also SystemExit
            self._fail(error)
        self.over = True
        if self.connection.outgoing:
            self._leave_rest()
        if not self.keep_alive or self.reader is not None:
            self._finish()
        if self.gateway.access_log is not None:
            # Most lines are as the one before, up to their times: see ``Connection.remember_plain_line``.
            known, rendered, plain, timed = self.connection.line
            try:
                if (
                    known is request
                    and rendered is self.head.rendered  # type: ignore[union-attr]  # There is a line, hence a head.
                    and "REMOTE_USER" not in environ
                ):
                    if timed is None:
                        line = plain + MICROSECONDS[trunc((monotonic() - self.started) * 1e6)]
                    else:
                        line = timed(self.started, self.called, monotonic())
                    write = self.gateway.access_log.write  # Called at once: see ``AccessLog``.
                    write(line)
                    return
            except (AttributeError, IndexError, ValueError):
                pass  # The app gave no head, or it took longer, or there is no room.
            self._end(environ)

    def _leave_rest(self) -> None:
        """Leave the rest of a response to the loop, if there is room to keep it."""
        if not self.connection.adjust_share():
            self.gateway.before_wait(self)  # Its thread sends the rest: see ``Connections.settle``.

    def shed(self, detail: str) -> None:
        """Answer 503 in place of the app; the connection is left as by ``run``."""
        self.end = "shed"
        self.connection.take_body()  # An idle connection does not keep it.
        self._answer(503, detail)
        self._finish()
        if self.gateway.access_log is not None:
            self._log()

    def answer_itself(self, status: int, head: bytes, body: bytes = b"", end: str = "done") -> None:
        """Send an answer of the server's own in place of the app's; who asks decides about the connection."""
        self.end = end
        self._send_answer(status, head, body)
        if self.gateway.access_log is not None:
            self._log()

    def lose(self, end: str) -> None:
        """End without an answer, or in the middle of one; nothing if it has ended before."""
        if self.gateway.access_log is not None and not (self.over or self.logged):
            self.end = end
            if end == "client left":
                self.status = self.status or CLIENT_CLOSED_REQUEST
            self.log()

    def _send_iterable(self, result: Iterable[bytes]) -> None:
        try:
            if self.switching:
                self._switch()
            elif type(result) is not FileWrapper or not self._send_file(result):
                self._send_blocks(result)
        finally:
            if hasattr(result, "close"):
                result.close()

    def _send_blocks(self, result: Iterable[bytes]) -> None:
        """Anything iterable: each block leaves when it is produced."""
        for block in _iterate(result):
            if not isinstance(block, bytes):
                raise LocalProtocolError(f"the app yielded {type(block).__name__}; a body is made of bytes")
            if block:
                self._send_block(block)
                if self.framing in ("none", "head"):
                    break  # Nobody will see more of it.
            else:
                self._look_for_client()
        self._end_blocks()

    def _end_blocks(self) -> None:
        if not self.head_sent:
            self.connection.send(self._start(0))
        self._end_body()

    def _look_for_client(self) -> None:
        """Stop a stream of empty blocks whose client has left: sending nothing never fails.

        A system call a second tells. A client that ended only its sending side looks the same.
        """
        now = monotonic()
        if now >= self.look_at and self.connection.closed_by_client():
            raise ClientDisconnected("the client closed the connection")
        if self.look_at == inf or now >= self.look_at:
            self.look_at = now + LOOK_SECONDS

    def _open_body(self, environ: Environ) -> None:
        """Set ``wsgi.input`` for a body that is here, or one that is still arriving.

        A chunked body that is in memory as a whole is given its CONTENT_LENGTH, since most apps ignore a body
        without one (RFC 9112 §7.1.3, RFC 3875 §4.1.2). If the loop had no room for it, it is collected here.
        """
        connection, request = self.connection, self.request
        chunked = request.meaning.chunked
        length: int | None
        if self.reader is not None:
            stream = BodyStream(connection, self.reader, self._continue, self._before_wait)
            length = stream.collect(request) if chunked else None
            environ["wsgi.input"] = io.BufferedReader(stream, 65536)
        else:
            body = connection.take_body()
            environ["wsgi.input"] = io.BytesIO(body)
            length = len(body)
        if chunked and length is not None:
            environ["CONTENT_LENGTH"] = str(length)
            del environ["HTTP_TRANSFER_ENCODING"]

    def _continue(self) -> None:
        """Send ``100 Continue`` if the client waits for it and no answer has left (RFC 9110 §10.1.1)."""
        self.asked_for_body = True
        if self.request.expects_continue and not self.head_sent:
            self.connection.send(CONTINUE)

    def _before_wait(self) -> None:
        self.gateway.before_wait(self)

    # -- called by the app

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

    # -- errors

    def _abandon(self, error: ClientDisconnected) -> None:
        """The client left; one that only ended its sending side too early can still be told."""
        if self.written_off:
            return
        logger.debug("%s: %s", self.connection.client_of(self.request), error)
        self.end = error.end
        self.connection.forget_plain_line()
        self.status = self.status or CLIENT_CLOSED_REQUEST
        if self.connection.receiver.failed and not self.head_sent:
            self.keep_alive = False
            self._answer(400, "the request body is incomplete")
        else:
            self.connection.cut()

    def _fail(self, error: BaseException) -> None:
        """Answer for an error that the app let through; behind a head that has left, cut the connection."""
        if self.written_off:
            return
        connection = self.connection
        status, detail = 500, "the application failed; its log says why"
        if isinstance(error, RemoteProtocolError):
            status, detail = error.status, error.detail
            self.keep_alive = False
            self.end = "timeout" if status == 408 else "refused"
            self.gateway.refusals.add(connection.client_of(self.request), error)
        elif isinstance(error, LocalProtocolError):
            self._complain(str(error))
        else:
            frames = theirs(error.__traceback__) or error.__traceback__  # All of them if none is theirs.
            exc_info = (type(error), error, frames)
            logger.error("%s raised", self.name, exc_info=exc_info)
        if self.complete:
            return  # The client has its whole response; only close() failed.
        if self.head_sent:
            self.end = "cut" if self.end == "done" else self.end
            connection.forget_plain_line()
            connection.cut(reset=self.framing == "close")
            return
        connection.hand_over(None)
        self._answer(status, detail)

    def cut(self) -> None:
        """End the connection: a bug of ours, or of a log handler, came in between."""
        self.connection.cut()
        self.lose("cut")

    def bury(self) -> None:
        """Close the connection that was kept for a thread which was written off, and has come back."""
        self.connection.close()

    # -- the end

    def _finish(self) -> None:
        """Leave the connection as its next owner expects it, and nothing large in it."""
        connection = self.connection
        if not self.keep_alive:
            connection.close_when_sent()
        if self.reader is not None:
            if connection.receiver.failed:
                connection.close_when_sent()
            connection.receiver.leave_body()

    def _end(self, environ: Environ) -> None:
        """Have a line written that is not a plain one."""
        self.user = environ.get("REMOTE_USER") or "-"
        self._log()

    def _log(self) -> None:
        if self.written_off and not self.over_first:
            return  # Who wrote it off answers, and writes the line.
        if self.connection.outgoing:
            self.connection.log_when_sent(self)
        else:
            self._add_line(self.sent)

    def log(self) -> None:
        """Write the access log's line, once the response has left or has been given up."""
        left = self.connection.left()
        if left and self.end == "done":
            self.end = _GIVEN_UP.get(self.connection.ending, "cut")
        self._add_line(max(0, self.sent - left))

    def end_as(self, end: str) -> None:
        """Note why it ends, for the access log."""
        self.end = end

    def _add_line(self, size: int) -> None:
        log, format, connection = self.gateway.access_log, self.gateway.log_format, self.connection
        if log is None or not self._claim_line():
            return
        now = monotonic()
        request, status, last_size, kept = connection.logged
        if request is not self.request or size != last_size or status != self.status:
            client = connection.client_of(self.request)
            kept = format.keep(client, self.request, self.status, size)
            connection.remember_line(self.request, self.status, size, kept)
        line = format.line(kept, self, now)
        self._remember_plain_line(kept)
        if line:
            log.append(line)

    def _remember_plain_line(self, kept: Any) -> None:
        """Make the line of an equal request cheap, if there are likely to be some in this second."""
        rendered = self.head.rendered if self.head is not None else None
        usual = self.request.usual and self.end == "done" and not self.id
        if usual and rendered is not None and rendered[0] is self.gateway.epoch:
            plain = self.gateway.log_format.plain(kept)
            if plain is not None:
                self.connection.remember_plain_line(self.request, rendered, *plain)

    @property
    def received(self) -> int:
        """The bytes of the body that have arrived, with their framing if it was chunked."""
        if not self.request.has_body:
            return 0
        receiver = self.connection.receiver
        if self.reader is not None:
            return receiver.arrived
        whole = self.request.meaning.content_length
        return (0 if receiver.failed else whole) if whole is not None else receiver.arrived

    def _claim_line(self) -> bool:
        """Return whether nobody has written the line: a call may be given up just as it ends."""
        me = object()
        return self.__dict__.setdefault("logged", me) is me

    # -- between threads

    def detach(self) -> None:
        """Run on a thread of its own from now on; said with the leadership's mutex held."""
        self.detached = True
        self.connection.forget_plain_line()  # Another thread may write the line too.
        self.over_first = self.over

    def attach(self) -> None:
        """Run on the leader's thread after all; said as ``detach``."""
        self.detached = False

    def wait(self, until: float) -> None:
        """Wait for a thread, at most until then."""
        self.waits_until = until

    def got_thread(self, now: float) -> None:
        """Note that it has got a thread, where that is counted."""

    def client_has_left(self) -> bool:
        """Whether the client closed the connection while its request waited for a thread.

        A client may also have ended its sending side only, and still read (RFC 9112 §9.6 has servers do so).
        It looks the same as a client that gave up, of which there are many when requests wait.
        """
        if not self.connection.is_broken and self.connection.closed_by_client():
            self.connection.cut()
        left = self.connection.is_broken
        if left:
            self.lose("client left")
        return left

    def answer_overdue(self, successor: Connection) -> None:
        """Answer 504 on the connection that replaces this one; cut a response that has begun.

        Unless the response was sent whole, nobody knows how much of it reached the client: the rest went to
        the descriptor, which leads nowhere by now. So the client must see that it is cut.
        """
        if self.complete:  # The app hangs in ``close()``, or the call was over just now.
            successor.inherit(self.connection)
        elif self.head_sent:
            self.end = "timeout"
            successor.cut(reset=True)
            if self.reader is not None or self.pace is not None:
                # Its thread may wait for the socket, which then stays open for as long as that does.
                successor.hang_up()
        else:
            head, body = error_response(504, "the application took too long", self._own_lines())
            if self.request.method == "HEAD":
                body = b""
            self.status, self.sent, self.end = 504, len(body), "timeout"
            try:
                successor.send(head + body)
            except ClientDisconnected:
                pass  # The connection knows.
        if not self.over_first:
            self.log()

    def leave(self) -> None:
        """Be the exchange in a process that the app forked during the call."""
        self.__class__ = _Left
        forget_finalizers()
        self.connection.leave()
        self.detached = True  # It may not take the leadership's locks, which a thread of the parent may hold.
        self.over = True  # ``write`` is refused.
        self.keep_alive = False  # So ``_finish`` is called, if ``close()`` of the result has forked.


class IdentifiedExchange(Exchange):
    """An exchange whose request has an id: a trusted proxy's, which ``peers`` has checked, or a new one."""

    def __init__(
        self, make_id: Callable[[], str], gateway: Gateway, connection: Connection, request: RequestHead
    ) -> None:
        super().__init__(gateway, connection, request)
        self.id = request.fields.get(request_ids.FIELD) or make_id()

    def run(self) -> None:
        """Call the app with the id in its environ."""
        self.connection.identify(self.id)
        super().run()

    def _start(self, known_length: int | None) -> bytes:
        start = super()._start(known_length)
        assert self.head is not None
        return start if self.head.has_id else b"%bX-Request-ID: %b\r\n\r\n" % (start[:-2], self.id.encode())


class _Left(Exchange):
    """An exchange in a process that the app forked, which ends where the app's code comes back to ``run``."""

    def _return(self, *_: Any) -> NoReturn:
        # Frameworks make a response of an exception that a view lets through.
        failed = self.head is not None and self.head.status >= 500
        end_child(SystemExit(1) if failed else None)

    def _raise(self, error: BaseException) -> NoReturn:
        end_child(error)

    _send_whole = _send_iterable = _send_block = _return  # type: ignore[assignment]  # names of arguments
    _look_for_client = _end_blocks = _finish = _return
    _fail = _abandon = _raise


def _leave_in_child() -> None:
    """Find the exchange that the forking thread runs, whoever has it run."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code is Exchange.run.__code__:
            frame.f_locals["self"].leave()
        frame = frame.f_back


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_in_child)


def _iterate(result: Any) -> Iterator[Any]:
    """Iterate the app's result; text and bytes are iterable too, but no app means that."""
    if not isinstance(result, str | bytes):
        try:
            return iter(result)
        except TypeError:
            pass
    raise LocalProtocolError(
        f"the app returned {type(result).__name__}; return an iterable of bytes, such as [b'text']"
    )
