"""Many connections that do no work: idle between requests, or sending a head a byte at a time.

This process holds them, on the core of the load generator. It opens them in batches, with a deadline for each
batch and one for all, so that a server that cannot hold them costs a bounded time. The report has the number
of connections that a server kept.
"""

from __future__ import annotations

import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

Address = tuple[str, int]
Behaviour = Callable[[Address, int], AbstractContextManager[list[socket.socket]]]

BATCH = 100
OPENING_SECONDS = 20.0
BATCH_SECONDS = 4.0
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Crowd:
    """A number of connections and their behaviour; a server must keep all of them if they are `welcome`."""

    behave: Behaviour
    size: int
    welcome: bool


@contextmanager
def idle(address: Address, size: int) -> Iterator[list[socket.socket]]:
    """Open connections that send one request each and nothing after its answer."""
    sockets = _open(address, size, GET + b"\r\n", answered=True)
    try:
        yield sockets
    finally:
        _close(sockets)


@contextmanager
def slowloris(address: Address, size: int) -> Iterator[list[socket.socket]]:
    """Open connections that send a byte of a head each second, and reconnect when closed."""
    sockets = _open(address, size, GET + b"X-Slow: ", answered=False)
    stop = threading.Event()
    dribbler = threading.Thread(target=_dribble, args=(address, sockets, stop))
    dribbler.start()
    try:
        yield sockets
    finally:
        stop.set()
        dribbler.join()
        _close(sockets)


def alive(sockets: list[socket.socket]) -> int:
    """Count the sockets that the server has not closed."""
    return sum(not _ended(sock) for sock in sockets)


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open files to the hard limit; the servers inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _open(address: Address, size: int, data: bytes, answered: bool) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    deadline = time.monotonic() + OPENING_SECONDS
    while len(sockets) < size and time.monotonic() < deadline:
        until, known = time.monotonic() + BATCH_SECONDS, len(sockets)
        try:
            for _ in range(min(BATCH, size - known)):
                sockets.append(_connect(address, data))
            if answered:
                for sock in sockets[known:]:
                    sock.settimeout(max(0.001, until - time.monotonic()))
                    sock.recv(65536)
        except OSError:  # Refused, or no answer in time: the server is at its limit.
            break
    for sock in sockets:
        sock.setblocking(False)
    return sockets


def _connect(address: Address, data: bytes) -> socket.socket:
    sock = socket.create_connection(address, timeout=BATCH_SECONDS)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)  # leaves no TIME_WAIT
    sock.sendall(data)
    return sock


def _ended(sock: socket.socket) -> bool:
    try:
        while sock.recv(65536):  # The body of an answer may have come after its head.
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _dribble(address: Address, sockets: list[socket.socket], stop: threading.Event) -> None:
    place = 0
    while not stop.wait(0.01):
        for _ in range(len(sockets) // 100):
            place = (place + 1) % len(sockets)
            try:
                sockets[place].send(b"x")
            except OSError:
                sockets[place].close()
                with suppress(OSError):
                    sockets[place] = _connect(address, GET + b"X-Slow: ")
                    sockets[place].setblocking(False)


def _close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
