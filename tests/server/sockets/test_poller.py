"""The two pollers by themselves: from outside, some cases would need a race."""

from __future__ import annotations

import os
import select
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from wsgiserve.server.sockets.poller import READ, WRITE, EpollPoller, SelectorsPoller, make_poller


@pytest.fixture(params=[EpollPoller, SelectorsPoller], ids=["epoll", "selectors"])
def poller(request):
    poller = request.param()
    yield poller
    poller.close()


def test_events_are_reported_until_forgotten(poller):
    left, right = socket.socketpair()
    with left, right:
        poller.watch(left.fileno(), 0, READ)
        assert poller.poll(0) == []
        right.send(b"x")
        assert poller.poll(5) == [(left.fileno(), READ)]
        assert poller.poll(5) == [(left.fileno(), READ)]
        poller.watch(left.fileno(), READ, WRITE)
        assert poller.poll(5) == [(left.fileno(), WRITE)]
        poller.forget(left.fileno())
        assert poller.poll(0) == []


def test_descriptor_closed_before_the_next_poll_does_no_harm(poller):
    left, right = socket.socketpair()
    with right:
        poller.watch(left.fileno(), 0, READ)
        poller.forget(left.fileno())
        left.close()
        assert poller.poll(0) == []


def test_descriptor_used_again_is_the_new_socket(poller):
    left, right = socket.socketpair()
    number = left.fileno()
    poller.watch(number, 0, READ)
    assert poller.poll(0) == []
    poller.forget(number)
    left.close()
    right.close()
    left, right = socket.socketpair()
    with left, right:
        assert number in (left.fileno(), right.fileno())
        poller.watch(number, 0, WRITE)
        assert poller.poll(5) == [(number, WRITE)]


def test_a_ring_is_reported_until_it_is_silenced(poller):
    assert poller.poll(0) == []
    for _ in range(2):
        poller.bell.ring()
    assert poller.poll(5) == [(poller.bell.fileno(), READ)]
    poller.bell.silence()
    assert poller.poll(0) == []
    poller.bell.silence()


@pytest.fixture
def handled():
    """Have SIGTERM only noted; return the notes."""
    notes = []
    before = signal.signal(signal.SIGTERM, lambda *_: notes.append("SIGTERM"))
    yield notes
    signal.signal(signal.SIGTERM, before)


def test_a_signal_rings(poller, handled):
    with poller.bell.rung_by_signals():
        poller.bell.ring()
        signal.raise_signal(signal.SIGTERM)
        assert poller.poll(5) == [(poller.bell.fileno(), READ)]
        assert poller.bell.silence() is True
        poller.bell.ring()
        assert poller.bell.silence() is False
    signal.raise_signal(signal.SIGTERM)
    assert poller.poll(0) == []
    assert handled == ["SIGTERM"] * 2


def test_who_is_told_of_signals_already_still_is(poller, handled):
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)
    try:
        with poller.bell.rung_by_signals():
            signal.raise_signal(signal.SIGTERM)
    finally:
        assert signal.set_wakeup_fd(-1) == write
    assert os.read(read, 10) == bytes([signal.SIGTERM])
    assert poller.poll(0) == []
    os.close(read)
    os.close(write)


def test_a_bell_that_is_closed_is_rung_by_no_signal(handled):
    """So a descriptor of somebody else gets no bytes."""
    poller = make_poller()
    with poller.bell.rung_by_signals():
        poller.close()
        assert signal.set_wakeup_fd(-1) == -1


def test_off_the_main_thread_a_bell_is_rung_by_no_signal(poller, handled):
    def enter():
        with poller.bell.rung_by_signals():
            pass

    with ThreadPoolExecutor(1) as pool:
        pool.submit(enter).result()
    assert signal.set_wakeup_fd(-1) == -1


def test_a_bell_whose_rings_are_not_read_can_be_rung_for_ever(poller):
    for _ in range(5000):
        poller.bell.ring()
    assert poller.poll(5) == [(poller.bell.fileno(), READ)]


def test_a_shared_descriptor_is_reported(poller):
    left, right = socket.socketpair()
    with left, right:
        poller.share(left.fileno())
        assert poller.poll(0) == []
        right.send(b"x")
        assert poller.poll(5) == [(left.fileno(), READ)]


def test_a_descriptor_that_is_not_watched_may_be_forgotten(poller):
    left, right = socket.socketpair()
    with left, right:
        poller.forget(left.fileno())
        assert poller.poll(0) == []


def test_the_platform_s_poller_is_chosen():
    poller = make_poller()
    assert type(poller) is (EpollPoller if hasattr(select, "epoll") else SelectorsPoller)
    poller.close()
