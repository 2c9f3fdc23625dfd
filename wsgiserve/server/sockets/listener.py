"""Listening sockets: from a bind such as ``HOST:PORT`` to an open socket and the URL a person can click."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - ``getaddrinfo`` looks for it when the app may have changed sys.path
import errno
import logging
import os
import socket
import sys
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING

from wsgiserve.config import Bind, Config
from wsgiserve.config.binds import host_port, is_loopback, parse_bind
from wsgiserve.server.errors import ListenError
from wsgiserve.server.sockets import unix
from wsgiserve.server.system import Socket, kind_of

if TYPE_CHECKING:
    from wsgiserve.acme.settings import Settings
    from wsgiserve.server.sockets.certificates import Certificates

_SO_BINDTOIFINDEX = 62
# The system gives devices the smallest free numbers, and looks for none with this one.
_NO_DEVICE = 2**31 - 1
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_WILDCARDS = {"", "0.0.0.0", "::"}
_open_listeners: weakref.WeakSet[Listener] = weakref.WeakSet()
_inherited = False

logger = logging.getLogger("wsgiserve")


class Listener:
    """One listening socket.

    ``bind`` is the text that it was opened for. ``host`` and ``port`` are the real ones, or ``localhost`` and
    80 for a Unix socket. A ``foreign`` socket
    was opened by another program, which may go on with it. Connections speak TLS if there are
    ``certificates``, or are redirected to the listener ``secure``, which does.
    """

    def __init__(
        self,
        sock: socket.socket,
        host: str = "",
        file: unix.SocketFile | None = None,
        *,
        foreign: bool = False,
        bind: str = "",
    ) -> None:
        self.sock = sock
        self.bind = bind
        self.foreign = foreign
        self.fd = sock.fileno()
        self.kind = kind_of(sock)
        self.file = file
        address = sock.getsockname()
        self.is_unix = not isinstance(address, tuple)
        self.host: str = "localhost" if self.is_unix else host
        self.port: int = 80 if self.is_unix else address[1]
        self.certificates: Certificates | None = None
        self.secure: Listener | None = None
        self._path = os.fsdecode(address).replace("\0", "@", 1) if self.is_unix else ""
        _open_listeners.add(self)

    @property
    def url(self) -> str:
        """Return ``http://host:port``, or https, ``unix:/path`` or ``unix:@name``.

        An address that a browser can open stands in place of a wildcard.
        """
        if self.is_unix:
            return f"unix:{self._path}"
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        scheme = "http" if self.certificates is None else "https"
        return f"{scheme}://{host_port(host, self.port)}"

    @property
    def where(self) -> str:
        """``url``, and in words every other address, for a person to read."""
        if self.host in _WILDCARDS:
            return f"{self.url} and every other address of this machine"
        return self.url

    def speak_tls(self, certificates: Certificates) -> None:
        """Have its connections speak TLS."""
        self.certificates = certificates
        if self.is_unix:
            self.port = 443

    def redirect(self, secure: Listener) -> None:
        """Have its connections redirected to a listener that speaks TLS."""
        self.secure = secure

    def answer(self, path: str) -> bytes | None:
        """Return what an authority is told that asks for the host of the certificates (RFC 8555 §8.3)."""
        secure = self.secure
        return None if secure is None or secure.certificates is None else secure.certificates.answer(path)

    def url_by_https(self, host: str) -> str:
        """Return the https URL that a request for a host is redirected to; "" if we are not that host."""
        secure = self.secure
        if secure is None or secure.certificates is None:
            return ""
        return secure.certificates.url_for(host, secure.port)

    def url_for_plain(self, data: bytes) -> str:
        """Return the URL for a client that sent HTTP, beginning with ``data``, without TLS."""
        return "https" if self.certificates is None else self.certificates.url_for_plain(data, self.port)

    def deafen(self) -> bool:
        """Let no further connection begin, in any process: clients are refused. Those that wait stay.

        Closing a socket resets the clients that wait, and so those that come after the last accept. Return
        whether connections that have begun may still be made: over a network, the last packet of a handshake
        takes time.
        """
        if self.foreign or sys.platform != "linux":
            return False
        try:
            if self.is_unix:
                self.sock.shutdown(socket.SHUT_RD)
                return False
            self._leave_devices()
        except OSError:
            return False  # Linux before 5.7 lets only root do it.
        return not is_loopback(self.sock.getsockname()[0])

    def _leave_devices(self) -> None:
        """Listen on a network device that does not exist; handshakes that have begun go on."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX, _NO_DEVICE)
        except PermissionError:
            # Another process has done it: only root may do it a second time.
            if self.sock.getsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX) != _NO_DEVICE:
                raise

    def leave(self) -> None:
        """Close our descriptor of the socket; other processes still listen on it."""
        self.sock.close()

    def close(self) -> None:
        """Stop listening, and remove the file of a Unix socket; connections in the backlog are refused."""
        if self.file is not None:
            self.file.remove()
        self.sock.close()


@contextmanager
def inherited() -> Iterator[None]:
    """Within this context, a forked child keeps the listeners: it serves too."""
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
    # A child that the app forks must not hold the port: then the server could not be restarted.
    os.register_at_fork(after_in_child=_close_in_child)


def adopt(descriptor: int, bind: str, host: str, file: unix.SocketFile | None) -> Listener:
    """Make the listener of a descriptor that the program before us, in the same process, has left open."""
    foreign = parse_bind(bind).kind == "fd"
    return Listener(Socket(fileno=descriptor), host, file, foreign=foreign, bind=bind)


def open_listeners(
    config: Config,
    opened: Iterable[tuple[str, Listener]] = (),
    throw_away: str = "",
    certificates: Certificates | None = None,
) -> list[Listener]:
    """Listen on every address of ``config``, or on none: raise ListenError for the first that fails.

    ``opened`` are open listeners, each with the text of its bind; those that the configuration does not name
    are closed, but not before all others are open. ConfigError if there is a certificate that cannot be used.
    ``throw_away`` is the pair of ``--tls-self-signed``, if it has been made already, and ``certificates`` are
    those of the configuration, if they have been loaded already.
    """
    if config.trusted.everyone:
        logger.warning(
            "--trust %s: whoever can connect can claim any address; name the addresses of the proxies, "
            "unless nobody else can reach the server",
            config.trust,
        )
    certificates = certificates or load_certificates(config, throw_away)
    listeners = open_binds(config.addresses, config, opened)
    if certificates is not None:
        secure_all(listeners, config, certificates)
    return listeners


def open_binds(
    binds: Iterable[Bind], config: Config, opened: Iterable[tuple[str, Listener]] = ()
) -> list[Listener]:
    """Listen on each address, or on none, as ``open_listeners`` does; connections speak no TLS."""
    listeners: list[Listener] = []
    new: list[Listener] = []
    left = list(opened)
    try:
        for bind in binds:
            there = next((pair for pair in left if pair[0] == bind.text), None)
            if there is not None:
                left.remove(there)
                listeners.append(there[1])
            else:
                new.append(_open(bind, config))
                listeners.append(new[-1])
        for _, listener in left:
            # Nobody finds a Unix socket without its file, and workers watch it still.
            if not listener.is_unix:
                listener.deafen()
            listener.close()
    except ListenError:
        for listener in new:
            listener.close()
        raise
    return listeners


def open_for_ops(config: Config, opened: Iterable[tuple[str, Listener]] = ()) -> list[Listener]:
    """Listen on the addresses of the ops endpoint, as ``open_binds`` does."""
    try:
        return open_binds(config.ops_bind, config, opened)
    except ListenError as error:
        raise ListenError(f"--ops-bind: {error}") from error


def load_certificates(config: Config, throw_away: str = "") -> Certificates | None:
    """Return the certificates of a configuration; None if it has no TLS, which is not even imported then."""
    if not config.has_certificate:
        return None
    from wsgiserve.server.sockets.certificates import make_certificates

    return make_certificates(config, throw_away, _acme_settings(config))


def _acme_settings(config: Config) -> Settings | None:
    if not config.domain:
        return None
    from wsgiserve.acme.options import settings_of

    return settings_of(config)


def secure(
    opened: Iterable[tuple[Bind | None, Listener]], config: Config, certificates: Certificates
) -> None:
    """Have listeners speak TLS as their binds say; those without one redirect to the first that does.

    They may be fewer than those of the configuration, where the others cannot be opened.
    """
    first, redirecting = None, []
    for bind, listener in opened:
        if bind is None:
            redirecting.append(listener)
        elif config.is_secure(bind):
            listener.speak_tls(certificates)
            first = first or listener
    for listener in redirecting:
        if first is not None:
            listener.redirect(first)


def secure_all(listeners: Iterable[Listener], config: Config, certificates: Certificates) -> None:
    """Do so with all listeners of a configuration, in its order."""
    secure(zip_longest(config.bind, listeners), config, certificates)


def certificates_of(listeners: Iterable[Listener]) -> Certificates | None:
    """Return the certificates that listeners use."""
    return next((own for listener in listeners if (own := listener.certificates) is not None), None)


def _open(bind: Bind, config: Config) -> Listener:
    if bind.kind == "tcp":
        return _open_tcp(bind, config)
    backlog = min(config.backlog, 65535)
    path = os.path.abspath(bind.name) if bind.kind == "unix" else bind.name
    file = None
    try:
        if bind.kind == "fd":
            sock = _inherit(bind.number)
        elif bind.kind == "abstract":
            sock = unix.listen_abstract(path, backlog)
        else:
            sock, file = unix.listen(path, backlog, config.socket_mode, config.socket_owner)
    except OSError as error:
        twin = _twin(bind, config) if isinstance(error, ListenError) else ""
        raise ListenError(f"cannot listen on {bind}: {twin or unix.reason(error, path)}") from error
    sock.setblocking(False)
    foreign = bind.kind == "fd"
    return Listener(sock, _host(sock) if foreign else "", file, foreign=foreign, bind=bind.text)


def _inherit(descriptor: int) -> socket.socket:
    """Make a socket of an inherited descriptor."""
    try:
        sock = Socket(fileno=descriptor)
    except OSError as error:
        if error.errno == errno.EBADF:
            raise ListenError("no such descriptor; whoever starts the server has to leave it open") from None
        raise ListenError("this descriptor is no socket") from None
    listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if sock.type != socket.SOCK_STREAM or not listens:
        sock.detach()  # It belongs to somebody else, who may need it open.
        raise ListenError("this socket does not listen for connections; a stream socket that does is needed")
    sock.set_inheritable(False)  # Programs that the app starts do not get it.
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as in `_listen`
    return sock


def _host(sock: socket.socket) -> str:
    address = sock.getsockname()
    return str(address[0]) if isinstance(address, tuple) else ""


def _open_tcp(bind: Bind, config: Config) -> Listener:
    host, port, backlog = bind.name, bind.number, config.backlog
    try:
        if host == "" and socket.has_dualstack_ipv6():
            return Listener(_listen(socket.AF_INET6, ("::", port), backlog, v6only=False), bind=bind.text)
        address = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)[0]
        return Listener(_listen(address[0], address[4], backlog, v6only=True), host, bind=bind.text)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None)
        other_port = number in (errno.EADDRINUSE, *_FORBIDDEN)
        twin = _twin(bind, config) if number == errno.EADDRINUSE else ""
        text = f"cannot listen on {bind}: {twin or _reason(error)}"
        redirects = bind in config.redirect_http
        raise ListenError(text, other_port=other_port, redirects=redirects) from error


def _twin(bind: Bind, config: Config) -> str:
    """Say which other address of this server is in the way; "" if it is none of them."""
    others = [*config.addresses, *config.ops_bind]
    if bind in others:
        others.remove(bind)
    for other in others:
        if (other.kind, other.number) != (bind.kind, bind.number):
            continue
        names = {bind.name, other.name}
        if len(names) == 1 or (bind.kind == "tcp" and names & _WILDCARDS):
            noun = "port" if bind.kind == "tcp" else "path"
            return f"this server has {other} too; choose another {noun}"
    return ""


def _listen(family: int, address: object, backlog: int, *, v6only: bool) -> socket.socket:
    sock = Socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix" and sys.platform != "cygwin":
            # A restart need not wait for the last run's connections to leave TIME_WAIT. On Windows the
            # option would let two servers share the port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        # Accepted sockets inherit it: each send leaves at once.
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
        return "address already in use; stop the other server or choose another port"
    if error.errno in _FORBIDDEN:
        return "not permitted; ports below 1024 may need root, choose one above"
    if error.errno == errno.EADDRNOTAVAIL:
        return "not an address of this machine; 127.0.0.1 is itself, 0.0.0.0 every IPv4 address it has"
    return os.strerror(error.errno) if error.errno else str(error)
