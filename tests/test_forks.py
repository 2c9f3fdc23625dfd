"""Ending a process that the app has forked, as a Python program ends."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.program import FORK_WARNING, ROOT, without_coverage

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

PROGRAM = """
import atexit, os, sys, threading
from wsgiserve.forks import ending_children

class Unflushed:
    def flush(self):
        raise OSError

def app(how):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    atexit.register(print, "at exit of the child")
    if how == "returns":
        return 1
    if how == "raises":
        raise ValueError("in the child")
    if how == "closed":
        sys.stderr = sys.stdout = None
    if how == "full":
        sys.stdout = Unflushed()
    sys.exit({"exits": 7, "large": 256 + 9, "negative": -1, "none": None, "text": "no luck"}.get(how))

def serve():
    with ending_children():
        code = app(sys.argv[1])
    print(code)

thread = threading.Thread(target=serve, daemon=True)
if len(sys.argv) > 2:
    thread.start()
    thread.join()
else:
    serve()
"""
ENDS = [
    ("returns", 0, ""),
    ("none", 0, ""),
    ("exits", 7, ""),
    ("large", 9, ""),
    ("negative", 255, ""),
    ("text", 1, "no luck\n"),
    ("raises", 1, "ValueError: in the child\n"),
]


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": FORK_WARNING},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("thread", [(), ("thread",)], ids=["main thread", "another thread"])
@pytest.mark.parametrize(("how", "code", "text"), ENDS)
def test_exit_code_and_output_are_those_of_a_program(thread, how, code, text):
    done = run(how, *thread)
    assert done.stdout == f"at exit of the child\n{code}\n", done.stderr
    assert done.stderr.endswith(text)
    assert bool(done.stderr) == bool(text)
    assert "wsgiserve" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", ["closed", "full"])
def test_streams_that_cannot_be_written_change_nothing(how):
    assert run(how).stdout.endswith("0\n")


def test_an_error_without_a_fork_is_let_through():
    from wsgiserve.forks import ending_children

    with pytest.raises(SystemExit), ending_children():
        raise SystemExit(3)


MULTIPROCESSING = """
import multiprocessing, os, time
from wsgiserve.forks import ending_children

multiprocessing.set_start_method("fork")
helper = multiprocessing.Process(target=time.sleep, args=(600,), daemon=True)
helper.start()
with ending_children():
    child = os.fork()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
helper.join(0.2)
print(helper.exitcode)
"""


@pytest.mark.slow
def test_processes_of_the_parent_are_left_alone():
    done = subprocess.run(
        [sys.executable, "-c", MULTIPROCESSING],
        cwd=ROOT,
        env=without_coverage(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("0\nNone\n", "")
