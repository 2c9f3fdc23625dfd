"""Compare the requests that a front end forwarded with the calls of the app behind the server.

A relay between the front end and the server records every byte, per upstream connection. h11 reads the
forwarded bytes; the app records its calls, and knows its connection by the peer's port.
``Upstream.disagreement`` compares the two.

Rules
- The relay records bytes before it passes them on, so the app never sees bytes that are not recorded.
- The verdict is on the whole connection from its first byte, so that leftovers of an earlier case count.
- A refusal ends the comparison: no request behind it may reach the app.
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

# A header names the request that is answered, so that a response to HEAD names it too.
ANSWER = re.compile(rb"\r\n(?i:x-answer-to): ([^\r\n]*)\r\n")
RESPONSE = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
PATIENCE_SECONDS = 25.0  # limit for waits that should take no time
REFUSALS = {b"400", b"413", b"414", b"417", b"431", b"501", b"505"}


class Call(NamedTuple):
    """A request, as h11 read it or as the app saw it; ``body`` is None if it was incomplete."""

    method: str
    target: str
    body: bytes | None

    @property
    def token(self) -> bytes:
        """The value of X-Answer-To in the answer; short enough for every front end."""
        return token(self.method, self.target)


@functools.cache
def token(method: str, target: str) -> bytes:
    name = quote(f"{method} {target}", encoding="latin-1")
    return f"{name[:200]}*{len(name)}".encode()


class Oracle:
    """The requests in a stream of bytes as h11 reads them.

    ``requests`` are complete, ``unfinished`` lacks a part of its body, ``refused`` is h11's reason to stop.
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
        """Answer, so that h11 reads on; with an error, so that CONNECT and Upgrade keep HTTP/1.1."""
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
        self.verdict: str | None = None  # None if bytes or calls came since
        self._oracle = Oracle()
        self._unread = bytearray()

    def forward(self, data: bytes) -> None:
        self._unread += data

    def answer(self, data: bytes) -> None:
        self.returned += data
        self.ended = not data

    def disagreement(self) -> str:
        """Describe how the app's calls on this connection differ from h11's requests; empty if equal."""
        if self.verdict is None:
            if self._unread:  # h11 takes no bytes for the end of the connection.
                self._oracle.receive_data(bytes(self._unread))
                self._unread.clear()
            self.verdict = disagreement(self._oracle, self.calls, bytes(self.returned), self.ended)
        return self.verdict


def disagreement(oracle: Oracle, calls: list[Call], returned: bytes, ended: bool) -> str:
    """Compare the requests that h11 read with the app's calls and the server's answers."""
    answers = ANSWER.findall(returned)
    if answers != [call.token for call in calls[: len(answers)]]:
        return f"answers {answers} to calls {calls}"
    seen = calls
    if calls and calls[-1] == oracle.unfinished:
        seen = calls[:-1]  # The app was called while the body arrived, and got an error from read().
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

    ``port`` is that of the relay, to which the front end forwards.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._upstreams: list[Upstream] = []
        self._by_port: dict[str, Upstream] = {}  # the latest one, since ports are reused
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
        """Close all upstream connections and wait until the server has; return the final differences."""
        with self._changed:
            for upstream in self._upstreams:
                shut(upstream.front)
            self._changed.wait_for(lambda: all(each.ended for each in self._upstreams), PATIENCE_SECONDS)
            differences = [upstream.disagreement() for upstream in self._differing()]
            self._upstreams.clear()
        return differences

    def settle(self) -> list[str]:
        """Wait until the app has seen all forwarded requests; return the differences after a time-out."""
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

    def _note(self, upstream: Upstream, change: Callable[[Any], None], news: object) -> None:
        with self._changed:
            change(news)
            upstream.verdict = None
            self._changed.notify_all()

    def _accept(self) -> None:
        while True:
            try:
                front, _ = self._listener.accept()
            except OSError:
                return  # The listener is closed.
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
                pass  # The sink is closed; its own pump records that, and the source may still send.


def shut(end: socket.socket) -> None:
    """Shut a connection down in both directions; threads that read from it wake."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It is closed already.
