"""The two pollers by themselves: from outside, some cases would need a race."""

from __future__ import annotations

import select
import socket

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
