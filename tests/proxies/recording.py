"""What a front end forwarded, and what the app saw of it: a relay, a strict reader, a recording app.

The relay stands between the front end and the server and notes every byte, per upstream connection. h11 reads
the forwarded bytes independently of us; the app, which knows its connection by the peer's port, notes its
calls. ``Upstream.disagreement`` compares the two.

Rules
- Bytes are noted before they are passed on, so what was seen is never more than what was noted.
- The verdict is on the whole connection, from its first byte, so that what one case left behind counts.
- A refusal ends the comparison: what comes behind it must not reach the app.
"""

from __future__ import annotations

import functools
import re
import socket
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote
from wsgiref.validate import validator

import h11

from wsgiserve import Server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# The app's answer says in a header which request it answers, so that a response to HEAD says so too.
ANSWER = re.compile(rb"\r\n(?i:x-answer-to): ([^\r\n]*)\r\n")
RESPONSE = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
PATIENCE_SECONDS = 10.0  # for what is expected to happen at once
REFUSALS = {b"400", b"413", b"414", b"417", b"431", b"501", b"505"}


class Call(NamedTuple):
    """A request: as h11 read it, or as the app saw it; ``body`` is None where it did not end."""

    method: str
    target: str
    body: bytes | None

    @property
    def token(self) -> bytes:
        """What the answer to this request carries; short enough for any front end."""
        return token(self.method, self.target)


@functools.cache
def token(method: str, target: str) -> bytes:
    name = quote(f"{method} {target}", encoding="latin-1")
    return f"{name[:200]}*{len(name)}".encode()


class Oracle:
    """The requests in a stream of bytes as h11 reads them.

    ``requests`` are those that are complete, ``refused`` says why h11 went no further, ``unfinished`` is the
    request whose body is not complete.
    """

    def __init__(self) -> None:
        self.requests: list[Call] = []
        self.unfinished: Call | None = None
        self.refused = ""
        self._connection = new_connection()
        self._persists_anyway = False
        self._body = b""

    def receive_data(self, data: bytes) -> None:
        if self._connection.our_state is h11.MUST_CLOSE or self.refused:
            return
        try:
            self._connection.receive_data(data)
            while self._connection.our_state is not h11.MUST_CLOSE and self._read():
                pass
        except h11.RemoteProtocolError as error:
            self.refused = str(error)

    def _read(self) -> bool:
        event = self._connection.next_event()
        if isinstance(event, h11.Request):
            self.unfinished = Call(event.method.decode(), event.target.decode(), None)
            options = {value.lower() for name, value in event.headers if name == b"connection"}
            self._persists_anyway = event.http_version == b"1.0" and options == {b"keep-alive"}
        elif isinstance(event, h11.Data):
            self._body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert self.unfinished is not None
            self.requests.append(self.unfinished._replace(body=self._body))
            self.unfinished, self._body = None, b""
            self._answer()
        return event is not h11.NEED_DATA

    def _answer(self) -> None:
        """Answer, for h11 to go on; with an error, for CONNECT and Upgrade not to change the protocol."""
        self._connection.send(h11.Response(status_code=501, headers=[("Content-Length", "0")]))
        self._connection.send(h11.EndOfMessage())
        if self._connection.our_state is h11.DONE:
            self._connection.start_next_cycle()
        elif self._persists_anyway:  # RFC 9112 §9.3; h11 closes behind every request of HTTP/1.0.
            rest, _ = self._connection.trailing_data
            self._connection = new_connection()
            if rest:
                self._connection.receive_data(rest)


def new_connection() -> h11.Connection:
    return h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)


class Upstream:
    """One connection from the front end to the server."""

    def __init__(self, front: socket.socket, server: socket.socket) -> None:
        self.front = front
        self.server = server
        self.calls: list[Call] = []
        self.returned = bytearray()
        self.ended = False  # by the server
        self.verdict: str | None = None  # None where something happened since it was given
        self._oracle = Oracle()
        self._unread = bytearray()

    def forward(self, data: bytes) -> None:
        self._unread += data

    def answer(self, data: bytes) -> None:
        self.returned += data
        self.ended = not data

    def disagreement(self) -> str:
        """Say how the app's view of this connection differs from h11's; empty while it does not."""
        if self.verdict is None:
            if self._unread:  # To h11, no bytes are the end of the connection.
                self._oracle.receive_data(bytes(self._unread))
                self._unread.clear()
            self.verdict = disagreement(self._oracle, self.calls, bytes(self.returned), self.ended)
        return self.verdict


def disagreement(oracle: Oracle, calls: list[Call], returned: bytes, ended: bool) -> str:
    """Compare what h11 read with what the app saw and the server answered."""
    answers = ANSWER.findall(returned)
    if answers != [call.token for call in calls[: len(answers)]]:
        return f"answers {answers} to calls {calls}"
    seen = calls
    if calls and calls[-1] == oracle.unfinished:
        seen = calls[:-1]  # It was called while its body arrived, and saw an error instead of the end.
    if seen != oracle.requests[: len(seen)]:
        return f"the app saw {seen}, forwarded was {oracle.requests}"
    statuses = [status for status in RESPONSE.findall(returned) if status != b"100"]
    if len(statuses) > len(answers):
        if len(statuses) > len(answers) + 1 or statuses[-1] not in REFUSALS:
            return f"responses {statuses}, of which {len(answers)} are the app's"
        return "" if ended else f"refused with {statuses[-1]!r} and not closed"
    if oracle.refused:
        return f"not refused, though h11 says {oracle.refused!r}"
    if len(seen) < len(oracle.requests):
        return f"the app saw {seen}, forwarded was {oracle.requests}"
    return ""


class Recorder:
    """The server with the recording app, and the relay before it; as a context manager it runs both.

    ``port`` is the relay's: where the front end is to forward to.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._upstreams: list[Upstream] = []
        self._by_port: dict[str, Upstream] = {}  # the latest: the system gives ports out again
        self._changed = threading.Condition()
        self._server = Server(validator(self._app), port=0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Recorder:
        self._server.__enter__()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        shut(self._listener)
        self._listener.close()
        self.disconnect()
        self._server.__exit__(None, None, None)

    def disconnect(self) -> list[str]:
        """End all upstream connections, wait for the server to end them too, and forget them.

        Return what differs then, when nothing can arrive any more.
        """
        with self._changed:
            for upstream in self._upstreams:
                shut(upstream.front)
            self._changed.wait_for(lambda: all(each.ended for each in self._upstreams), PATIENCE_SECONDS)
            differences = [upstream.disagreement() for upstream in self._differing()]
            self._upstreams.clear()
        return differences

    def settle(self) -> list[str]:
        """Wait until the app has seen what was forwarded; return what differs when the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: not self._differing(), PATIENCE_SECONDS)
            return [upstream.disagreement() for upstream in self._differing()]

    def _differing(self) -> list[Upstream]:
        return [upstream for upstream in self._upstreams if upstream.disagreement()]

    def _app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        call = Call(environ["REQUEST_METHOD"], environ["REQUEST_URI"], None)
        try:
            pieces = list(iter(lambda: environ["wsgi.input"].read(65536), b""))
            call = call._replace(body=b"".join(pieces))
        finally:
            with self._changed:
                upstream = self._by_port[environ["REMOTE_PORT"]]
                self.calls.append(call)
                self._note(upstream, upstream.calls.append, call)
        fields = {"Content-Type": "text/plain", "Content-Length": "3", "X-Answer-To": call.token.decode()}
        start_response("200 OK", list(fields.items()))
        return [b"ok\n"]

    def _note(self, upstream: Upstream, change: Callable[[Any], None], what: object) -> None:
        with self._changed:
            change(what)
            upstream.verdict = None
            self._changed.notify_all()

    def _accept(self) -> None:
        while True:
            try:
                front, _ = self._listener.accept()
            except OSError:
                return  # The listener was closed.
            server = socket.create_connection(("127.0.0.1", self._server.port))
            threading.Thread(target=self._relay, args=(Upstream(front, server),), daemon=True).start()

    def _relay(self, upstream: Upstream) -> None:
        front, server = upstream.front, upstream.server
        with front, server:
            with self._changed:
                self._upstreams.append(upstream)
                self._by_port[str(server.getsockname()[1])] = upstream
            back = threading.Thread(target=self._pump, args=(upstream, server, front, upstream.answer))
            back.start()
            self._pump(upstream, front, server, upstream.forward)
            back.join()

    def _pump(
        self,
        upstream: Upstream,
        source: socket.socket,
        sink: socket.socket,
        record: Callable[[bytes], None],
    ) -> None:
        data = b"-"
        while data:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            self._note(upstream, record, data)
            try:
                sink.sendall(data)
                if not data:
                    sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # It is gone; its own pump notes that, and the source may still have something to say.


def shut(end: socket.socket) -> None:
    """End a connection in both directions, whoever is using it."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It is gone already.
