"""Keep-alive clients that check every answer while a server is reloaded or its workers are killed.

Each client sends the next request as soon as it has its answer, and keeps its connection until the server
closes it. Each request has its own number, which the answer must repeat. A wrong or incomplete answer is a
failure; it is recorded with the process that served the connection before.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

SECONDS = 30.0  # A slower answer is a failure.

# The app that is served. Its answer repeats the path; "/slow" sleeps. A deploy changes VERSION.
APP = """\
import os, time

VERSION = "{version}"


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/slow"):
        time.sleep({slow_seconds})
    body = f"{{path}} {{os.getpid()}} {{VERSION}}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


class Failure(NamedTuple):
    """A request without its answer; `pid` is the process that served the connection before, or 0."""

    kind: str
    detail: str
    pid: int
    when: float


@dataclass
class Tally:
    """The answers and failures that the clients counted."""

    answers: Counter[int] = field(default_factory=Counter)  # by process
    versions: Counter[str] = field(default_factory=Counter)  # by VERSION
    connections: Counter[int] = field(default_factory=Counter)  # by the process of their first answer
    slow: int = 0
    longest: float = 0.0  # in seconds, of the answers from "/fast"
    failures: list[Failure] = field(default_factory=list)
    moments: Counter[int] = field(default_factory=Counter)  # answers in each tenth of a second

    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def total(self) -> int:
        """The number of all answers."""
        return sum(self.answers.values())

    def kinds(self) -> str:
        """The failures, for example "reset 3, end 1", or "none"."""
        kinds = Counter(failure.kind for failure in self.failures)
        return ", ".join(f"{kind} {count}" for kind, count in kinds.items()) or "none"


class Client:
    """One client with one connection at a time."""

    def __init__(self, port: int, path: str, tally: Tally) -> None:
        self._port = port
        self._path = path
        self._tally = tally
        self._sock: socket.socket | None = None
        self._pid = 0

    def run(self, stop: threading.Event) -> None:
        """Send requests until `stop` is set."""
        for number in itertools.count():
            if stop.is_set():
                break
            self._ask(f"{self._path}/{id(self)}/{number}")
        self._hang_up()

    def _ask(self, path: str) -> None:
        began = time.monotonic()
        try:
            self._exchange(path)
        except ConnectionRefusedError as error:
            self._fail("refused", error)
            time.sleep(0.01)
        except ConnectionError as error:
            self._fail("reset", error)
        except EOFError as error:
            self._fail("end", error)
        except (OSError, ValueError) as error:
            self._fail("wrong", error)
        else:
            if not path.startswith("/slow"):
                self._tally.longest = max(self._tally.longest, time.monotonic() - began)

    def _exchange(self, path: str) -> None:
        if self._sock is None:
            self._sock = socket.create_connection(("127.0.0.1", self._port), SECONDS)
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pid = 0
        self._sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head, body = self._answer(self._sock)
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ValueError(f"answered {head[:40]!r} for {path}")
        words = body.decode().split()
        if len(words) != 3 or words[0] != path:
            raise ValueError(f"answered {body!r} for {path}")
        self._count(int(words[1]), words[2], path)
        if b"\r\nconnection: close" in head.lower():
            self._hang_up()

    def _answer(self, sock: socket.socket) -> tuple[bytes, bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive(sock, data)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += self._receive(sock, data)
        return head, body

    def _receive(self, sock: socket.socket, before: bytes) -> bytes:
        piece = sock.recv(65536)
        if not piece:
            raise EOFError(f"the connection ended after {len(before)} bytes of an answer")
        return piece

    def _count(self, pid: int, version: str, path: str) -> None:
        tally = self._tally
        with tally.lock:
            if self._pid != pid:
                tally.connections[pid] += 1
            self._pid = pid
            tally.answers[pid] += 1
            tally.versions[version] += 1
            tally.moments[int(time.monotonic() * 10)] += 1
            if path.startswith("/slow"):
                tally.slow += 1

    def _fail(self, kind: str, error: Exception) -> None:
        self._tally.failures.append(Failure(kind, str(error), self._pid, time.monotonic()))
        self._hang_up()

    def _hang_up(self) -> None:
        if self._sock is not None:
            self._sock.close()
        self._sock = None
        self._pid = 0


@contextmanager
def load(port: int, clients: int, slow: int) -> Iterator[Tally]:
    """Run `clients` for "/fast" and `slow` for "/slow"; the tally is complete after the block."""
    tally = Tally()
    stop = threading.Event()
    every = [Client(port, "/fast", tally) for _ in range(clients)]
    every += [Client(port, "/slow", tally) for _ in range(slow)]
    threads = [threading.Thread(target=client.run, args=(stop,), daemon=True) for client in every]
    for thread in threads:
        thread.start()
    try:
        yield tally
    finally:
        stop.set()
        for thread in threads:
            thread.join(SECONDS)
