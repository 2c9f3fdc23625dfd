"""Requests as bytes over real connections, a source address each, so that calls of the app find their case.

Each case is sent three times: alone, with a sound request right behind it, and in two pieces, where the
first is the head and the sound request ends the second: a server may treat what it finds in its buffer in
another way than what comes later. A connection is read until the server closes it or falls silent; then our
half is closed, which is the end of whatever the server still waits for.
"""

from __future__ import annotations

import re
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

from bench.recording import Call
from tests.protocol.cases import Case

TOGETHER = 32  # connections, fewer than any server here has threads
CONNECT_SECONDS = 10.0
_HEAD = re.compile(rb"HTTP/1\.(\d) (\d{3})\b.*?\r?\n\r?\n", re.DOTALL)
_CLOSE = re.compile(rb"\nconnection:[^\n]*\bclose\b", re.IGNORECASE)
_KEEP = re.compile(rb"\nconnection:[^\n]*\bkeep-alive\b", re.IGNORECASE)


@dataclass(frozen=True)
class Seen:
    """One connection.

    status, minor: of the first answer that is not interim; early: whether that or the close came while our
    half was open; closed: in the end; announced: whether that answer said so; calls: of the app.
    """

    status: int | None
    minor: int
    early: bool
    closed: bool
    announced: bool
    calls: tuple[Call, ...] = ()

    @property
    def whole(self) -> list[Call]:
        """The calls for the case itself that had all of their body."""
        return [call for call in self.calls if call.whole and not is_next(call)]

    @property
    def read_on(self) -> bool:
        return any(map(is_next, self.calls))


class Trio(NamedTuple):
    """What was seen of a case alone, with a sound request right behind it, and with that later."""

    alone: Seen
    behind: Seen
    later: Seen

    @property
    def read_on(self) -> bool:
        return self.behind.read_on or self.later.read_on

    @property
    def whole(self) -> list[Call]:
        return [*self.alone.whole, *self.behind.whole, *self.later.whole]


def next_request(client: str) -> bytes:
    """Write the sound request behind a case; it names its client, for uWSGI forgets who that is."""
    return b"GET /next HTTP/1.1\r\nHost: next\r\nX-Behind: %b\r\n\r\n" % client.encode()


def is_next(call: Call) -> bool:
    return call.path == "/next"


@dataclass(frozen=True)
class Patience:
    """Seconds: without a first answer, of silence after one, for the end when our half is closed; and
    between two pieces, enough for the server to have read the first."""

    answer: float = 1.0
    silence: float = 0.3
    end: float = 3.0
    gap: float = 0.05


def exchange_all(
    port: int, cases: Sequence[Case], patience: Patience, calls: Callable[[], Iterable[Call]], net: int
) -> list[Trio]:
    """Send every case in each way; `net`, 1 to 80, keeps runs against one server apart."""
    jobs = [
        (source := _address(3 * net + way, number), pieces(case.data, next_request(source)))
        for number, case in enumerate(cases)
        for way, pieces in enumerate(WAYS)
    ]
    with ThreadPoolExecutor(TOGETHER) as pool:
        seen = list(pool.map(lambda job: _exchange(port, job[0], job[1], patience), jobs))
    by_client = defaultdict(list)
    for call in calls():
        by_client[call.fields.get("HTTP_X_BEHIND", call.client)].append(call)
    full = [replace(one, calls=tuple(by_client[source])) for one, (source, _) in zip(seen, jobs, strict=True)]
    return [Trio(*full[start : start + 3]) for start in range(0, len(full), 3)]


def _in_two(data: bytes, behind: bytes) -> list[bytes]:
    end = data.find(b"\r\n\r\n") + 4
    cut = end if end > 3 else len(data)
    return [data[:cut], data[cut:] + behind]


# The pieces in which a case and the request behind it are sent.
WAYS: tuple[Callable[[bytes, bytes], list[bytes]], ...] = (
    lambda data, behind: [data],
    lambda data, behind: [data + behind],
    _in_two,
)


def _address(net: int, number: int) -> str:
    high, low = divmod(number, 250)
    return f"127.{net}.{high}.{low + 1}"


def _connect(source: str, port: int) -> socket.socket:
    """Try again for some seconds: a worker that died may be replaced."""
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), CONNECT_SECONDS, (source, 0))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _exchange(port: int, source: str, pieces: Sequence[bytes], patience: Patience) -> Seen:
    with _connect(source, port) as sock:
        try:
            sock.sendall(pieces[0])
            for piece in pieces[1:]:
                time.sleep(patience.gap)
                sock.sendall(piece)
        except OSError:
            pass  # It refuses before the end of the request; its answer may be there.
        answer = bytearray()
        closed = _read(sock, answer, patience.answer, patience.silence)
        early = closed or _final(answer) is not None
        if not closed:
            try:
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # It is closed by now; reading says so.
            closed = _read(sock, answer, patience.end, patience.end)
    head = _final(answer)
    if head is None:
        return Seen(None, 1, early, closed, announced=True)
    minor = int(head[1])
    announced = bool(_CLOSE.search(head[0])) or (minor == 0 and not _KEEP.search(head[0]))
    return Seen(int(head[2]), minor, early, closed, announced)


def _read(sock: socket.socket, answer: bytearray, first: float, silence: float) -> bool:
    """Read into `answer`; return whether the server has closed."""
    while True:
        sock.settimeout(first if _final(answer) is None else silence)
        try:
            piece = sock.recv(65536)
        except TimeoutError:
            return False
        except OSError:
            return True
        if not piece:
            return True
        answer += piece


def _final(answer: bytes | bytearray) -> re.Match[bytes] | None:
    """Find the first response head that is not interim."""
    start = 0
    while head := _HEAD.match(answer, start):
        if not head[2].startswith(b"1"):
            return head
        start = head.end()
    return None
