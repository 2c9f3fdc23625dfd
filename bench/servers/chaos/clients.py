"""Clients that check every byte, on kept and new connections, over TCP and a Unix socket."""

from __future__ import annotations

import http.client
import random
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bench.servers.chaos.app import content, receipt
from bench.servers.chaos.ledger import Ledger

ANSWER_SECONDS = 90.0
KINDS = {  # clients of each, and whether they keep their connection
    "small": (6, True),
    "once": (4, False),
    "upload": (2, True),
    "chunks": (2, True),
    "store": (2, True),
    "list": (1, False),
    "stream": (2, True),
    "file": (2, True),
    "slow": (2, True),
}
LARGEST = {"small": 2000, "once": 2000, "slow": 2000}
ELSE_LARGEST = 2_000_000


class Address:
    """Where the server listens."""

    def __init__(self, port: int, path: str) -> None:
        self.port = port
        self.path = path

    def connect(self, *, unix: bool) -> socket.socket:
        """Connect by TCP, or to the Unix socket."""
        if not unix:
            return socket.create_connection(("127.0.0.1", self.port), ANSWER_SECONDS)
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(ANSWER_SECONDS)
        try:
            sock.connect(self.path)
        except OSError:
            sock.close()
            raise
        return sock


class Client(threading.Thread):
    """Asks until it is told to stop."""

    def __init__(self, kind: str, number: int, address: Address, ledger: Ledger, seed: int) -> None:
        super().__init__(daemon=True)
        self._kind, self._number = kind, number
        self._keeps = KINDS[kind][1]
        self._address, self._ledger = address, ledger
        self._chance = random.Random(f"{seed} {kind} {number}")
        self._connection: http.client.HTTPConnection | None = None
        self._pid = 0  # of the process that answered on this connection
        self._over = threading.Event()

    def stop(self) -> None:
        self._over.set()

    def run(self) -> None:
        turn = 0
        while not self._over.is_set():
            turn += 1
            self._ask(f"{self._kind}-{self._number}-{turn}")
            self._over.wait(self._chance.random() * 0.04)
        self._hang_up()

    def _ask(self, seed: str) -> None:
        began = time.monotonic()
        size = int(LARGEST.get(self._kind, ELSE_LARGEST) * self._chance.random() ** 4)
        try:
            connection = self._connected()
        except (ConnectionRefusedError, FileNotFoundError) as error:
            if self._ledger.refused(f"{self._kind} {seed}: {error!r}"):
                self._over.set()
            return
        except OSError as error:
            self._ledger.lost(f"{self._kind} {seed}: not connected: {error!r}")
            return
        try:
            self._exchange(connection, seed, size, began)
        except TimeoutError:
            self._ledger.lost(f"{self._kind} {seed}: no answer in {ANSWER_SECONDS:g} s")
            self._hang_up()
        except (OSError, http.client.HTTPException) as error:
            seconds = time.monotonic() - began
            self._ledger.ended(self._pid, began, f"{self._kind} {seed}: {error!r} after {seconds:.3f} s")
            self._hang_up()

    def _connected(self) -> http.client.HTTPConnection:
        """Return a connection that the server has not closed."""
        if self._connection is not None and select.select([self._connection.sock], [], [], 0)[0]:
            self._hang_up()
        if self._connection is None:
            self._pid = 0
            sock = self._address.connect(unix=self._chance.random() < 0.3)
            self._connection = http.client.HTTPConnection("localhost", timeout=ANSWER_SECONDS)
            self._connection.sock = sock
        return self._connection

    def _exchange(self, connection: http.client.HTTPConnection, seed: str, size: int, began: float) -> None:
        data = content(seed, size)
        body = data if self._kind in ("upload", "chunks", "store") else None
        expected = data if body is None else receipt(body)
        with suppress(BrokenPipeError):  # The server may refuse a body before it has arrived.
            self._send(connection, seed, size, body)
        response = connection.getresponse()
        answer = response.read()
        self._pid = int(response.getheader("X-Pid") or self._pid)
        if response.status >= 400:
            self._ledger.error(began, f"{self._kind} {seed}: {response.status} {answer[:200]!r}")
        elif answer != expected:
            self._ledger.wrong(
                f"{self._kind} {seed}: {len(answer)} bytes are not the {len(expected)} asked for"
            )
        else:
            self._ledger.answered()
        if response.will_close or not self._keeps:
            self._hang_up()

    def _send(self, connection: http.client.HTTPConnection, seed: str, size: int, body: bytes | None) -> None:
        kind = {"once": "small", "chunks": "upload"}.get(self._kind, self._kind)
        fields = {} if self._keeps else {"Connection": "close"}
        method = "GET" if body is None else "POST"
        if self._kind == "chunks":
            assert body is not None
            connection.request(method, f"/{kind}", self._pieces(body), fields, encode_chunked=True)
        else:
            connection.request(method, f"/{kind}/{size}/{seed}", body, fields)

    def _pieces(self, body: bytes) -> Iterator[bytes]:
        """Send a body slowly, in chunks."""
        step = len(body) // 4 + 1
        for start in range(0, len(body), step):
            yield body[start : start + step]
            time.sleep(self._chance.random() * 0.05)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


@contextmanager
def load(address: Address, ledger: Ledger, seed: int) -> Iterator[None]:
    """Run the clients during the block, and until each has the answer to its last request."""
    clients = [
        Client(kind, number, address, ledger, seed)
        for kind, (count, _) in KINDS.items()
        for number in range(count)
    ]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        for client in clients:
            client.stop()
        for client in clients:
            client.join(ANSWER_SECONDS + 10)
