"""Measure the processor time and memory of a process tree, from its clocks and `/proc` (proc_pid_stat(5)).

A server may be a master with workers, so every figure is a sum over the tree under one pid. The kernel adds
the time of children that have ended, and were waited for, to their parent's. `/proc` counts ticks of 10 ms,
too coarse for a light load; the processor clock of a living process counts nanoseconds.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """Processor time in seconds (user and system), resident memory in bytes."""

    cpu: float
    rss: int


@dataclass(frozen=True)
class Stat:
    """Fields of one `/proc/PID/stat`; times in ticks, memory in pages."""

    pid: int
    parent: int
    ticks: int  # of the process itself
    reaped: int  # of children that it has waited for
    pages: int


def parse_stat(text: str) -> Stat:
    """Read one `/proc/PID/stat`; the command in its second field may hold blanks and brackets."""
    before, _, after = text.rpartition(")")
    fields = after.split()  # fields[0] is field 3 of the manual, the state
    return Stat(
        pid=int(before.split(" ", 1)[0]),
        parent=int(fields[1]),
        ticks=sum(map(int, fields[11:13])),  # utime, stime
        reaped=sum(map(int, fields[13:15])),
        pages=int(fields[21]),
    )


def tree(root: int) -> list[Stat]:
    """List `root` and those of its descendants that are alive."""
    children: dict[int, list[Stat]] = {}
    found: list[Stat] = []
    for stat in _all_stats():
        children.setdefault(stat.parent, []).append(stat)
        if stat.pid == root:
            found.append(stat)
    for stat in found:  # The list grows during the loop.
        found += children.get(stat.pid, [])
    return found


def usage(root: int) -> Usage:
    """Sum over the tree; shared pages count once per process, as `ps` counts them."""
    stats = tree(root)
    return Usage(
        cpu=sum(_seconds(stat) for stat in stats),
        rss=sum(stat.pages for stat in stats) * PAGE_BYTES,
    )


def memory(root: int) -> int:
    """Add up the bytes of the tree in memory; a page that several processes share counts in parts."""
    return sum(_proportional(stat.pid) for stat in tree(root))


def _proportional(pid: int) -> int:
    """Return the proportional set size in bytes; see proc_pid_smaps(5)."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:"))


def switches(root: int) -> dict[int, int]:
    """Count the context switches of each thread of the tree, voluntary and involuntary."""
    counts = {}
    for stat in tree(root):
        for status in Path(f"/proc/{stat.pid}/task").glob("*/status"):
            try:
                lines = status.read_text(errors="replace").splitlines()
            except (FileNotFoundError, ProcessLookupError):
                continue
            counts[int(status.parent.name)] = sum(
                int(line.split()[1]) for line in lines if "ctxt_switches:" in line
            )
    return counts


def wake_ups(before: dict[int, int], after: dict[int, int]) -> int:
    """Add up the switches between two counts; a thread that has ended woke at least once, to end."""
    ended = sum(thread not in after for thread in before)
    return ended + sum(count - before.get(thread, 0) for thread, count in after.items())


def _seconds(stat: Stat) -> float:
    try:
        own = time.clock_gettime(_clock_of(stat.pid))
    except OSError:  # The process has ended and its parent has not waited for it yet.
        own = stat.ticks / TICKS_PER_SECOND
    return own + stat.reaped / TICKS_PER_SECOND


def _clock_of(pid: int) -> int:
    """Return the clock id that clock_getcpuclockid(3) would; Python offers that only for threads."""
    return (~pid << 3) | 2


def _all_stats() -> list[Stat]:
    stats = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stats.append(parse_stat((entry / "stat").read_text(errors="replace")))
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended between the listing and the reading
    return stats
