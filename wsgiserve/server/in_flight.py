"""The requests in flight of one worker, in memory that the supervisor reads.

The supervisor has to see a request also when its worker can run no Python code any more: the app burns the
processor in C and holds the interpreter's lock. So whoever is about to call the app writes the request down
first. The leader's own call is in the ``journal``. The others have rows:

| rows | written | phase |
|---|---|---|
| ``CALLS`` | when a call gets a thread of its own, or has to wait for one | app, waiting, given up |
| ``CLIENTS`` | about once a second, of all connections at once | head, body, sending |

The once-a-second look also refines "app" for a call whose thread waits for its client.

A worker may be killed at any moment. The supervisor then counts the leader's request and those of ``CALLS``,
and writes their lines to the access log. So a row also says how far that has come:

| start | the request |
|---|---|
| seconds | is not counted yet |
| ``STATUS * status - seconds`` | is counted, with this status; its line is not written yet |
| the same, with the status ``WRITTEN`` | has its line |

One store changes it, right behind the one that counts. A row whose line waits for the client stays in use
until the line is written. The leader's call moves to a row when it is deposed, when its line has to wait, or
when the tally counts it and it has yet to write its line. For a moment it is in both places, with its thread.

Rules
- A row is in use while its start is not 0. Its text is written only while the start is 0, so a reader that
  finds the same start before and after it has read has a text that belongs to it.
- A thread looks whether an exchange is counted, and then stores to its row; a lock sees to it that no other
  comes in between. Only the leader writes the rows of clients.
- A row says who asks for which path and query, and no header field. ``ops`` hides the query when it shows it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, Protocol

from wsgiserve.server.journal import TEXT, Connection, Journal
from wsgiserve.server.system import Lock

Phase = Literal["head", "body", "waiting", "app", "sending", "given up"]

CALLS = 256
CLIENTS = 128
ROWS = 1 + CALLS + CLIENTS  # row 0 is none
LONGEST = 200  # bytes of a target in it
STATUS = -1e9  # more seconds than a start has
WRITTEN = 1  # no status of a response
_HIDDEN = 8 * ROWS * 2  # where it stands how many found no row
_TEXTS = _HIDDEN + 8 * 2
SIZE = _TEXTS + ROWS * TEXT
_STARTS_SIZE = 8 * ROWS
_NO_STARTS = memoryview(bytes(_STARTS_SIZE)).cast("d")


class Request(Protocol):
    """The part of a request that is shown."""

    method: str
    target: str
    minor: int


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
    """The rows in ``memory`` of at least ``SIZE`` bytes, and the leader's call in the ``journal``."""

    def __init__(self, memory: memoryview | None = None, journal: Journal | None = None) -> None:
        memory = memoryview(bytearray(SIZE)) if memory is None else memory[:SIZE]
        self.starts = memory[:_STARTS_SIZE].cast("d")
        self._threads = memory[_STARTS_SIZE:_HIDDEN].cast("Q")
        self._hidden = memory[_HIDDEN:_TEXTS].cast("Q")  # of calls, of clients
        self._texts = memory[_TEXTS:]
        self.journal = journal or Journal()
        self._lock = Lock()  # for looking at an exchange and storing to its row
        self._rows: dict[Exchange, int] = {}  # of calls; 0 without room
        self._free = list(range(CALLS, 0, -1))
        self._refined: dict[int, str] = {}  # the phases of calls, by row, as they were written last

    def lead(self, thread: int) -> None:
        """Name the leader's thread."""
        self.journal.lead(thread)

    # -- calls on threads of their own

    def put(self, exchange: Exchange, phase: Phase, thread: int = 0) -> None:
        """Show an exchange in this phase, which may be shown already."""
        with self._lock:
            self._put(exchange, phase, thread)

    def _put(self, exchange: Exchange, phase: Phase, thread: int) -> None:
        if not self._rows.get(exchange):
            self._free_row(exchange)  # There may be room for it by now.
            self._take_row(exchange)
        row = self._rows[exchange]
        if row:
            self.starts[row] = 0.0
            self._threads[row] = thread
            self._write(row, text_of(exchange, phase))
            self._set_start(row, exchange)
        self.journal.leave(exchange)  # It may have been the leader's until now.

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
        """An exchange is counted in the tally, with its status."""
        with self._lock:
            row = self._rows.get(exchange)
            if row:
                self._set_start(row, exchange)
            elif self.journal.writes_lines and row is None and not exchange.detached:
                self._put(exchange, "sending", self.journal.thread)
            else:
                self.journal.leave(exchange)

    def end(self, exchange: Exchange, phase: Phase) -> None:
        """Say why a call ends, before that is counted."""
        row = self._rows.get(exchange)
        if row:
            self.put(exchange, phase, self._threads[row])

    def settle(self, exchange: Exchange) -> None:
        """An exchange is counted and has its line, but its thread has not come back yet."""
        with self._lock:
            row = self._rows.get(exchange)
            if row:
                self.starts[row] = STATUS * WRITTEN - exchange.started
            elif row is None:
                self.journal.leave(exchange)

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
        """Return the requests; one that changes meanwhile is left out, or read again."""
        leading = self._leading() or self._leading()
        starts = self.starts.tolist()
        found = []
        for row in [row for row, started in enumerate(starts) if started]:
            entry = self._read(row) or self._read(row)
            if entry is not None:
                found.append(entry)
        return _with(leading, found)

    def unwritten(self) -> list[Entry]:
        """Return the calls that have no line yet, of a worker that has ended."""
        rows = [entry for row in range(1, 1 + CALLS) if (entry := self._read(row)) is not None]
        return [entry for entry in _with(self._leading(), rows) if entry.status != WRITTEN]

    def _leading(self) -> Entry | None:
        found = self.journal.leading()
        return None if found is None else _entry(*found)

    def _read(self, row: int) -> Entry | None:
        started, thread = self.starts[row], self._threads[row]
        text = bytes(self._texts[row * TEXT : (row + 1) * TEXT])
        if not started or self.starts[row] != started:
            return None
        status = None
        if started < 0:
            status = int(started // STATUS)
            started = STATUS * status - started
        return _entry(started, thread, text, status)

    @property
    def hidden(self) -> int:
        """How many requests found no row."""
        return self._hidden[0] + self._hidden[1]

    def clear(self) -> None:
        """Empty all rows."""
        self.starts[:] = _NO_STARTS
        self._hidden[0] = self._hidden[1] = 0
        self.journal.forget()


def _with(leading: Entry | None, rows: list[Entry]) -> list[Entry]:
    """Put the leader's call before the rows, unless one of them has it already."""
    if leading is None or any(entry.thread == leading.thread != 0 for entry in rows):
        return rows
    return [leading, *rows]


def _entry(started: float, thread: int, text: bytes, status: int | None) -> Entry | None:
    parts = text.partition(b"\0")[0].decode("latin-1").split("\n")
    if len(parts) < 7:
        return None  # Another version of this package has written it.
    phase, client, method, target, id, minor, end = parts
    return Entry(started, thread, phase, client, method, target, id, int(minor), end, status)


def text_of(exchange: Exchange, phase: Phase = "app") -> bytes:
    """Return the text that shows an exchange."""
    request = exchange.request
    texts = request.method, request.target, exchange.id, request.minor, exchange.end
    return _joined(phase, exchange.client, *texts)


def _joined(phase: str, client: str, method: str, target: str, id: str, minor: int, end: str) -> bytes:
    """Return a text of ``TEXT`` bytes. No part has a control character: requests with one are refused."""
    if len(target) > LONGEST:
        target = f"{target[: LONGEST - 3]}..."
    text = f"{phase}\n{client[:45]}\n{method[:16]}\n{target}\n{id[:64]}\n{minor}\n{end}"
    return text.encode("latin-1", "replace").ljust(TEXT, b"\0")
