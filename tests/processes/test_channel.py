"""Messages over a socket pair."""

from __future__ import annotations

import os
import resource
import socket

import pytest

from wsgiserve.processes.channel import BufferedChannel, Channel

# Threads of other tests may be about to end; the forked children here run a few lines only.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def test_messages_arrive_in_order(ends):
    ours, theirs = ends
    assert theirs.send(event="ready")
    assert theirs.send(event="worn", why="max-rss")
    assert ours.receive() == [{"event": "ready"}, {"event": "worn", "why": "max-rss"}]


def test_an_end_that_does_not_block_returns_no_message_while_there_is_none(ends):
    assert ends[0].receive() == []


def test_a_message_that_arrives_in_pieces_is_whole(ends):
    ours, theirs = ends
    theirs.sock.sendall(b'{"event": "ready"}\n{"event": ')
    assert ours.receive() == [{"event": "ready"}]
    theirs.sock.sendall(b'"worn"}')
    assert ours.receive() == []
    theirs.sock.sendall(b"\n")
    assert ours.receive() == [{"event": "worn"}]


def test_the_end_of_a_channel_is_none(ends):
    ours, theirs = ends
    ours.close()
    assert theirs.receive() is None
    assert theirs.wait() is None
    assert theirs.receive_with_descriptors() == (None, [])


def test_a_closed_channel_has_no_descriptor_and_receives_nothing(ends):
    ours, _ = ends
    assert ours.fileno() == ours.sock.fileno() >= 0
    ours.close()
    assert ours.fileno() == -1
    assert ours.receive() is None
    assert ours.rest() == []


def test_a_message_to_nobody_is_not_sent(ends):
    ours, theirs = ends
    ours.close()
    assert not theirs.send(event="ready")


def test_wait_returns_one_message_after_the_other(ends):
    ours, theirs = ends
    ours.send(order="serve")
    ours.send(order="stop")
    assert [theirs.wait(), theirs.wait()] == [{"order": "serve"}, {"order": "stop"}]


def test_the_rest_is_all_that_a_process_left(ends):
    ours, theirs = ends
    for number in range(3):
        theirs.send(number=number)
    theirs.close()
    assert ours.rest() == [{"number": 0}, {"number": 1}, {"number": 2}]


def test_the_rest_does_not_wait_for_an_end_that_is_open(ends):
    ours, theirs = ends
    theirs.send(number=1)
    assert ours.rest() == [{"number": 1}]


def test_a_descriptor_comes_with_its_message(ends):
    ours, theirs = ends
    reader, writer = os.pipe()
    ours.pass_on(writer, order="fork", number=7)
    os.close(writer)
    messages, (descriptor,) = theirs.receive_with_descriptors()
    assert messages == [{"order": "fork", "number": 7}]
    os.write(descriptor, b"x")
    os.close(descriptor)
    assert os.read(reader, 10) == b"x"
    os.close(reader)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_that_the_app_forks_holds_no_channel():
    """Or the supervisor would not notice the end of the worker."""
    ours, theirs = socket.socketpair()
    channel = Channel(theirs)
    begun, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(begun, 1)
        os._exit(0)
    channel.close()
    with ours:
        ours.settimeout(10)
        assert ours.recv(1) == b""
    os.write(go, b".")
    assert os.waitpid(pid, 0)[1] == 0
    os.close(begun)
    os.close(go)


def test_a_default_timeout_of_the_app_ends_no_wait():
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(0.01)
    try:
        left, right = socket.socketpair()
    finally:
        socket.setdefaulttimeout(before)
    ours, theirs = Channel(left), Channel(right)
    assert left.gettimeout() is None
    theirs.send(event="late")
    assert ours.wait() == {"event": "late"}
    ours.close()
    theirs.close()


def test_the_supervisor_s_end_keeps_what_there_is_no_room_for():
    left, right = socket.socketpair()
    ours, theirs = BufferedChannel(left), Channel(right)
    count = 0
    while not ours.is_behind:
        assert ours.send(number=count)
        count += 1
    assert ours.send(number=count)
    heard = []
    while len(heard) <= count:
        heard.append(theirs.wait())
        assert ours.flush()
    assert heard == [{"number": number} for number in range(count + 1)]
    assert not ours.is_behind
    theirs.close()
    assert not ours.send(number=0)
    assert not ours.is_behind, "nobody will read it"
    ours.close()


def test_a_message_that_may_be_left_out_never_waits(ends):
    ours, theirs = ends
    for _ in range(2000):
        theirs.send_if_room(event="turns")
    heard = ours.receive()
    assert 0 < len(heard) <= 2000
    assert {message["event"] for message in heard} == {"turns"}
    ours.close()
    theirs.send_if_room(event="turns")


def test_lines_that_are_no_messages_are_dropped(ends):
    ours, theirs = ends
    theirs.sock.sendall(b'print\n\xff\n[1]\n{"event": "ready"}\n7\n')
    assert ours.receive() == [{"event": "ready"}]


def test_a_descriptor_for_which_there_is_no_room_is_missing(ends):
    ours, theirs = ends
    with open(os.devnull) as file:
        ours.pass_on(file.fileno(), order="fork", number=7)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        assert theirs.receive_with_descriptors() == ([{"order": "fork", "number": 7}], [])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
