"""Send cases over real connections. Each has its own source address, by which calls of the app are matched.

Each case is sent three times: alone; followed by a valid request; and in two pieces, the head and then the
rest with the valid request, since a server may treat bytes in its buffer differently from bytes that come
later. The client reads until the server closes or is silent for a while. Then it closes its half, so a server
that waits for the rest of a request sees the end of input.
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

from bench.servers.conformance.recording import Call
from tests.protocol.cases import Case

TOGETHER = 32  # connections at once, fewer than the threads of any server here
CONNECT_SECONDS = 10.0
_HEAD = re.compile(rb"HTTP/1\.(\d) (\d{3})\b.*?\r?\n\r?\n", re.DOTALL)
_CLOSE = re.compile(rb"\nconnection:[^\n]*\bclose\b", re.IGNORECASE)
_KEEP = re.compile(rb"\nconnection:[^\n]*\bkeep-alive\b", re.IGNORECASE)


@dataclass(frozen=True)
class Seen:
    """The server's behaviour on one connection.

    status, minor: of the final response (RFC 9110 §15.2); early: it, or the close, came while our half was
    open; closed: the server closed in the end; announced: the final response said so; calls: of the app.
    """

    status: int | None
    minor: int
    early: bool
    closed: bool
    announced: bool
    calls: tuple[Call, ...] = ()

    @property
    def whole(self) -> list[Call]:
        """The calls with a complete body, without the valid request behind the case."""
        return [call for call in self.calls if call.whole and not is_next(call)]

    @property
    def read_on(self) -> bool:
        return any(map(is_next, self.calls))


class Trio(NamedTuple):
    """The server's behaviour for a case alone, with a valid request behind it, and with that sent later."""

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
    """Return the valid request to send behind a case; X-Behind is for uWSGI, which loses REMOTE_ADDR."""
    return b"GET /next HTTP/1.1\r\nHost: next\r\nX-Behind: %b\r\n\r\n" % client.encode()


def is_next(call: Call) -> bool:
    return call.path == "/next"


@dataclass(frozen=True)
class Patience:
    """Time-outs in seconds.

    answer: for the first answer; silence: after an answer; end: for the close once our half is closed; gap:
    between two pieces, so that the server reads the first alone.
    """

    answer: float = 1.0
    silence: float = 0.3
    end: float = 3.0
    gap: float = 0.05


def exchange_all(
    port: int, cases: Sequence[Case], patience: Patience, calls: Callable[[], Iterable[Call]], net: int
) -> list[Trio]:
    """Send every case in each way; runs against one server need a different `net` each, 1 to 80."""
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


# The pieces in which a case, and perhaps the request behind it, are sent.
WAYS: tuple[Callable[[bytes, bytes], list[bytes]], ...] = (
    lambda data, behind: [data],
    lambda data, behind: [data + behind],
    _in_two,
)


def _address(net: int, number: int) -> str:
    high, low = divmod(number, 250)
    return f"127.{net}.{high}.{low + 1}"


def _connect(source: str, port: int) -> socket.socket:
    """Connect; try again for some seconds, in which a worker that died may be replaced."""
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
            pass  # The server closed before the end of the request; its answer may be there.
        answer = bytearray()
        closed = _read(sock, answer, patience.answer, patience.silence)
        early = closed or _final(answer) is not None
        if not closed:
            try:
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # The server has closed by now; `_read` notices.
            closed = _read(sock, answer, patience.end, patience.end)
    head = _final(answer)
    if head is None:
        return Seen(None, 1, early, closed, announced=True)
    minor = int(head[1])
    announced = bool(_CLOSE.search(head[0])) or (minor == 0 and not _KEEP.search(head[0]))
    return Seen(int(head[2]), minor, early, closed, announced)


def _read(sock: socket.socket, answer: bytearray, first: float, silence: float) -> bool:
    """Append to `answer` until a time-out or the end; return whether the server has closed."""
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
    """Find the head of the final response, behind those with a status of 1xx."""
    start = 0
    while head := _HEAD.match(answer, start):
        if not head[2].startswith(b"1"):
            return head
        start = head.end()
    return None
