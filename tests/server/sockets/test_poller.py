"""The two pollers by themselves, where a race would have to be won to see it from outside."""

from __future__ import annotations

import socket

import pytest

from wsgiserve.server.sockets.poller import READ, WRITE, EpollPoller, SelectorsPoller


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
