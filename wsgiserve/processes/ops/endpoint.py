"""The ops endpoint's HTTP: the supervisor answers a request for a page between two other events.

Strategy. A connection gets one request, one answer, and a deadline for both. The supervisor's selector tells
when a socket can be read or written, so no client is waited for. The parser is that of the server.

Rules
- A client costs the supervisor a few system calls at a time, and memory for one request and one answer.
  Above ``MOST`` connections the oldest one is closed for a new one: it has had the most time.
- Without clients nothing here is due: ``next_at`` is infinity, and the supervisor is not woken.
- A page is a function of the request. It must not wait. An exception in it is a 500 and a line in the log,
  a lack of descriptors or memory a 503. One that has to ask a worker returns ``Later``: a function that is
  called with where to give the answer.
- On a loopback address ``Host`` must be a name that no stranger can own. Else a page of another site, whose
  name resolves to 127.0.0.1, could have the browser of somebody on this machine read the pages (DNS
  rebinding). Other addresses have names that only their operator knows.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import selectors
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Literal, NamedTuple

from wsgiserve.config.binds import is_loopback
from wsgiserve.processes.children import Children
from wsgiserve.protocol.errors import RemoteProtocolError
from wsgiserve.protocol.limits import Limits
from wsgiserve.protocol.request import RequestHead, RequestReader
from wsgiserve.protocol.response import error_response, render_head, response_head
from wsgiserve.server.errors import is_shortage, reason_of
from wsgiserve.server.http.gateway import http_date
from wsgiserve.server.sockets.listener import Listener
from wsgiserve.server.system import wall_clock

MOST = 64  # connections at a time
SECONDS = 10.0  # for a request to come and its answer to be taken
PAUSE = 1.0  # without accepting, when the system refuses a connection
ACCEPTS = 16  # connections for one event
RECEIVE_SIZE = 16384
FAREWELL_BYTES = 1 << 18  # that are read behind a request, to no purpose but this end
LIMITS = Limits(max_line=4096, max_head=16384)
TEXT = "text/plain; charset=utf-8"
CLOSE = b"Connection: close\r\n"

logger = logging.getLogger("wsgiserve")


class Answer(NamedTuple):
    """What a page says."""

    body: bytes
    content_type: str = TEXT
    status: str = "200 OK"
    fields: tuple[tuple[str, str], ...] = ()


Later = Callable[[Callable[[Answer], None]], None]
Page = Callable[[RequestHead], Answer | Later]


class Endpoint:
    """The listeners of ``--ops-bind`` and their clients; ``pages`` are by path."""

    def __init__(self, children: Children, listeners: list[Listener], pages: Mapping[str, Page]) -> None:
        self.listeners = listeners
        self._children = children
        self._pages = pages
        self._clients: dict[_Client, None] = {}  # the oldest first
        self._resume_at = math.inf  # accepting
        self._listen()

    @property
    def next_at(self) -> float:
        """When ``look`` has something to do; infinity for never."""
        oldest = next(iter(self._clients), None)
        return self._resume_at if oldest is None else min(self._resume_at, oldest.ends_at)

    def look(self, now: float) -> None:
        """Close the connections whose time is up; accept again after a pause."""
        for client in list(self._clients):
            if now < client.ends_at:
                break
            self._close(client)
        if now >= self._resume_at:
            self._listen()

    def finish(self) -> None:
        """Answer the requests that are here, before another program takes this one's place."""
        for client in list(self._clients):
            self._on_event(client)

    def leave(self) -> None:
        """Close the sockets of clients, and ours of the listeners; the selector is closed already."""
        for client in self._clients:
            client.sock.close()
        self._clients.clear()
        for listener in self.listeners:
            listener.leave()

    def _listen(self) -> None:
        self._resume_at = math.inf
        try:
            for listener in self.listeners:
                with suppress(KeyError):  # It is watched, as to pause has failed.
                    self._children.watch(listener.sock, partial(self._accept, listener.sock))
        except (OSError, MemoryError):
            self._pause()

    def _pause(self) -> None:
        self._resume_at = time.monotonic() + PAUSE
        for listener in self.listeners:
            with suppress(KeyError):  # It is not watched, as that has failed.
                self._children.unwatch(listener.sock)

    def _accept(self, listening: socket.socket) -> None:
        if self._resume_at < math.inf:
            return  # The system has refused a connection of another listener in the same batch.
        for _ in range(ACCEPTS):
            try:
                sock, _address = listening.accept()
                self._take(sock)
            except (BlockingIOError, ConnectionError, InterruptedError):
                return  # None is there, or it has left.
            except (OSError, MemoryError) as error:
                self._pause()  # Else the same event would come at once, again and again.
                logger.warning("the ops endpoint cannot accept a connection: %s", _reason(error))
                return

    def _take(self, sock: socket.socket) -> None:
        if len(self._clients) >= MOST:
            self._close(next(iter(self._clients)))
        try:
            client = _Client(sock, time.monotonic() + SECONDS, self._pages, self._follow)
            self._children.watch(sock, partial(self._on_event, client))
        except (OSError, MemoryError):
            sock.close()
            raise
        self._clients[client] = None

    def _on_event(self, client: _Client) -> None:
        if client not in self._clients:
            return  # Closed by an event of the same batch.
        before = client.phase
        client.go_on()
        if client.phase == "over":
            self._close(client)
        elif client.phase != before:
            self._follow(client)

    def _follow(self, client: _Client) -> None:
        """Watch for what a client waits for now."""
        if client in self._clients:
            events = selectors.EVENT_WRITE if client.phase == "answer" else selectors.EVENT_READ
            try:
                self._children.unwatch(client.sock)
                self._children.watch(client.sock, partial(self._on_event, client), events)
            except (OSError, MemoryError):
                self._close(client)

    def _close(self, client: _Client) -> None:
        with suppress(KeyError):  # It is not watched, as that has failed.
            self._children.unwatch(client.sock)
        del self._clients[client]
        client.sock.close()


class _Client:
    """One connection. Behind the answer it waits for the client to close: unread bytes would reset it."""

    def __init__(
        self,
        sock: socket.socket,
        ends_at: float,
        pages: Mapping[str, Page],
        follow: Callable[[_Client], None],
    ) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.ends_at = ends_at
        self.phase: Literal["request", "page", "answer", "farewell", "over"] = "request"
        self._follow = follow
        self._pages = pages
        self._reader = RequestReader(LIMITS)
        self._unsent = memoryview(b"")
        self._discarded = 0

    def go_on(self) -> None:
        """Receive or send as much as there is, or room for."""
        try:
            if self.phase != "answer":
                self._receive(self.sock.recv(RECEIVE_SIZE))
            if self.phase == "answer":
                self._unsent = self._unsent[self.sock.send(self._unsent) :]
                if not self._unsent:
                    self.sock.shutdown(socket.SHUT_WR)
                    self.phase = "farewell"
        except (BlockingIOError, InterruptedError):
            pass
        except (OSError, MemoryError):
            self.phase = "over"

    def _receive(self, data: bytes) -> None:
        if not data or self._discarded > FAREWELL_BYTES:
            self.phase = "over"
        elif self.phase == "farewell" or self.phase == "page":
            self._discarded += len(data)
        else:
            try:
                head = self._reader.next_head(data)
            except RemoteProtocolError as error:
                start, body = error_response(error.status, error.detail, _date_line())
                self._begin(start, body, self._reader.method)
            else:
                if head is not None:
                    self._answer(head, answer_to(head, self._pages, self._is_local()))

    def _answer(self, head: RequestHead, answer: Answer | Later) -> None:
        if isinstance(answer, Answer):
            self._begin(_start(answer), answer.body, head.method)
        else:
            self.phase = "page"
            answer(partial(self._answer_late, head))

    def _answer_late(self, head: RequestHead, answer: Answer) -> None:
        if self.phase == "page":
            self._answer(head, answer)
            self._follow(self)

    def _begin(self, start: bytes, body: bytes, method: str) -> None:
        self._unsent = memoryview(start if method == "HEAD" else start + body)
        self.phase = "answer"

    def _is_local(self) -> bool:
        address = self.sock.getsockname()
        return isinstance(address, tuple) and is_loopback(address[0])


def answer_to(head: RequestHead, pages: Mapping[str, Page], is_local: bool) -> Answer | Later:
    """Return the answer to a request; ``is_local`` if it came to a loopback address."""
    if is_local and not _is_nobodys(head.authority or head.fields.get("HTTP_HOST", "")):
        return _refusal("403 Forbidden", "a stranger may own that name of the server; ask for localhost")
    page = pages.get(head.path)
    if page is None:
        return _refusal("404 Not Found", f"the pages are {', '.join(pages)}")
    if head.method not in ("GET", "HEAD"):
        refusal = _refusal("405 Method Not Allowed", "pages can be read only")
        return refusal._replace(fields=(("Allow", "GET, HEAD"),))
    try:
        return page(head)
    except Exception as error:
        if is_shortage(error):
            logger.warning("the page %s of the ops endpoint is not shown: %s", head.path, _reason(error))
            return _refusal("503 Service Unavailable", f"the system lacks what it takes: {_reason(error)}")
        logger.critical("the page %s of the ops endpoint failed", head.path, exc_info=True)
        return _refusal("500 Internal Server Error", "the server's log says why")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or reason_of(error)


def _refusal(status: str, text: str) -> Answer:
    return Answer(f"{status}: {text}\n".encode(), status=status)


def _start(answer: Answer) -> bytes:
    fields = [
        ("Content-Type", answer.content_type),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        *answer.fields,
    ]
    return render_head(response_head(answer.status, fields), "length", len(answer.body), _date_line(), CLOSE)


def _date_line() -> bytes:
    return f"Date: {http_date(int(wall_clock()))}\r\n".encode()


def _is_nobodys(host: str) -> bool:
    """Whether a Host field has an address, or a name that does not exist in the public DNS."""
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    name = name.lower().rstrip(".")
    with suppress(ValueError):
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        return True
    return "." not in name or name.endswith(".localhost")
