"""The pages that show a server at work: ``/status`` as a page and as JSON, and ``/stacks``.

``/status`` is a file that never changes. Its script asks for the JSON about once a second while somebody
looks at it. No text of a request can become a part of the page, which runs no other script (CSP).
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from pkgutil import get_data
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from wsgiserve.processes.ops.endpoint import Answer, Later, Page
from wsgiserve.processes.ops.stacks import by_thread
from wsgiserve.processes.ops.status import asked, status
from wsgiserve.protocol.request import RequestHead

if TYPE_CHECKING:
    from wsgiserve.processes.facts import Worker
    from wsgiserve.processes.fleet import Fleet
    from wsgiserve.processes.ops.stacks import Stacks
    from wsgiserve.processes.ops.totals import Totals
    from wsgiserve.server.in_flight import Entry

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
JSON = "application/json"
ALL_SECONDS = 7.0  # for the stacks of all workers, before the client of the endpoint has to go
_OURS = re.compile(r'  File ".*/wsgiserve/server/[^"]*", line')


def looking_glass(fleet: Fleet, totals: Totals, stacks: Stacks) -> Mapping[str, Page]:
    """Return the pages."""
    return {
        "/status": partial(_status, fleet, totals),
        "/status.json": partial(_status_json, fleet, totals),
        "/status.css": partial(_file, "status.css", "text/css; charset=utf-8"),
        "/status.js": partial(_file, "status.js", "text/javascript; charset=utf-8"),
        "/stacks": partial(_stacks, fleet, totals, stacks),
    }


def _status(fleet: Fleet, totals: Totals, head: RequestHead) -> Answer:
    accept = head.fields.get("HTTP_ACCEPT", "")
    if JSON in accept and "text/html" not in accept:
        return _status_json(fleet, totals, head)
    page = _file("status.html", "text/html; charset=utf-8", head)
    return page._replace(fields=(("Content-Security-Policy", CSP), ("Vary", "Accept")))


def _status_json(fleet: Fleet, totals: Totals, head: RequestHead) -> Answer:
    return Answer(json.dumps(status(fleet, totals), indent=1).encode() + b"\n", JSON)


def _file(name: str, content_type: str, head: RequestHead) -> Answer:
    # importlib.resources would import modules now.
    data = get_data("wsgiserve.processes.ops", f"page/{name}")
    assert data is not None
    return Answer(data, content_type)


def _stacks(fleet: Fleet, totals: Totals, stacks: Stacks, head: RequestHead) -> Answer | Later:
    """Ask all workers, or the one that the query names, perhaps for one thread."""
    query = parse_qs(head.query)
    pid, thread = query.get("pid", [""])[0], query.get("thread", [""])[0]
    workers = [worker for worker in fleet.workers.values() if worker.pid and pid in ("", str(worker.pid))]
    if not workers:
        text = f"no worker has the process id {pid[:20]}\n" if pid else "no worker runs\n"
        return Answer(text.encode(), status="404 Not Found")
    try:
        wanted = int(thread, 16) if thread else 0
    except ValueError:
        return Answer(b"thread is a number in hexadecimal digits\n", status="400 Bad Request")
    return _Round(totals, stacks, workers, wanted).begin


class _Round:
    """The stacks of some workers, one after the other."""

    def __init__(self, totals: Totals, stacks: Stacks, workers: list[Worker], thread: int) -> None:
        self._totals = totals
        self._stacks = stacks
        self._workers = workers
        self._thread = thread
        self._texts: list[str] = []
        self._until = time.monotonic() + ALL_SECONDS

    def begin(self, give: Callable[[Answer], None]) -> None:
        """Ask; ``give`` is called with the answer."""
        self._give = give
        self._next()

    def _next(self) -> None:
        if not self._workers:
            self._give(Answer("\n".join(self._texts).encode()))
            return
        worker = self._workers.pop(0)
        if time.monotonic() < self._until:
            self._stacks.ask(worker, partial(self._take, worker))
        else:
            self._texts.append(f"worker {worker.pid} was not asked: others took too long; ask for it alone\n")
            self._next()

    def _take(self, worker: Worker, text: str) -> None:
        entries = self._totals.board(worker.row).in_flight.entries() if worker.row else []
        named = {entry.thread: entry for entry in entries if entry.thread}
        found = by_thread(text)
        if not found:
            self._texts.append(f"worker {worker.pid} does not tell; if its threads compute, ask again\n")
        elif self._thread:
            self._texts.append(_one(worker, self._thread, found, named))
        else:
            self._texts.append(_all(worker, found, named))
        self._next()


def _one(worker: Worker, thread: int, found: dict[int, str], named: dict[int, Entry]) -> str:
    if thread not in named or thread not in found:
        return "the request is over\n"
    return f"{_title(named[thread], worker)}\n{in_app(found[thread])}\n"


def _all(worker: Worker, found: dict[int, str], named: dict[int, Entry]) -> str:
    parts = [f"worker {worker.pid}, generation {worker.generation}, {worker.state}\n"]
    for thread, entry in named.items():
        parts.append(
            f"{_title(entry, worker)}\n{in_app(found.get(thread, '  (not among the newest 100 threads)'))}\n"
        )
    parts += [f"thread {thread:x}\n{stack}\n" for thread, stack in found.items() if thread not in named]
    return "\n".join(parts)


def _title(entry: Entry, worker: Worker) -> str:
    age = time.monotonic() - entry.started
    id = f" [{entry.id}]" if entry.id else ""
    return f"{entry.method} {asked(entry, worker)}{id} from {entry.client}, {entry.phase}, {age:.1f} s"


def in_app(stack: str) -> str:
    """Return the app's part of a stack, which has the innermost frame first; all of it if there is none."""
    theirs = list(itertools.takewhile(lambda line: not _OURS.match(line), stack.split("\n")))
    return "\n".join(theirs) or stack
