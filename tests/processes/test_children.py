"""Children behind channels, and the selector that waits for them."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.server.client import SECONDS
from wsgiserve.processes.channel import Channel
from wsgiserve.processes.children import Calls, Children, how_it_ended

# Threads of other tests may be about to end; the forked children here run a few lines only.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


class Parent:
    """Notes what it hears of its children."""

    def __init__(self):
        self.children = Children()
        self.heard = []

    def connect(self, start):
        return self.children.connect(start, self.heard.append, lambda: self.heard.append("end"))

    def talk(self, sock):
        return self.children.talk(sock, self.heard.append, lambda: self.heard.append("end"))

    def wait_for(self, *heard):
        until = time.monotonic() + SECONDS
        while self.heard != list(heard):
            assert time.monotonic() < until, self.heard
            self.children.wait(until)


@pytest.fixture
def parent():
    parent = Parent()
    yield parent
    parent.children.close()


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


CHILD = """
import socket, sys
sock = socket.socket(fileno=int(sys.argv[1]))
sock.sendall(b'{"event": "ready"}\\n')
sock.recv(1)
"""


def test_a_child_is_started_and_heard(parent):
    processes = []

    def start(ours, theirs):
        command = [sys.executable, "-S", "-c", CHILD, str(theirs.fileno())]
        processes.append(subprocess.Popen(command, pass_fds=[theirs.fileno()]))

    channel = parent.connect(start)
    parent.wait_for({"event": "ready"})
    channel.sock.sendall(b".")
    parent.wait_for({"event": "ready"}, "end")
    assert channel.fileno() == -1
    assert processes[0].wait(SECONDS) == 0


def test_a_child_that_cannot_start_leaves_nothing_open(parent):
    socks = []

    def start(*pair):
        socks.extend(pair)
        raise BlockingIOError("no more processes")

    with pytest.raises(BlockingIOError):
        parent.connect(start)
    assert [sock.fileno() for sock in socks] == [-1, -1]


def test_a_child_that_leaves_start_by_an_exception_keeps_its_end(parent):
    """As a forked child does by ``Forked``."""
    socks = []

    def start(*pair):
        socks.extend(pair)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parent.connect(start)
    ours, theirs = socks
    assert theirs.fileno() >= 0
    ours.close()
    theirs.close()


def test_nothing_is_heard_after_hanging_up_in_the_same_batch(parent):
    """Both have something to say; the first message hangs up on both."""
    (first, its), (second, others) = socket.socketpair(), socket.socketpair()
    channels = []

    def hear(message):
        parent.heard.append(message)
        for channel in channels:
            parent.children.hang_up(channel)

    channels += [
        parent.children.talk(sock, hear, lambda: parent.heard.append("end")) for sock in (first, second)
    ]
    for sock in (its, others):
        sock.sendall(b'{"number": 1}\n')
    parent.children.wait(time.monotonic() + SECONDS)
    assert parent.heard == [{"number": 1}]
    its.close()
    others.close()


def test_last_messages_are_read_and_the_channel_is_closed(parent, pair):
    ours, theirs = pair
    channel = parent.talk(ours)
    Channel(theirs).send(event="failed")
    theirs.close()
    assert parent.children.last_messages(channel) == [{"event": "failed"}]
    assert channel.fileno() == -1
    assert parent.children.last_messages(channel) == []
    assert parent.heard == []


def test_waiting_ends_at_its_time(parent, pair):
    parent.talk(pair[0])
    began = time.monotonic()
    parent.children.wait(began + 0.02)
    assert time.monotonic() - began >= 0.02
    parent.children.wait(began)
    assert parent.heard == []


def test_signals_are_heard_by_name(parent):
    before = signal.getsignal(signal.SIGUSR2)
    try:
        parent.children.heed(parent.heard.append, ("SIGUSR2",))
        os.kill(os.getpid(), signal.SIGUSR2)
        parent.children.wait(math.inf)
        assert parent.heard == ["SIGUSR2"]
    finally:
        parent.children.close()
        signal.signal(signal.SIGUSR2, before)


def test_children_are_reaped_with_their_exit_codes(parent):
    codes = {}
    kept = subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(7)"])
    assert parent.children.keep(kept) == kept.pid
    forked = os.fork()
    if forked == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    until = time.monotonic() + SECONDS
    while not {kept.pid, forked} <= codes.keys():
        assert time.monotonic() < until
        codes |= parent.children.reap()
    assert (codes[kept.pid], codes[forked]) == (7, -signal.SIGKILL)
    assert kept.returncode is not None, "or Python would warn that it still runs"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (None, "ended"),
        (0, "ended with exit code 0"),
        (7, "ended with exit code 7"),
        (-9, "was killed by SIGKILL"),
        (-1000, "was killed by signal 1000"),
    ],
)
def test_an_exit_code_in_words(code, text):
    assert how_it_ended(code) == text


def test_a_call_without_memory_is_made_again_before_those_behind_it():
    made, calls = [], Calls()

    def takes_much():
        made.append("much")
        if len(made) == 1:
            bytes(sys.maxsize // 2)

    calls.add(takes_much)
    calls.add(lambda: made.append("next"))
    assert not calls.make()
    assert calls.make()
    assert calls.make()
    assert made == ["much", "much", "next"]


def test_a_call_that_fails_is_logged_and_the_others_are_made(caplog):
    made, calls = [], Calls()
    calls.add(lambda: 1 / 0)
    calls.add(lambda: made.append("next"))
    assert calls.make()
    assert made == ["next"]
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
