"""The requests in flight of one worker, in memory that the supervisor reads.

The supervisor has to see a request also when its worker can run no Python code any more: the app burns the
processor in C and holds the interpreter's lock. So whoever is about to call the app writes the request down
first. There are three kinds of rows:

| rows | written | phase |
|---|---|---|
| the first | by the leader, around each call on its own thread | app |
| ``CALLS`` | when a call gets a thread of its own, or has to wait for one | app, waiting, given up |
| ``CLIENTS`` | about once a second, of all connections at once | head, body, sending |

Most requests are answered on the leader's thread, within microseconds. For these the text of the row is
written only if the request is not the one before, and made only if its connection has not repeated it.
The rest is three stores. Other requests cost more, and are slow anyway. The once-a-second look also refines
"app" for a call whose thread waits for its client.

A worker may be killed at any moment. The supervisor then counts the requests of the first row and of
``CALLS``, and writes their lines to the access log. So a row also says how far that has come:

| start | the request |
|---|---|
| seconds | is not counted yet |
| ``STATUS * status - seconds`` | is counted, with this status; its line is not written yet |
| the same, with the status ``WRITTEN`` | has its line |

One store changes it, right behind the one that counts. A row whose line waits for the client stays in use
until the line is written.

Rules
- A row is in use while its start is not 0. Its text is written only while the start is 0, so a reader that
  finds the same start before and after it has read has a text that belongs to it.
- A thread looks whether an exchange is detached, or counted, and then stores to its row; no other may come
  in between. For calls a lock sees to that. For the first row no call stands between the two, so CPython with
  the GIL switches to no other thread. Without the GIL a thread that is deposed at this very moment may clear
  the row of the next leader, whose call is then not shown.
- The first row is the leader's. Who is deposed leaves it: a thread clears it only while it is not detached.
- The leadership's mutex guards the rows of calls. Only the leader writes those of clients.
- A row says who asks for which path and query, and no header field. ``ops`` hides the query when it shows it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, Protocol

from wsgiserve.server.system import Lock

Phase = Literal["head", "body", "waiting", "app", "sending", "given up"]

CALLS = 256
CLIENTS = 128
ROWS = 1 + CALLS + CLIENTS
TEXT = 352  # bytes of a row's text
LONGEST = 200  # bytes of a target in it
STATUS = -1e9  # more seconds than a start has
WRITTEN = 1  # no status of a response
_HIDDEN = 8 * ROWS * 2  # where it stands how many found no row
_TEXTS = _HIDDEN + 8 * 2
SIZE = _TEXTS + ROWS * TEXT
_STARTS_SIZE = 8 * ROWS


class Request(Protocol):
    """The part of a request that is shown."""

    method: str
    target: str
    minor: int


class Connection(Protocol):
    """A connection, which keeps the text of its last request."""

    @property
    def shown(self) -> tuple[Request | None, bytes]:
        """What ``show_as`` was told last."""

    def show_as(self, request: Any, text: bytes) -> None:
        """Keep a text for a request that may be repeated."""


class Exchange(Protocol):
    """A request and its answer, as far as it is looked at in here."""

    id: str
    started: float
    detached: bool  # it runs on a thread of its own
    counted: bool
    status: int  # as which it is counted
    end: str
    owes_line: bool  # its line waits for its client

    @property
    def request(self) -> Request:
        """The request."""

    @property
    def connection(self) -> Connection:
        """Its connection."""

    @property
    def client(self) -> str:
        """The address of the client."""


class Entry(NamedTuple):
    """A row as it is read: monotonic seconds, the thread that runs it or 0, the texts.

    ``status`` is None until the request is counted. ``end`` is why it has ended, if that is counted before
    its line is written; else "done".
    """

    started: float
    thread: int
    phase: str
    client: str
    method: str
    target: str
    id: str
    minor: int = 1  # of the version
    end: str = "done"
    status: int | None = None

    @property
    def path(self) -> str:
        """Its target without the query."""
        return self.target.partition("?")[0]


class InFlight:
    """The rows in ``memory`` of at least ``SIZE`` bytes."""

    def __init__(self, memory: memoryview | None = None) -> None:
        memory = memoryview(bytearray(SIZE)) if memory is None else memory[:SIZE]
        self.starts = memory[:_STARTS_SIZE].cast("d")
        self._threads = memory[_STARTS_SIZE:_HIDDEN].cast("Q")
        self._hidden = memory[_HIDDEN:_TEXTS].cast("Q")  # of calls, of clients
        self._texts = memory[_TEXTS:]
        self._first = self._texts[:TEXT]
        self.shown: Request | None = None  # the request in the first row, by its thread
        self._lock = Lock()  # for looking at an exchange and storing to its row
        self._rows: dict[Exchange, int] = {}  # of calls; 0 without room
        self._free = list(range(CALLS, 0, -1))
        self._refined: dict[int, str] = {}  # the phases of calls, by row, as they were written last

    # -- the leader's call

    def show(self, exchange: Exchange) -> None:
        """Write the text of the first row, which is not in use."""
        request, text = exchange.connection.shown
        if request is not exchange.request or exchange.id:
            text = _text("app", exchange)
            exchange.connection.show_as(exchange.request, text)
        self.shown = exchange.request
        self._first[:] = text

    def lead(self, thread: int) -> None:
        """Name the thread of the first row."""
        self._threads[0] = thread

    # -- calls on threads of their own; the leadership's mutex is held

    def put(self, exchange: Exchange, phase: Phase, thread: int = 0) -> None:
        """Show an exchange in this phase, which may be shown already."""
        with self._lock:
            self._put(exchange, phase, thread)

    def _put(self, exchange: Exchange, phase: Phase, thread: int) -> None:
        if exchange.request is self.shown:  # It was the leader's until now.
            self.starts[0] = 0.0
            self.shown = None
        if not self._rows.get(exchange):
            self._free_row(exchange)  # There may be room for it by now.
            self._take_row(exchange)
        row = self._rows[exchange]
        if row:
            self.starts[row] = 0.0
            self._threads[row] = thread
            self._write(row, _text(phase, exchange))
            self._set_start(row, exchange)

    def _set_start(self, row: int, exchange: Exchange) -> None:
        """Say how far its counting has come."""
        if exchange.counted:
            self.starts[row] = STATUS * exchange.status - exchange.started
        else:
            self.starts[row] = exchange.started

    def _take_row(self, exchange: Exchange) -> None:
        try:
            self._rows[exchange] = self._free.pop()
        except IndexError:
            self._rows[exchange] = 0
            self._hidden[0] += 1

    def take(self, exchange: Exchange) -> None:
        """Show an exchange no more, unless its line waits for its client."""
        if not exchange.owes_line:
            with self._lock:
                self._free_row(exchange)

    def _free_row(self, exchange: Exchange) -> None:
        row = self._rows.pop(exchange, None)
        if row:
            self.starts[row] = 0.0
            self._refined.pop(row, None)
            self._free.append(row)
        elif row == 0:
            self._hidden[0] -= 1

    def shows(self, exchange: object) -> bool:
        """Whether an exchange has one of these rows."""
        return exchange in self._rows

    def refine(self, exchange: Exchange, phase: Phase) -> None:
        """Correct the phase of a call that runs."""
        row = self._rows.get(exchange)
        if row and self._refined.get(row, "app") != phase:
            self._refined[row] = phase
            thread = self._threads[row]
            self.put(exchange, phase, thread)

    # -- how far its counting has come; on the thread that has done it

    def count(self, exchange: Exchange) -> None:
        """An exchange is counted, with its status."""
        with self._lock:
            row = self._rows.get(exchange)
            if row:
                self._set_start(row, exchange)
            elif row is None and not exchange.detached:
                self.starts[0] = STATUS * exchange.status - exchange.started

    def end(self, exchange: Exchange, phase: Phase) -> None:
        """Say why a call ends, before that is counted."""
        row = self._rows.get(exchange)
        if row:
            self.put(exchange, phase, self._threads[row])

    def settle(self, exchange: Exchange) -> None:
        """An exchange is counted and has its line, but its thread has not come back yet."""
        with self._lock:
            row = self._rows.get(exchange)
            if row or (row is None and exchange.request is self.shown and not exchange.detached):
                self.starts[row or 0] = STATUS * WRITTEN - exchange.started

    # -- the requests that the loop looks after

    def show_clients(self, entries: Iterable[Entry]) -> None:
        """Show these in place of those shown before."""
        row, hidden = 1 + CALLS, 0
        for entry in entries:
            if row == ROWS:
                hidden += 1
                continue
            self.starts[row] = 0.0
            self._write(row, _joined(*entry[2:9]))
            self.starts[row] = entry.started
            row += 1
        for rest in range(row, ROWS):
            self.starts[rest] = 0.0
        self._hidden[1] = hidden

    def _write(self, row: int, text: bytes) -> None:
        self._texts[row * TEXT : (row + 1) * TEXT] = text

    # -- reading, in the supervisor

    def entries(self) -> list[Entry]:
        """Return the rows that are in use; one that changes meanwhile is left out, or read again."""
        starts = self.starts.tolist()
        found = []
        for row in [row for row, started in enumerate(starts) if started]:
            entry = self._read(row) or self._read(row)
            if entry is not None:
                found.append(entry)
        return found

    def unwritten(self) -> list[Entry]:
        """Return the calls that have no line yet, of a worker that has ended."""
        rows = [self._read(row) for row in range(1 + CALLS)]
        return [entry for entry in rows if entry is not None and entry.status != WRITTEN]

    def _read(self, row: int) -> Entry | None:
        started, thread = self.starts[row], self._threads[row]
        text = bytes(self._texts[row * TEXT : (row + 1) * TEXT]).partition(b"\0")[0]
        if not started or self.starts[row] != started:
            return None
        parts = text.decode("latin-1").split("\n")
        if len(parts) < 7:
            return None  # Another version of this package has written it.
        phase, client, method, target, id, minor, end = parts
        status = None
        if started < 0:
            status = int(started // STATUS)
            started = STATUS * status - started
        return Entry(started, thread, phase, client, method, target, id, int(minor), end, status)

    @property
    def hidden(self) -> int:
        """How many requests found no row."""
        return self._hidden[0] + self._hidden[1]

    def clear(self) -> None:
        """Empty all rows."""
        self.starts[:] = memoryview(bytearray(_STARTS_SIZE)).cast("d")
        self._hidden[0] = self._hidden[1] = 0


def _text(phase: str, exchange: Exchange) -> bytes:
    """Return the text of an exchange's row."""
    request = exchange.request
    texts = request.method, request.target, exchange.id, request.minor, exchange.end
    return _joined(phase, exchange.client, *texts)


def _joined(phase: str, client: str, method: str, target: str, id: str, minor: int, end: str) -> bytes:
    """Return a text of ``TEXT`` bytes. No part has a control character: requests with one are refused."""
    if len(target) > LONGEST:
        target = f"{target[: LONGEST - 3]}..."
    text = f"{phase}\n{client[:45]}\n{method[:16]}\n{target}\n{id[:64]}\n{minor}\n{end}"
    return text.encode("latin-1", "replace").ljust(TEXT, b"\0")
