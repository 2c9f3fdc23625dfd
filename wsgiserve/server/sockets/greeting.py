"""Connections before their first byte of HTTP or TLS: the proxy says whose connection it hands on.

With ``--proxy-protocol`` an accepted socket waits here until its PROXY header has arrived, and goes on as if
its client had been accepted. Only the header's own bytes are taken from the socket: they are looked at first
(MSG_PEEK), and all that stands behind them is left in the socket for whoever reads on.

Rules
- A header counts only if it comes from a trusted peer. Anybody else could claim to be any client.
- The header has the time of a request head. No thread waits for it.
- Nothing is answered: a peer without a header may not even speak HTTP.

Everything in here is for the leader alone.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from wsgiserve.protocol.errors import RemoteProtocolError
from wsgiserve.protocol.forwarded import Trusts, peer_name
from wsgiserve.protocol.proxy import MAX_SIZE, ProxyHeader, read_proxy_header
from wsgiserve.server.sockets.listener import Listener
from wsgiserve.server.sockets.poller import READ, Poller
from wsgiserve.server.system import monotonic

# Takes the socket, host and port where it was accepted, the peer, the listener, what the proxy said, and the
# deadline of the first request.
Add = Callable[[socket.socket, str, int, object, Listener | None, ProxyHeader, float], None]
Refuse = Callable[[str, str], None]  # takes a peer and the reason why it was closed


class _Greeting:
    """One socket whose header has not arrived; ``header`` is the part of it that was taken out already."""

    __slots__ = ("deadline", "header", "host", "listener", "peer", "port", "sock")

    def __init__(
        self,
        sock: socket.socket,
        host: str,
        port: int,
        peer: object,
        listener: Listener | None,
        deadline: float,
    ) -> None:
        self.sock = sock
        self.host = host
        self.port = port
        self.peer = peer
        self.listener = listener
        self.deadline = deadline
        self.header = b""

    def receive(self) -> ProxyHeader | None:
        """Take more of the header; return it once it is whole.

        Return None while bytes are missing, or raise BlockingIOError if none have arrived. Raise
        RemoteProtocolError if it is wrong, EOFError if the peer has left without a byte: so proxies see
        whether somebody listens.
        """
        data = self.sock.recv(MAX_SIZE, socket.MSG_PEEK)
        if not data:
            if self.header:
                raise RemoteProtocolError(400, "the PROXY header is incomplete")
            raise EOFError
        found = read_proxy_header(self.header + data)
        if found is None:
            self.header += self.sock.recv(len(data))
            return None
        said, size = found
        self.sock.recv(size - len(self.header))
        return said

    def destination(self, said: ProxyHeader) -> tuple[str, int]:
        """Return where the client connected to; Caddy does not tell, and says 0.0.0.0:0."""
        if said.destination is None or not said.destination[1]:
            return self.host, self.port
        return said.destination


class Greetings:
    """The connections that wait for their header.

    ``add`` takes in those that go on; ``refuse`` logs those that do not; ``on_close`` is called when one of
    them was closed.
    """

    def __init__(
        self,
        poller: Poller,
        trusts: Trusts,
        patience: float,
        add: Add,
        refuse: Refuse,
        on_close: Callable[[], None],
    ) -> None:
        self._poller = poller
        self._trusts = trusts
        self._patience = patience
        self._add = add
        self._refuse = refuse
        self._on_close = on_close
        self._by_fd: dict[int, _Greeting] = {}

    def __len__(self) -> int:
        return len(self._by_fd)

    def __contains__(self, fd: int) -> bool:
        return fd in self._by_fd

    def add(
        self, sock: socket.socket, host: str, port: int, peer: object, listener: Listener | None = None
    ) -> None:
        """Take in a connection that was accepted."""
        greeting = _Greeting(sock, host, port, peer, listener, monotonic() + self._patience)
        if not self._trusts(peer_name(peer)):
            self._turn_away(
                greeting, "the PROXY protocol is for the proxies of --trust, and this is none of them"
            )
        else:
            sock.setblocking(False)
            self._read(greeting)

    def read(self, fd: int) -> None:
        """Read on, as the poller has reported bytes."""
        self._read(self._by_fd[fd])

    def expire(self, now: float) -> None:
        """Close the connections whose time is up."""
        for greeting in list(self._by_fd.values()):
            if greeting.deadline <= now:
                self._turn_away(greeting, "the PROXY header did not arrive in time")

    def put_off(self, seconds: float) -> None:
        """Put all deadlines off: for so long nobody could look at the sockets."""
        for greeting in self._by_fd.values():
            greeting.deadline += seconds

    def hasten(self, moment: float) -> None:
        """Bring all deadlines forward, as the server stops."""
        for greeting in self._by_fd.values():
            greeting.deadline = min(greeting.deadline, moment)

    def close(self, *, quietly: bool = False) -> None:
        """Close all; ``quietly`` in a process that the app forked, as they are the parent's."""
        for greeting in self._by_fd.values():
            if not quietly:
                self._poller.forget(greeting.sock.fileno())
            greeting.sock.close()
        self._by_fd.clear()

    def _read(self, greeting: _Greeting) -> None:
        try:
            said = greeting.receive()
        except (BlockingIOError, InterruptedError):
            said = None
        except (EOFError, OSError):
            return self._drop(greeting)
        except RemoteProtocolError as error:
            return self._turn_away(greeting, error.detail)
        if said is None:
            return self._wait(greeting)
        self._leave(greeting)
        peer = greeting.peer if said.source is None else said.source
        host, port = greeting.destination(said)
        return self._add(greeting.sock, host, port, peer, greeting.listener, said, greeting.deadline)

    def _wait(self, greeting: _Greeting) -> None:
        fd = greeting.sock.fileno()
        if fd not in self._by_fd:
            self._by_fd[fd] = greeting
            self._poller.watch(fd, 0, READ)

    def _leave(self, greeting: _Greeting) -> None:
        fd = greeting.sock.fileno()
        if self._by_fd.pop(fd, None) is not None:
            self._poller.forget(fd)

    def _turn_away(self, greeting: _Greeting, reason: str) -> None:
        self._refuse(peer_name(greeting.peer), f"closed, {reason}")
        self._drop(greeting)

    def _drop(self, greeting: _Greeting) -> None:
        self._leave(greeting)
        greeting.sock.close()
        self._on_close()
