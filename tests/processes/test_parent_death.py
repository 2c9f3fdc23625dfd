"""A process that cannot look at its channel dies when the other end is closed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.program import ROOT
from tests.server.client import SECONDS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can do that")

CHILD = """
import signal, socket, sys
from wsgiserve.processes.parent_death import die_with, outlive

sock = socket.socket(fileno=int(sys.argv[1]))
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
{begin}
print("begun", flush=True)
while True:
    pass
"""


@contextmanager
def child(begin):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD.format(begin=begin), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        )
        theirs.close()
        try:
            yield ours, process
        finally:
            process.kill()
            process.communicate()


MAKER = """
import os, socket, sys
from wsgiserve.processes.parent_death import is_over

ours, theirs = socket.socketpair()
if os.fork():
    {end}
ours.close()
theirs.recv(1)
print(is_over(theirs), flush=True)
"""


@pytest.mark.parametrize(
    ("end", "over"),
    [("os._exit(0)", b"True"), ("ours.close(); os.wait(); sys.exit()", b"False")],
    ids=["gone", "hung up"],
)
def test_a_process_that_has_ended_is_told_from_one_that_hung_up(end, over):
    end = end.replace("ours.close();", "ours.close(); theirs.close();")
    command = [sys.executable, "-c", MAKER.format(end=end)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, timeout=SECONDS, check=True)
    assert done.stdout == over + b"\n"


@pytest.mark.parametrize("end", ["close", "shutdown", "send"])
def test_it_is_killed_by_whatever_happens_on_its_channel(end):
    with child("die_with(sock)") as (ours, process):
        assert process.stdout.readline() == b"begun\n"
        if end == "close":
            ours.close()
        elif end == "shutdown":
            ours.shutdown(socket.SHUT_RDWR)
        else:
            ours.sendall(b"x")
        assert process.wait(SECONDS) == -signal.SIGKILL


def test_it_is_killed_if_the_channel_has_ended_before():
    with child("import time\nwhile sock.recv(1, socket.MSG_PEEK): pass\ndie_with(sock)") as (ours, process):
        ours.close()
        assert process.wait(SECONDS) == -signal.SIGKILL


def test_it_may_outlive_the_other_end_again():
    with child("die_with(sock); outlive(sock); print(flush=True); sock.recv(1)") as (ours, process):
        process.stdout.readline()
        ours.close()
        assert process.stdout.readline() == b"begun\n", "it read the end, and lives"
