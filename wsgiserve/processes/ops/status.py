"""What a server does at the moment, as a value for JSON: its workers, their requests, its last ten minutes.

Nothing in it is secret: a request has no query (unless ``--ops-verbose`` says so) and no header field.
"""

from __future__ import annotations

import os
import time
from typing import Any

from wsgiserve.processes.facts import Worker
from wsgiserve.processes.fleet import Fleet
from wsgiserve.processes.ops.totals import Totals
from wsgiserve.server.history import BUCKETS, FIELDS, SECONDS
from wsgiserve.server.in_flight import Entry
from wsgiserve.version import __version__

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def status(fleet: Fleet, totals: Totals) -> dict[str, Any]:
    """Look at all workers."""
    now = time.monotonic()
    facts = fleet.status()
    workers = [_worker(worker, totals, now) for worker in fleet.workers.values()]
    requests = [request for worker in workers for request in worker.pop("requests")]
    requests.sort(key=lambda request: -request["age"])
    return {
        "version": __version__,
        "pid": os.getpid(),
        "state": facts["state"],
        "generation": facts["generation"],
        "reason": facts["reason"] if facts["outcome"] == "failed" else "",
        "workers": workers,
        "requests": requests,
        "hidden": sum(worker.pop("hidden") for worker in workers),
        "history": history(totals, now),
    }


def _worker(worker: Worker, totals: Totals, now: float) -> dict[str, Any]:
    board = totals.board(worker.row) if worker.row else None
    entries = board.in_flight.entries() if board is not None else []
    gauges = board.tally.get if board is not None else lambda name: 0
    phases = [entry.phase for entry in entries]
    return {
        "pid": worker.pid,
        "generation": worker.generation,
        "state": worker.state,
        "age": round(now - worker.began, 1),
        "memory": memory(worker.pid),
        "connections": sum(gauges(name) for name in ("idle", "receiving", "running", "sending")),
        "busy": phases.count("app"),
        "threads": worker.terms.config.threads,
        "waiting": phases.count("waiting"),
        "requests": [_request(entry, worker, now) for entry in entries],
        "hidden": board.in_flight.hidden if board is not None else 0,
    }


def _request(entry: Entry, worker: Worker, now: float) -> dict[str, Any]:
    return {
        "pid": worker.pid,
        "thread": f"{entry.thread:x}" if entry.thread else "",
        "age": round(max(0.0, now - entry.started), 3),
        "phase": entry.phase,
        "client": entry.client,
        "method": entry.method,
        "path": asked(entry, worker),
        "id": entry.id,
    }


def asked(entry: Entry, worker: Worker) -> str:
    """Return what is shown of a request's target: queries may have secrets."""
    return entry.target if worker.terms.config.ops_verbose else entry.path


def memory(pid: int) -> int | None:
    """Return the bytes of memory that a process has in use; None where the system does not tell so."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE_SIZE
    except (OSError, ValueError, IndexError):
        return None


def history(totals: Totals, now: float) -> dict[str, Any]:
    """Return the last ten minutes: for each field the values of every ten seconds, the oldest first."""
    current = int(now) // SECONDS
    buckets = totals.history(now)
    rows = [buckets.get(number, (0.0,) * len(FIELDS)) for number in range(current - BUCKETS + 2, current + 1)]
    columns = zip(FIELDS, zip(*rows, strict=True), strict=True)
    elapsed = round(now % SECONDS, 1)  # of the last values, which grow
    return {
        "seconds": SECONDS,
        "elapsed": elapsed,
        **{field: [round(value, 3) for value in values] for field, values in columns},
    }
