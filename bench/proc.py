"""What a process tree has used, read from `/proc` (proc_pid_stat(5)).

A server may be a master with workers, so every figure is a sum over the tree under one pid.
Children that have ended and been waited for still count: the kernel adds their time to their
parent's.
"""

from __future__ import annotations

import os
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
    """The fields of one `/proc/PID/stat` that matter here; times in ticks, memory in pages."""

    pid: int
    parent: int
    ticks: int
    pages: int


def parse_stat(text: str) -> Stat:
    """Read one `/proc/PID/stat`; the command in its second field may hold blanks and brackets."""
    before, _, after = text.rpartition(")")
    fields = after.split()  # fields[0] is field 3 of the manual, the state
    return Stat(
        pid=int(before.split(" ", 1)[0]),
        parent=int(fields[1]),
        ticks=sum(map(int, fields[11:15])),  # utime, stime, and those of reaped children
        pages=int(fields[21]),
    )


def tree(root: int) -> list[Stat]:
    """List `root` and its descendants, as far as they live."""
    children: dict[int, list[Stat]] = {}
    found: list[Stat] = []
    for stat in _all_stats():
        children.setdefault(stat.parent, []).append(stat)
        if stat.pid == root:
            found.append(stat)
    for stat in found:  # grows while it is walked
        found += children.get(stat.pid, [])
    return found


def usage(root: int) -> Usage:
    """Sum over the tree; shared pages count once per process, as `ps` counts them."""
    stats = tree(root)
    return Usage(
        cpu=sum(stat.ticks for stat in stats) / TICKS_PER_SECOND,
        rss=sum(stat.pages for stat in stats) * PAGE_BYTES,
    )


def _all_stats() -> list[Stat]:
    stats = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stats.append(parse_stat((entry / "stat").read_text(errors="replace")))
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended between the listing and the reading
    return stats
