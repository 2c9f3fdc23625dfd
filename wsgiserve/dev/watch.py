"""Watch for changed files: compare modification times and sizes with those of the last look.

Only code, templates and configuration count, so that an app that writes a database or a log beside its code
is not restarted by its own writing. A hint says when to look: from the operating system if watchfiles is
installed, otherwise from a clock.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator

SUFFIXES = frozenset(
    ".py .html .htm .jinja .jinja2 .j2 .mako .toml .ini .cfg .conf .yaml .yml .env".split()  # noqa: SIM905
)
POLL_SECONDS = 0.3  # between two looks without watchfiles
HINT_SECONDS = 1.0  # between two looks with watchfiles: some file systems report no changes
SETTLE_SECONDS = 0.05  # editors write a file in several steps, and several files at once
MOST_WAITS = 20  # times SETTLE_SECONDS

Stamps = dict[str, tuple[int, int]]


def stamps(folders: Iterable[str]) -> Stamps:
    """Return modification time and size of the watched files in ``folders``, without folders below."""
    found = {}
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if os.path.splitext(entry.name)[1] in SUFFIXES or entry.name == ".env":
                        status = entry.stat()
                        found[entry.path] = (status.st_mtime_ns, status.st_size)
        except OSError:
            continue  # The folder or a file in it was just removed: the next look will show it.
    return found


class Watcher:
    """Calls ``tell`` with the changed files, on its own thread, from ``start`` on.

    ``hints(folders, added)`` returns an iterator; each of its steps waits until it is time to look. It is
    made anew when folders are added.
    """

    def __init__(self, tell: Callable[[list[str]], None], hints: Callable[..., Iterator[object]]) -> None:
        self._tell = tell
        self._hints = hints
        self._lock = threading.Lock()
        self._folders: set[str] = set()
        self._known: Stamps = {}
        self._added = threading.Event()

    def add(self, folders: Iterable[str]) -> None:
        """Watch these folders too, without the folders below them."""
        with self._lock:
            new = set(folders) - self._folders
            self._folders |= new
            self._known |= stamps(new)
        if new:
            self._added.set()

    def start(self) -> None:
        """Watch until the process ends."""
        threading.Thread(target=self._watch, name="wsgiserve-watch", daemon=True).start()

    def _watch(self) -> None:
        while True:
            self._added.clear()
            for _ in self._hints(sorted(self._folders), self._added):
                changed = self._look()
                if changed:
                    self._tell(changed)
                if self._added.is_set():
                    break

    def _look(self) -> list[str]:
        """Return the files that changed since the last look, once no more of them change."""
        with self._lock:
            before, now = self._known, stamps(self._folders)
            for _ in range(MOST_WAITS if before != now else 0):
                time.sleep(SETTLE_SECONDS)
                earlier, now = now, stamps(self._folders)
                if earlier == now:
                    break
            self._known = now
        return sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))


def clock(folders: list[str], added: threading.Event) -> Iterator[object]:
    """Give a hint at regular intervals."""
    while True:
        added.wait(POLL_SECONDS)
        yield None


def system(folders: list[str], added: threading.Event) -> Iterator[object]:
    """Give a hint when the system reports a change; ImportError if watchfiles is not installed."""
    from watchfiles import watch

    existing = [folder for folder in folders if os.path.isdir(folder)]
    return watch(
        *existing,
        recursive=False,
        stop_event=added,
        watch_filter=None,
        debounce=50,
        rust_timeout=int(HINT_SECONDS * 1000),
        yield_on_timeout=True,
        raise_interrupt=False,
    )


def best_hints() -> Callable[..., Iterator[object]]:
    """Return ``system`` if watchfiles is installed, otherwise ``clock``."""
    try:
        import watchfiles  # noqa: F401
    except ImportError:
        return clock
    return system
