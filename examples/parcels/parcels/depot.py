"""The database of parcels, in SQLite.

Each call opens its own connection, so several threads and processes can use a depot.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from parcels.model import NEXT, Event, ImpossibleError, NewEvent, NewParcel, NoSuchParcelError, Parcel, State

TABLES = """
CREATE TABLE IF NOT EXISTS parcel (id TEXT PRIMARY KEY, recipient TEXT, grams INTEGER);
CREATE TABLE IF NOT EXISTS event (parcel TEXT REFERENCES parcel, state TEXT, place TEXT, at TEXT);
CREATE INDEX IF NOT EXISTS event_parcel ON event (parcel);
"""


class Depot:
    """All parcels."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create_tables(self) -> None:
        """Create the tables that are missing."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._transaction() as connection:
            connection.executescript(TABLES)

    def add(self, new: NewParcel) -> Parcel:
        """Add a new parcel."""
        parcel_id = uuid4()
        with self._transaction() as connection:
            row = (str(parcel_id), new["recipient"], new["grams"])
            connection.execute("INSERT INTO parcel VALUES (?, ?, ?)", row)
            _add_event(connection, parcel_id, {"state": "announced", "place": "online"})
            return _read(connection, parcel_id)

    def find(self, parcel_id: UUID) -> Parcel:
        """Return a parcel; NoSuchParcelError if there is none with that id."""
        with self._transaction() as connection:
            return _read(connection, parcel_id)

    def all(self, state: State | None = None) -> list[Parcel]:
        """Return the parcels, all or those in a state, the oldest first."""
        with self._transaction() as connection:
            ids = [UUID(row[0]) for row in connection.execute("SELECT id FROM parcel ORDER BY rowid")]
            parcels = [_read(connection, parcel_id) for parcel_id in ids]
        return [parcel for parcel in parcels if state in (None, parcel.state)]

    def record(self, parcel_id: UUID, event: NewEvent) -> Parcel:
        """Record an event of a parcel; ImpossibleError if its state does not allow it."""
        with self._transaction() as connection:
            before = _read(connection, parcel_id).state
            if event["state"] not in NEXT[before]:
                raise ImpossibleError(f"The parcel is {before}, so it cannot be {event['state']} now.")
            _add_event(connection, parcel_id, event)
            return _read(connection, parcel_id)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")  # nobody else writes between our read and write
            yield connection


def _add_event(connection: sqlite3.Connection, parcel_id: UUID, event: NewEvent) -> None:
    row = (str(parcel_id), event["state"], event["place"], datetime.now(UTC).isoformat())
    connection.execute("INSERT INTO event VALUES (?, ?, ?, ?)", row)


def _read(connection: sqlite3.Connection, parcel_id: UUID) -> Parcel:
    found = connection.execute(
        "SELECT recipient, grams FROM parcel WHERE id = ?", (str(parcel_id),)
    ).fetchone()
    if found is None:
        raise NoSuchParcelError(f"There is no parcel {parcel_id}.")
    rows = connection.execute(
        "SELECT state, place, at FROM event WHERE parcel = ? ORDER BY rowid", (str(parcel_id),)
    )
    recipient, grams = found
    events = [Event(state, place, datetime.fromisoformat(at)) for state, place, at in rows]
    return Parcel(parcel_id, recipient, grams, events[-1].state, events)
