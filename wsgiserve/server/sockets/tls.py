"""One TLS connection, behind the calls of a socket that ``Connection`` uses.

Strategy. OpenSSL gets bytes from memory and leaves bytes in memory (``ssl.MemoryBIO``); the socket below is
read and written here. So nothing in here waits, ``recv`` shakes hands as bytes arrive, and raises
BlockingIOError, as a socket does, until there is something for its caller.

Rules
- ``recv`` decrypts all that it received: nothing is left that the poller could not know of.
- ``send`` counts bytes as sent once the socket has taken their records whole. Records of bytes that were
  encrypted, but not counted, wait in here. The caller sends the same bytes again, and then they count. So
  bytes that have not left are the caller's, with all its rules for slow clients.
- OpenSSL begins with a whole first message of the client: one that connects and says nothing costs a socket
  and no more.
- The end is announced (``close_notify``, RFC 8446 §6.1) by ``shutdown`` for writing and ``say_goodbye``, not
  by ``close``: a client must be able to tell a response that was cut. One that left without announcing it
  hears nothing: it has closed its socket, and the system would answer ours with a reset.
- A thread may be given up in the middle of a call (``Connections.take_over``). ``dup`` takes everything away
  from it, under the lock that each call takes.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from wsgiserve.server.system import Lock, poll, socketpair, start_thread

if TYPE_CHECKING:
    Begin = Callable[[bytes], ssl.SSLContext]
    Tell = Callable[[dict[str, str]], object]

RECORD = 16384  # bytes in a record, at most (RFC 8446 §5.1)
HEADER = 5  # bytes before those of a record
HELLO = b"\x16\x03"  # how a client begins: a handshake, of SSL 3 or newer
# So much is encrypted before it is sent: less costs more calls, more is kept for each slow client.
CHUNK = 65536
BURST = 1 << 20  # sent before others are looked after
# Of our own messages, which a client can provoke and not read.
MOST_UNSENT = 4 * CHUNK

_MSG_MORE: int = getattr(socket, "MSG_MORE", 0)
_HTTP = re.compile(rb"(\r?\n)*[A-Z]+ ")


class TLSSocket:
    """The server's side of a TLS connection over ``sock``.

    ``begin`` returns the context for a client's first message. ``tell`` is called once, when the handshake is
    done, with the variables for the client's certificate.
    """

    __slots__ = (
        "_announced",
        "_begin",
        "_counted",
        "_incoming",
        "_lock",
        "_outgoing",
        "_sock",
        "_state",
        "_tell",
        "_tls",
        "_unsent",
        "failed",
        "fault",
        "first",
    )

    def __init__(self, sock: socket.socket, begin: Begin, tell: Tell | None) -> None:
        self._sock = sock
        self._begin = begin
        self._tell = tell
        self._lock = Lock()
        self._state = "greeting"  # then "open", and in the end "over"
        self._tls: ssl.SSLObject | None = None
        self._unsent = b""  # encrypted
        self._announced = False  # the client has announced its end
        self._counted = 0  # bytes that are in ``_unsent``, or have left, and were not counted as sent
        self.first = b""  # what the client has sent, until it is a whole message
        self.fault = ""  # why the client is gone
        self.failed = False  # for a mistake of its own, or of ours

    # -- the calls of a socket

    def fileno(self) -> int:
        """Return the descriptor of the socket below."""
        return self._sock.fileno()

    def recv(self, size: int) -> bytes:
        """Receive bytes, a little more than ``size`` at most; b"" at the end."""
        with self._lock:
            if self._state != "open":
                return self._greet(size)
            data = self._sock.recv(size)
            if data:
                self._incoming.write(data)
                return self._decrypt()
            if not self._announced:
                self.fault = "it closed the connection without close_notify"
            return b""

    def send(self, data: bytes | memoryview, flags: int = 0) -> int:
        """Send bytes, and return how many; BlockingIOError if the socket takes nothing now."""
        with self._lock:
            if self._state != "open":
                raise BrokenPipeError("TLS is over")
            sent = 0
            if self._unsent or self._counted:
                self._push(flags)
                sent = min(self._counted, len(data))
                self._counted -= sent
            elif len(data) <= CHUNK:
                return self._send_chunk(data, flags)
            return self._send_more(memoryview(data), sent, flags)

    def sendmsg(self, views: Sequence[memoryview]) -> int:
        """Send several blocks as ``send`` does."""
        total, last = 0, len(views) - 1
        try:
            for index, view in enumerate(views):
                sent = self.send(view, _MSG_MORE if index < last else 0)
                total += sent
                if sent < len(view):
                    break
        except BlockingIOError:
            if not total:
                raise
        return total

    def shutdown(self, how: int) -> None:
        """End one or both directions; what is sent no more is announced, unless both are ended."""
        if how == socket.SHUT_WR:
            self.say_goodbye()
        self._sock.shutdown(how)

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option of the socket below."""
        self._sock.setsockopt(level, option, value)

    def dup(self) -> TLSSocket:
        """Move the connection to a new object with a descriptor of its own; this one is over."""
        heir = TLSSocket(self._sock.dup(), self._begin, self._tell)
        with self._lock:
            heir._state, self._state = self._state, "over"
            heir._tls, self._tls = self._tls, None
            heir._unsent, heir._counted = self._unsent, self._counted
            heir.first = self.first
            if heir._tls is not None:
                heir._incoming, heir._outgoing = self._incoming, self._outgoing
        return heir

    def close(self) -> None:
        """Close the socket; nothing is announced."""
        self._state = "over"
        self._sock.close()
        self._tls = self._tell = None

    # -- beyond those of a socket

    @property
    def waits_to_send(self) -> bool:
        """Whether a message of TLS itself waits for the socket."""
        return bool(self._unsent)

    def say_goodbye(self) -> None:
        """Announce that nothing follows; from then on ``recv`` returns the client's bytes as they are."""
        with self._lock:
            if self._state == "open" and self._tls is not None and not self.fault:
                try:
                    self._tls.unwrap()
                except (OSError, ValueError):
                    pass  # It has not waited for the client's answer, which is what we want.
                try:
                    self._push()
                except OSError:
                    pass  # The client is gone, or does not read.
            self._state = "over"
            self._tls = None

    def plain(self) -> socket.socket | None:
        """Return the socket below, for an answer to a client that speaks HTTP without TLS; else None."""
        return self._sock if self._state == "greeting" and _HTTP.match(self.first) else None

    def bridge(self) -> socket.socket:
        """Return a socket that leads to the client through TLS; a thread passes the bytes on."""
        ours, theirs = socketpair()
        try:
            start_thread(_Bridge(self, ours).run, name="wsgiserve-tls")
        except RuntimeError:
            ours.close()
            theirs.close()
            raise
        return theirs

    # -- within, the lock is held

    def _greet(self, size: int) -> bytes:
        """Receive, and go on with the handshake; return the bytes behind it."""
        if self._unsent:
            self._push()
        data = self._sock.recv(size)
        if self._state == "over" or not data:
            if self._state == "greeting" and self.first:
                self.fault = "it left during the handshake"
            return data
        if self._tls is None:
            self.first += data
            if not self._has_hello():
                raise BlockingIOError
            data = self.first
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._tls = self._begin(data).wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._push()
            raise BlockingIOError from None
        except ssl.SSLError as error:
            self._fail(error)
        self._state, self.first = "open", b""
        if self._tell is not None:
            self._tell(client_variables(self._tls))
            self._tell = None
        if self._tls.selected_alpn_protocol() == "acme-tls/1":  # RFC 8737 §3: nothing follows.
            self._push()
            return b""
        # A client sends its request with the end of the handshake: our last message leaves with the response.
        return self._decrypt()

    def _has_hello(self) -> bool:
        """Whether the client's first record is there."""
        first = self.first
        size = HEADER + int.from_bytes(first[3:HEADER], "big")
        if not HELLO.startswith(first[:2]) or size > HEADER + RECORD:
            self._refuse("the client does not speak TLS")
        return len(first) >= max(size, HEADER)

    def _decrypt(self) -> bytes:
        """Return all bytes of records that have arrived whole; BlockingIOError if there are none."""
        assert self._tls is not None
        read, incoming = self._tls.read, self._incoming
        parts: list[bytes] = []
        try:
            parts.append(read(RECORD))
            while incoming.pending and parts[-1]:
                parts.append(read(RECORD))
        except ssl.SSLWantReadError:
            if not parts:
                self._push()
                raise BlockingIOError from None
        except ssl.SSLError as error:
            self._fail(error)
        self._announced = not parts[-1]
        if self._outgoing.pending > CHUNK:  # Of many messages that want one of ours, between the bytes.
            with contextlib.suppress(BlockingIOError):
                self._push()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _fail(self, error: ssl.SSLError) -> NoReturn:
        """Tell the client by an alert, if it still reads, and end."""
        try:
            self._push()
        except OSError:
            pass
        self._state = "over"
        self._tls = None
        self._refuse((error.reason or str(error)).replace("_", " ").lower())

    def _refuse(self, fault: str) -> NoReturn:
        self.fault, self.failed = fault, True
        raise ConnectionAbortedError(fault) from None

    def _send_more(self, data: memoryview, sent: int, flags: int) -> int:
        """Send what stands behind the first ``sent`` bytes; return how many have left, with these."""
        total, most = sent, min(len(data), sent + BURST)
        try:
            while total < most:
                total += self._send_chunk(data[total : total + CHUNK], flags)
        except BlockingIOError:
            if not total:
                raise
        return total

    def _send_chunk(self, data: bytes | memoryview, flags: int) -> int:
        """Encrypt and send all of ``data``; if the socket takes less, BlockingIOError, and count it later."""
        assert self._tls is not None
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self._fail(error)
        self._counted = len(data)
        self._push(flags)
        self._counted = 0
        return len(data)

    def _push(self, flags: int = 0) -> None:
        """Send what is encrypted; BlockingIOError unless the socket takes all of it."""
        data = self._outgoing.read()
        if self._unsent:
            data = self._unsent + data
        if not data:
            return
        try:
            sent = self._sock.send(data, flags)
        except (BlockingIOError, InterruptedError):
            sent = 0
        self._unsent = data[sent:]
        if self._unsent:
            if len(self._unsent) > MOST_UNSENT:
                raise ConnectionAbortedError("the client does not read what it asks for")
            raise BlockingIOError


def client_variables(tls: ssl.SSLObject) -> dict[str, str]:
    """Return what the environ says about the client's certificate, under the names of Apache's mod_ssl."""
    certificate = tls.getpeercert(binary_form=True)
    if not certificate:
        return {"SSL_CLIENT_VERIFY": "NONE"}
    facts: Any = tls.getpeercert() or {}
    names = {
        "SSL_CLIENT_S_DN": distinguished_name(facts.get("subject", ())),
        "SSL_CLIENT_SAN": ", ".join(f"{kind}:{name}" for kind, name in facts.get("subjectAltName", ())),
        "SSL_CLIENT_CERT": ssl.DER_cert_to_PEM_cert(certificate),
    }
    # PEP 3333, "Unicode Issues": text of an environ stands for its bytes.
    encoded = {key: text.encode().decode("latin-1") for key, text in names.items()}
    return {"SSL_CLIENT_VERIFY": "SUCCESS", **encoded}


_SHORT = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}


def distinguished_name(subject: Iterable[Iterable[tuple[str, str]]]) -> str:
    """Write a subject as RFC 4514 does, such as ``CN=ann,O=shop``: the last part comes first."""
    parts = [
        "+".join(f"{_SHORT.get(name, name)}={_escaped(value)}" for name, value in part) for part in subject
    ]
    return ",".join(reversed(parts))


def _escaped(value: str) -> str:
    text = re.sub(r'([,+"\\<>;]|^[ #]| $)', r"\\\1", value)
    return text.replace("\0", "\\00")


class _Bridge:
    """Passes bytes on between a client and a socket of the app, on a thread of its own.

    The end of the client's sending is passed on, that of the app's only when it closes its socket.
    """

    def __init__(self, client: TLSSocket, app: socket.socket) -> None:
        self._client = client
        self._app = app
        self._to_app: bytes | memoryview = b""
        self._to_client: bytes | memoryview = b""
        self._client_ended = self._app_ended = False
        app.setblocking(False)

    def run(self) -> None:
        """Pass on until both have ended their sides, or one has closed the connection."""
        try:
            while not (self._client_ended and self._app_ended):
                self._wait()
                self._move_to_app()
                self._move_to_client()
        except OSError:
            pass  # One of them is gone.
        finally:
            self._app.close()
            self._client.say_goodbye()
            self._client.close()

    def _wait(self) -> None:
        """Wait until something can be moved; BrokenPipeError if the app has closed its socket."""
        waiter = poll()
        client = select.POLLOUT if self._to_client else 0
        if not (self._to_app or self._client_ended):
            client |= select.POLLIN
        app = select.POLLOUT if self._to_app else 0
        if not (self._to_client or self._app_ended):
            app |= select.POLLIN
        # A hang-up is reported also if no event is asked for: a side gets the last bytes first.
        if client or (self._client_ended and not self._to_app):
            waiter.register(self._client, client)
        if app or (self._app_ended and not self._to_client):
            waiter.register(self._app, app)
        gone = select.POLLHUP | select.POLLERR
        for fd, event in waiter.poll():
            if event & gone and (self._app_ended if fd == self._app.fileno() else self._client_ended):
                raise BrokenPipeError

    def _move_to_app(self) -> None:
        try:
            if not self._to_app and not self._client_ended:
                self._to_app = memoryview(self._client.recv(CHUNK))
                self._client_ended = not self._to_app
            if self._to_app:
                self._to_app = self._to_app[self._app.send(self._to_app) :]
            elif self._client_ended:
                self._app.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass

    def _move_to_client(self) -> None:
        try:
            if not self._to_client and not self._app_ended:
                self._to_client = memoryview(self._app.recv(CHUNK))
                self._app_ended = not self._to_client
            if self._to_client:
                self._to_client = self._to_client[self._client.send(self._to_client) :]
        except BlockingIOError:
            pass
