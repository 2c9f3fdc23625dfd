"""When connections are accepted: real listeners, and a poller that only notes which of them it watches."""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import sys
from contextlib import ExitStack

import pytest

from tests.server.client import SECONDS, Client
from tests.server.clock import Clock
from wsgiserve.config import make_config
from wsgiserve.server import acceptor
from wsgiserve.server.acceptor import ACCEPT_BURST, PAUSE_SECONDS, YIELD_SECONDS, Acceptor
from wsgiserve.server.scoreboard import Scoreboard
from wsgiserve.server.sockets.listener import open_listeners

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere such a client is reset")


class NotingPoller:
    """Notes which descriptors are watched, and how often each was put behind other processes."""

    def __init__(self):
        self.watched = set()
        self.shares = 0

    def watch(self, fd, before, events):
        assert fd not in self.watched
        self.watched.add(fd)

    def share(self, fd):
        self.watch(fd, 0, 0)
        self.shares += 1

    def forget(self, fd):
        self.watched.remove(fd)


class Entrance:
    """An acceptor, its listeners, and the connections that it took in; ``idle`` of them may be closed."""

    def __init__(self, stack, *, cap=4, addresses=1, row=None, bind="127.0.0.1:0"):
        self.stack = stack
        self.listeners = open_listeners(make_config(bind=[bind] * addresses))
        self.poller = NotingPoller()
        self.inside = []
        self.idle = 0
        self.acceptor = Acceptor(
            self.listeners, self.poller, cap, self._add, self.inside.__len__, self._make_room, row
        )

    def _add(self, sock, host, port, peer, listener):
        assert host == listener.host
        self.inside.append((self.stack.enter_context(sock), port, peer))

    def _make_room(self):
        if not self.idle:
            return False
        self.idle -= 1
        self.leave()
        return True

    def leave(self):
        """Have the oldest connection close."""
        self.inside.pop(0)[0].close()

    def arrive(self, count, address=0):
        """Have so many clients connect."""
        port = self.listeners[address].port
        for _ in range(count):
            self.stack.enter_context(socket.create_connection(("127.0.0.1", port)))

    def accept(self, address=0):
        """Do as the loop does when the poller reports a listener."""
        self.acceptor.accept(self.listeners[address])

    @property
    def is_watching(self):
        return self.poller.watched == {listener.fd for listener in self.listeners}


@pytest.fixture
def new_entrance():
    """Return ``new_entrance(**options)``, which makes an Entrance."""
    with ExitStack() as stack:
        entrances = []

        def make(**options):
            entrances.append(Entrance(stack, **options))
            return entrances[-1]

        yield make
        for each in entrances:
            for listener in each.listeners:
                listener.close()


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("wsgiserve.server.acceptor.monotonic", clock)
    monkeypatch.setattr("wsgiserve.server.refusals.monotonic", clock)
    return clock


def test_listeners_are_watched_and_all_that_wait_are_taken_in(new_entrance):
    entrance = new_entrance(addresses=2)
    assert (entrance.acceptor.state, entrance.is_watching, entrance.acceptor.resume_at) == (
        "open",
        True,
        math.inf,
    )
    entrance.arrive(2)
    entrance.accept()
    assert [port for _, port, _ in entrance.inside] == [entrance.listeners[0].port] * 2
    entrance.arrive(1, address=1)
    entrance.accept(1)
    assert entrance.inside[-1][1] == entrance.listeners[1].port
    entrance.accept()  # An event is a hint: nobody waits.
    assert (len(entrance.inside), entrance.acceptor.state) == (3, "open")


def test_a_burst_leaves_time_for_others(new_entrance):
    entrance = new_entrance(cap=1000)
    entrance.arrive(ACCEPT_BURST + 1)
    entrance.accept()
    assert len(entrance.inside) == ACCEPT_BURST
    entrance.accept()
    assert len(entrance.inside) == ACCEPT_BURST + 1


def test_no_more_than_the_cap_are_taken_in(new_entrance, clock, caplog):
    entrance = new_entrance(cap=2)
    entrance.arrive(3)
    entrance.accept()
    assert (len(entrance.inside), entrance.acceptor.state) == (2, "open")
    entrance.accept()
    assert (entrance.acceptor.is_full, entrance.poller.watched) == (True, set())
    assert entrance.acceptor.resume_at == clock.now + PAUSE_SECONDS
    entrance.acceptor.resume()
    assert entrance.acceptor.is_full, "nobody has left"
    entrance.leave()
    entrance.acceptor.resume()
    assert (entrance.acceptor.state, entrance.is_watching, entrance.acceptor.resume_at) == (
        "open",
        True,
        math.inf,
    )
    entrance.accept()
    assert len(entrance.inside) == 2
    assert caplog.messages == [
        "all 2 connections are in use and new clients wait; times so far: 1; raise --max-connections"
    ]


def test_full_server_looks_again_after_a_second(new_entrance, clock):
    entrance = new_entrance(cap=1)
    entrance.arrive(2)
    entrance.accept()
    entrance.accept()
    entrance.acceptor.resume_if_due(clock.now + PAUSE_SECONDS / 2)
    assert entrance.acceptor.is_full
    entrance.acceptor.resume_if_due(clock.now + PAUSE_SECONDS)
    assert entrance.is_watching


def test_listener_that_was_reported_with_the_one_that_took_the_last_room(new_entrance, clock):
    entrance = new_entrance(cap=1, addresses=2)
    entrance.arrive(2)
    entrance.arrive(1, address=1)
    entrance.accept()
    entrance.accept()
    entrance.accept(1)
    assert (len(entrance.inside), entrance.acceptor.is_full) == (1, True)


def test_idle_connection_makes_room(new_entrance):
    entrance = new_entrance(cap=2)
    entrance.arrive(3)
    entrance.accept()
    entrance.idle = 1
    first = entrance.inside[0]
    entrance.accept()
    assert (len(entrance.inside), entrance.acceptor.state) == (2, "open")
    assert first not in entrance.inside


def test_idle_connections_are_looked_for_once_a_second(new_entrance, clock):
    """The search looks at all connections."""
    entrance = new_entrance(cap=1)
    entrance.arrive(2)
    entrance.accept()
    entrance.accept()
    entrance.idle = 1
    entrance.acceptor.resume_if_due(math.inf)
    entrance.accept()
    assert (entrance.idle, entrance.acceptor.is_full) == (1, True)
    clock.now += PAUSE_SECONDS
    entrance.acceptor.resume_if_due(math.inf)
    entrance.accept()
    assert (entrance.idle, entrance.acceptor.state, len(entrance.inside)) == (0, "open", 1)


def test_connection_that_closes_as_the_server_finds_itself_full_is_seen(new_entrance):
    """Its thread looked before: it had nothing to ring for."""
    entrance = new_entrance(cap=1)
    entrance.arrive(2)
    entrance.accept()
    pause = entrance.acceptor._pause

    def late(*arguments):
        pause(*arguments)
        entrance.leave()

    entrance.acceptor._pause = late
    entrance.accept()
    assert (entrance.acceptor.state, entrance.is_watching) == ("open", True)


# -- the system is short of descriptors


class Short:
    """A socket for whose connections the system has no descriptors."""

    family, type, proto = socket.AF_INET, socket.SOCK_STREAM, 0

    def _accept(self):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def setsockopt(self, *arguments):
        pass

    def close(self):
        pass


def test_shortage_of_descriptors_is_waited_out(new_entrance, clock, caplog):
    entrance = new_entrance()
    [listener] = entrance.listeners
    listener.sock, sock = Short(), listener.sock
    with sock:
        entrance.accept()
        assert (entrance.acceptor.state, entrance.poller.watched) == ("short", set())
        assert "cannot accept connections for a second: [Errno 24]" in caplog.text
        entrance.acceptor.resume()
        assert entrance.acceptor.state == "short", "a connection that closes leaves too little room"
        entrance.acceptor.resume_if_due(clock.now + PAUSE_SECONDS)
        assert (entrance.acceptor.state, entrance.is_watching) == ("open", True)


def test_idle_connection_makes_room_for_a_descriptor(new_entrance, caplog):
    entrance = new_entrance()
    entrance.arrive(1)
    entrance.accept()
    entrance.idle = 1
    [listener] = entrance.listeners
    listener.sock, sock = Short(), listener.sock
    with sock:
        entrance.accept()
    assert (entrance.acceptor.state, entrance.inside, caplog.messages) == ("open", [], [])


def test_client_that_left_before_it_was_accepted_is_no_failure(new_entrance, caplog):
    class Left(Short):
        def _accept(self):
            raise ConnectionAbortedError

    entrance = new_entrance()
    [listener] = entrance.listeners
    listener.sock, sock = Left(), listener.sock
    with sock:
        entrance.accept()
    assert (entrance.acceptor.state, caplog.messages) == ("open", [])


# -- other workers accept too


@pytest.fixture
def rows():
    scoreboard = Scoreboard()
    return scoreboard.row(1), scoreboard.row(2)


def test_worker_alone_accepts_in_bursts(new_entrance, rows):
    entrance = new_entrance(cap=1000, row=rows[0])
    entrance.arrive(5)
    entrance.accept()  # Whether others are there is known behind the first.
    assert len(entrance.inside) == 1
    entrance.accept()
    assert (len(entrance.inside), entrance.poller.shares) == (5, 1)


def test_worker_goes_behind_others_with_each_connection(new_entrance, rows):
    mine, other = rows
    other.set(3)
    entrance = new_entrance(row=mine)
    entrance.arrive(3)
    for count in (1, 2, 3):
        entrance.accept()
        assert (len(entrance.inside), entrance.poller.shares, entrance.is_watching) == (
            count,
            count + 1,
            True,
        )


def test_worker_that_has_more_connections_yields_for_a_moment(new_entrance, rows, clock):
    mine, other = rows
    other.set(0)
    entrance = new_entrance(row=mine)
    entrance.arrive(2)
    entrance.accept()
    assert entrance.acceptor.state == "open"
    entrance.accept()
    assert (entrance.acceptor.state, entrance.poller.watched) == ("yielding", set())
    assert entrance.acceptor.resume_at == clock.now + YIELD_SECONDS
    entrance.acceptor.resume_if_due(clock.now + YIELD_SECONDS)
    assert (entrance.acceptor.state, entrance.is_watching) == ("open", True)


def test_count_is_published_until_the_listeners_are_closed(new_entrance, rows):
    mine, other = rows
    other.set(10)
    entrance = new_entrance(row=mine)
    assert mine.place() == "alone", "it does not accept yet"
    entrance.acceptor.publish_count()
    assert (mine.place(), other.place()) == ("even", "ahead")
    entrance.inside += [None] * 20
    entrance.acceptor.publish_count()
    assert (mine.place(), other.place()) == ("ahead", "even")
    entrance.acceptor.part(take_in=False, deafen=False)
    entrance.acceptor.publish_count()
    assert other.place() == "alone"
    entrance.inside.clear()


# -- the end


@pytest.mark.parametrize("take_in", [True, False], ids=["drain", "retire"])
def test_clients_in_the_backlog_are_taken_in_at_the_end_or_left_to_others(new_entrance, take_in):
    entrance = new_entrance(cap=1, addresses=2)
    entrance.arrive(3)
    entrance.arrive(2, address=1)
    entrance.acceptor.part(take_in=take_in, deafen=False)
    assert len(entrance.inside) == (5 if take_in else 0), "the cap does not count any more"
    assert (entrance.acceptor.state, entrance.acceptor.listeners, entrance.poller.watched) == (
        "closed",
        {},
        set(),
    )
    assert all(listener.sock.fileno() == -1 for listener in entrance.listeners)
    assert entrance.acceptor.resume_at == math.inf


def test_worker_that_retires_takes_in_the_client_that_the_system_may_have_woken_it_for(new_entrance, rows):
    entrance = new_entrance(row=rows[0])
    entrance.arrive(3)
    entrance.acceptor.part(take_in=False, deafen=False)
    assert len(entrance.inside) == 1


def test_worker_looks_again_for_a_client_that_a_killed_one_was_woken_for(new_entrance, rows, clock):
    entrance = new_entrance(row=rows[0])
    shares = entrance.poller.shares
    entrance.acceptor.watch_anew()
    entrance.acceptor.resume_if_due(clock.now)
    assert entrance.poller.shares == shares, "nobody asked"
    entrance.acceptor.look_again()
    entrance.acceptor.watch_anew()
    entrance.acceptor.resume_if_due(clock.now)
    assert (entrance.acceptor.state, entrance.poller.shares) == ("open", shares + 1)


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix"])
def test_others_go_on_with_listeners_that_are_not_to_be_deaf(new_entrance, tmp_path, bind):
    bind = f"unix:{tmp_path}/s" if bind == "unix" else bind
    entrance = new_entrance(bind=bind)
    [listener] = entrance.listeners
    with listener.sock.dup() as theirs, socket.socket(theirs.family) as client:
        listener.file = None  # Only the process that made it removes it.
        entrance.acceptor.part(take_in=True, deafen=False)
        client.settimeout(10)
        client.connect(theirs.getsockname())
        theirs.accept()[0].close()


@ON_LINUX
@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix"])
def test_no_client_is_reset_that_comes_between_the_last_accept_and_the_close(new_entrance, tmp_path, bind):
    bind = f"unix:{tmp_path}/s" if bind == "unix" else bind
    entrance = new_entrance(bind=bind)
    [listener] = entrance.listeners
    close, address = listener.close, listener.sock.getsockname()
    late = []

    def come_and_close():
        with socket.socket(listener.sock.family) as client:
            client.settimeout(10)
            late.append(client.connect_ex(address))
        close()

    listener.close = come_and_close
    entrance.acceptor.part(take_in=True, deafen=True)
    assert late == [errno.ECONNREFUSED]


@ON_LINUX
def test_connection_whose_handshake_has_begun_is_taken_in_until_the_end(new_entrance):
    entrance = new_entrance(bind="0.0.0.0:0")
    [listener] = entrance.listeners
    with Client(port=listener.port, begins_only=True) as client:
        entrance.acceptor.part(take_in=True, deafen=True)
        client.send(b"request")
        assert select.select([listener.sock], [], [], SECONDS)[0]
        entrance.acceptor.close()
        assert entrance.inside[0][0].recv(100) == b"request"
    assert (entrance.acceptor.state, entrance.acceptor.listeners) == ("closed", {})


def test_listeners_that_are_not_watched_are_closed_too(new_entrance, clock):
    entrance = new_entrance(cap=1)
    entrance.arrive(2)
    entrance.accept()
    entrance.accept()
    assert entrance.acceptor.is_full
    entrance.acceptor.part(take_in=True, deafen=False)
    assert (len(entrance.inside), entrance.acceptor.state) == (2, "closed")
    entrance.acceptor.resume()
    assert entrance.poller.watched == set()


def test_connection_is_taken_in_though_the_system_is_short_at_the_end(new_entrance, monkeypatch):
    """As many as there are descriptors for; the rest is refused."""
    monkeypatch.setattr(acceptor, "ACCEPT_BURST", 1)
    entrance = new_entrance()
    entrance.arrive(2)
    [listener] = entrance.listeners

    class Last(Short):
        def _accept(self):
            listener.sock = Short()
            return sock._accept()

    listener.sock, sock = Last(), listener.sock
    with sock:
        entrance.acceptor.part(take_in=True, deafen=False)
    assert (len(entrance.inside), entrance.acceptor.state) == (1, "closed")
