"""Processor time, memory and context switches are read from real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from bench.harness import proc
from tests.bench.waiting import reached

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")

STAT = (
    "4242 (a) b (c) S 17 4242 4242 0 -1 4194560 1163 900 0 0 "
    "120 30 7 3 20 0 5 0 12345 104857600 2560 18446744073709551615"
)


def test_stat_is_read_although_the_command_has_brackets_and_spaces() -> None:
    assert proc.parse_stat(STAT) == proc.Stat(pid=4242, parent=17, ticks=150, reaped=10, pages=2560)


def test_tree_has_a_grandchild() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as child:
        try:
            assert reached(lambda: len(proc.tree(child.pid)) == 2)
            assert child.pid in [stat.pid for stat in proc.tree(os.getpid())]
        finally:
            child.communicate(b"\n")  # ends both: the grandchild inherits the pipe


def test_usage_is_finer_than_a_tick_of_the_kernel() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        try:
            assert reached(lambda: proc.usage(child.pid).rss > proc.PAGE_BYTES)
            assert reached(lambda: 0.001 < proc.usage(child.pid).cpu * proc.TICKS_PER_SECOND % 1 < 0.999)
        finally:
            child.communicate(b"\n")


def test_usage_grows_with_work() -> None:
    before, began = proc.usage(os.getpid()), time.process_time()
    while time.process_time() < began + 0.05:
        pass
    assert proc.usage(os.getpid()).cpu - before.cpu >= 0.05


def test_usage_includes_children_that_ended() -> None:
    code = "import time\nwhile time.process_time() < 0.2: pass"
    before = proc.usage(os.getpid())
    subprocess.run([sys.executable, "-c", code], check=True)
    assert proc.usage(os.getpid()).cpu - before.cpu >= 0.15  # user and system time are rounded down


def test_wake_ups_of_a_sleeping_thread_are_counted() -> None:
    code = "import sys, time; sys.stdin.readline(); [time.sleep(0.001) for _ in range(50)]; print(); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        before = proc.switches(child.pid)
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        assert proc.wake_ups(before, proc.switches(child.pid)) >= 50
        child.communicate(b"\n")


def test_wake_ups_include_new_and_ended_threads() -> None:
    assert proc.wake_ups({1: 10, 2: 20}, {1: 13, 3: 4}) == 3 + 4 + 1


def test_memory_counts_a_shared_page_in_parts() -> None:
    """A forked child shares nearly all of its parent's pages."""
    code = "import os, sys; x = bytes(range(256)) * 200_000; os.fork(); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as child:
        try:
            assert reached(lambda: len(proc.tree(child.pid)) == 2)
            assert 50_000_000 < proc.memory(child.pid) < 0.7 * proc.usage(child.pid).rss
        finally:
            child.communicate(b"")


def test_usage_of_an_ended_process_is_zero() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert proc.usage(child.pid) == proc.Usage(cpu=0, rss=0)
    assert proc.memory(child.pid) == 0
