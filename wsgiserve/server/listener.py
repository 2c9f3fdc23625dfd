"""Listening sockets: from ``HOST:PORT`` to an open socket and the URL a person can click.

``:8000`` and ``*:8000`` are every address of the machine, IPv4 and IPv6; ``[::]:8000`` is IPv6 alone, so that
it can stand beside ``0.0.0.0:8000``.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from wsgiserve.config import ConfigError
from wsgiserve.server.errors import ListenError

_open_listeners: weakref.WeakSet[Listener] = weakref.WeakSet()
_inherited = False


class Listener:
    """One listening socket; ``host`` and ``port`` are the real ones, ``url`` reaches it from this machine."""

    def __init__(self, sock: socket.socket, host: str) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.host = host
        self.port: int = sock.getsockname()[1]
        _open_listeners.add(self)

    @property
    def url(self) -> str:
        """``http://host:port``, with an address that a browser can open in place of a wildcard."""
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def where(self) -> str:
        """``url``, and in words what else is listened on, for a person to read."""
        if self.host in ("", "0.0.0.0", "::"):
            return f"{self.url} and every other address of this machine"
        return self.url

    def close(self) -> None:
        """Stop listening; connections the system has accepted for us are refused."""
        self.sock.close()


@contextmanager
def inherited() -> Iterator[None]:
    """Let a child that is forked in here keep the listeners: it serves too."""
    global _inherited
    _inherited = True
    try:
        yield
    finally:
        _inherited = False


def _close_in_child() -> None:
    if _inherited:
        return
    for listener in list(_open_listeners):
        listener.close()


if hasattr(os, "register_at_fork"):
    # A child that the app forks must not keep the port for as long as it lives: we could not be restarted.
    os.register_at_fork(after_in_child=_close_in_child)


def parse_bind(text: str) -> tuple[str, int]:
    """Split ``HOST:PORT``, ``[IPv6]:PORT``, ``:PORT`` or ``*:PORT`` into (host, port), "" for every one."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError("bind", f"{text!r} is not HOST:PORT, such as 127.0.0.1:8000")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigError("bind", f"write the IPv6 address of {text!r} in brackets, as [{host}]:{port}")
    return ("" if host == "*" else host), int(port)


def open_listeners(
    binds: tuple[str, ...], backlog: int, opened: Iterable[tuple[str, Listener]] = ()
) -> list[Listener]:
    """Listen on every address of ``binds``, or on none: raise ListenError for the first that fails.

    ``opened`` are listeners that are there already, each with what it was bound as; those that are not in
    ``binds`` are closed.
    """
    listeners: list[Listener] = []
    left = list(opened)
    try:
        for text in binds:
            there = next((pair for pair in left if pair[0] == text), None)
            if there is not None:
                left.remove(there)
            listeners.append(_open(text, backlog) if there is None else there[1])
        for _, listener in left:
            listener.close()
    except ListenError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _open(text: str, backlog: int) -> Listener:
    host, port = parse_bind(text)
    try:
        if host == "" and socket.has_dualstack_ipv6():
            return Listener(_listen(socket.AF_INET6, ("::", port), backlog, v6only=False), "")
        address = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)[0]
        return Listener(_listen(address[0], address[4], backlog, v6only=True), host)
    except (OSError, UnicodeError) as error:
        raise ListenError(f"cannot listen on {text}: {_reason(error)}") from error


def _listen(family: int, address: object, backlog: int, *, v6only: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix" and sys.platform != "cygwin":
            # A restart need not wait for the last run's connections to leave TIME_WAIT. On Windows the
            # option would let two servers share the port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        # Accepted sockets inherit it: what is sent leaves at once.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind(address)  # type: ignore[arg-type]  # getaddrinfo's address fits its family
        sock.listen(min(backlog, 65535))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, socket.gaierror | UnicodeError):
        return "no such host; write an address of this machine, such as 127.0.0.1"
    if error.errno == errno.EADDRINUSE:
        return "address already in use; stop the other server or choose another port with --bind HOST:PORT"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "not permitted; ports below 1024 may need root, choose one above with --bind HOST:PORT"
    if error.errno == errno.EADDRNOTAVAIL:
        return "not an address of this machine; 127.0.0.1 is itself, 0.0.0.0 every IPv4 address it has"
    return os.strerror(error.errno) if error.errno else str(error)
