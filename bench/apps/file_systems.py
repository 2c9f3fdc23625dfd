"""What a store does in a folder, and what holds there: `python -m bench.apps.file_systems FOLDER...`.

Several folders are mounts of the same one, as several machines have it. In a new folder below, four processes
create the same names at once, count in a file by replacing only the version that they have read, and read it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from pathlib import Path

import click

from bench.harness import tables
from wsgiserve.files import NotStored, Store
from wsgiserve.files.disk.manners import file_system, find_out
from wsgiserve.files.store import Version

PROCESSES = 4
NAMES = 50
STEPS = 25  # of each process
LINE = 10  # bytes; the file that counts has its number in each of 10,000 lines

HEADINGS = (
    "file system",
    "drafts",
    "lock",
    "names created once",
    "replacements kept",
    "reads: half",
    "cut off",
    "404",
)


def look(folder: Path) -> tuple[str, str, str]:
    """Return the type of the file system, what drafts are there, and what is locked."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        kind = file_system(descriptor)
        try:
            manners = find_out(descriptor, has_proc=Store.has_proc)
        except NotStored as refusal:
            return kind, f"refused: {refusal.status}", tables.NOTHING
        return kind, "unnamed" if manners.unnamed else "hidden names", manners.lock or tables.NOTHING
    finally:
        os.close(descriptor)


def body(number: int) -> bytes:
    return b"%09d\n" % number * 10_000


def read(store: Store, name: str, found: Counter[str]) -> tuple[Version, int]:
    """Return the version of a file and its number; count what is half, missing or breaks off."""
    while True:
        try:
            with contextlib.closing(store.open(name)) as stored:
                content = b"".join(stored.blocks(0, stored.size))
        except FileNotFoundError as error:
            found["missing" if error.filename else "cut"] += 1
        except OSError:
            found["cut"] += 1
        else:
            number = int(content[: LINE - 1])
            found["reads"] += 1
            found["half"] += content != body(number)
            return stored.version, number


def replace(store: Store, name: str, content: bytes, seen: Version | None) -> bool:
    """Store a file if ``seen`` is still its version; return whether it was."""

    def check(version: Version | None) -> None:
        if version != seen:
            raise NotStored("It has changed.", 412)

    try:
        store.save(name, BytesIO(content), check=check)
    except NotStored as refusal:
        if refusal.status != 412:
            raise
        return False
    return True


def work(folder: Path) -> Counter[str]:
    """Be one of the processes; count the names that it created, and what it read."""
    store = Store(folder)
    found = Counter(str(number) for number in range(NAMES) if replace(store, str(number), b"x", None))
    for _ in range(STEPS):
        done = False
        while not done:
            seen, number = read(store, "count", found)
            done = replace(store, "count", body(number + 1), seen)
    return found


def contest(folders: list[Path]) -> tuple[str, ...]:
    """Let processes write at once; return what was kept of it."""
    Store(folders[0]).save("count", BytesIO(body(0)))
    mounts = [folders[number % len(folders)] for number in range(PROCESSES)]
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        found = sum(pool.map(work, mounts), Counter[str]())
    once = sum(found[str(number)] == 1 for number in range(NAMES))
    kept = read(Store(folders[-1]), "count", Counter())[1]
    troubles = (f"{found[kind]} of {found['reads']}" for kind in ("half", "cut", "missing"))
    return f"{once} of {NAMES}", f"{kept} of {PROCESSES * STEPS}", *troubles


@click.command()
@click.argument(
    "folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
def main(folders: tuple[Path, ...]) -> None:
    """Try what holds in FOLDERS: one folder, or several mounts of the same one."""
    own = Path(tempfile.mkdtemp(prefix="wsgiserve-", dir=folders[0]))
    try:
        kind, drafts, lock = look(own)
        held: tuple[str, ...] = (tables.NOTHING,) * (len(HEADINGS) - 3)
        if not drafts.startswith("refused") and lock != tables.NOTHING:
            held = contest([folder / own.name for folder in folders])
        kind += " on several mounts" if len(folders) > 1 else ""
        print("\n".join(tables.markdown([HEADINGS, (kind, drafts, lock, *held)])))
    finally:
        shutil.rmtree(own)


if __name__ == "__main__":
    main()
