"""Listening sockets: their URLs, all addresses or none, and why an address cannot be listened on."""

from __future__ import annotations

import errno
import os
import select
import socket
import sys

import pytest

from tests.server.client import Client
from wsgiserve.config import make_config
from wsgiserve.server.errors import ListenError
from wsgiserve.server.sockets.listener import Listener, adopt, open_listeners

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the socket is closed only")


@pytest.fixture
def opening():
    """Return ``opening(*binds)``, which listens; the listeners are closed at the end."""
    opened = []

    def opening(*binds, before=()):
        listeners = open_listeners(make_config(bind=binds), before)
        opened.extend(listeners)
        return listeners

    yield opening
    for listener in opened:
        listener.close()


def connects(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize(
    ("trust", "warns"), [("", False), ("10.0.0.0/8,unix", False), ("*", True), ("::/0", True)]
)
def test_to_trust_everyone_is_told_once_for_all_addresses(trust, warns, caplog):
    for listener in open_listeners(make_config(bind=["127.0.0.1:0", "127.0.0.1:0"], trust=trust)):
        listener.close()
    warning = f"--trust {trust}: whoever can connect can claim any address"
    assert [message.startswith(warning) for message in caplog.messages] == [True] * warns


def test_a_free_port_is_in_the_url(opening):
    (listener,) = opening("127.0.0.1:0")
    assert listener.port > 0
    assert listener.url == listener.where == f"http://127.0.0.1:{listener.port}"
    assert connects(listener.port)


@pytest.mark.parametrize("bind", [":0", "0.0.0.0:0"])
def test_a_wildcard_has_an_address_that_a_browser_can_open(opening, bind):
    (listener,) = opening(bind)
    assert listener.url == f"http://127.0.0.1:{listener.port}"
    assert listener.where == f"{listener.url} and every other address of this machine"
    assert connects(listener.port)


@pytest.mark.parametrize(
    ("host", "url"),
    [("::", "http://[::1]:80"), ("fe80::1", "http://[fe80::1]:80"), ("a.example", "http://a.example:80")],
)
def test_the_url_of_a_host(opening, host, url):
    with socket.socket() as sock:
        listener = Listener(sock, host)
        listener.port = 80
        assert listener.url == url


def test_a_socket_sends_at_once_and_never_blocks(opening):
    (listener,) = opening("127.0.0.1:0")
    assert listener.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert not listener.sock.getblocking()


def test_all_addresses_or_none(opening):
    (taken,) = opening("127.0.0.1:0")
    (free,) = opening("127.0.0.1:0")
    free.close()
    with pytest.raises(ListenError, match="address already in use; stop the other server"):
        opening(f"127.0.0.1:{free.port}", f"127.0.0.1:{taken.port}")
    assert not connects(free.port)
    assert connects(taken.port)


@pytest.mark.parametrize("first", ["127.0.0.1:{}", "0.0.0.0:{}", "unix:{}"])
def test_an_address_that_is_in_the_way_of_another_one_is_named(opening, first, tmp_path):
    (free,) = opening("127.0.0.1:0")
    free.close()
    name = tmp_path / "s" if "unix" in first else free.port
    first, second = first.format(name), f"unix:{name}" if "unix" in first else f"127.0.0.1:{name}"
    with pytest.raises(
        ListenError, match=f"listen on {second}: this server has {first} too; choose another p"
    ):
        opening(first, second)


@pytest.mark.parametrize(
    ("bind", "reason", "other_port"),
    [
        ("host.invalid:0", "no such host; write an address of this machine", False),
        ("192.0.2.1:0", "not an address of this machine; 127.0.0.1 is itself", False),
        (f"{'x' * 64}.example:0", "no such host; write an address of this machine", False),
    ],
    ids=["no-host", "not-ours", "long-label"],
)
def test_why_an_address_cannot_be_listened_on(opening, bind, reason, other_port):
    with pytest.raises(ListenError) as refusal:
        opening(bind)
    assert str(refusal.value).startswith(f"cannot listen on {bind}: {reason}")
    assert refusal.value.other_port == other_port


def test_another_port_helps_where_the_port_is_taken(opening):
    (taken,) = opening("127.0.0.1:0")
    with pytest.raises(ListenError) as refusal:
        opening(f"127.0.0.1:{taken.port}")
    assert refusal.value.other_port


def test_open_listeners_are_kept_and_those_no_longer_named_are_closed(opening):
    one, two = opening("127.0.0.1:0", "127.0.0.1:0")
    binds = [(f"127.0.0.1:{listener.port}", listener) for listener in (one, two)]
    kept, new = opening(binds[1][0], "127.0.0.2:0", before=binds)
    assert kept is two
    assert new is not one
    assert not connects(one.port)
    assert connects(two.port)


@ON_LINUX
def test_no_client_comes_any_more_to_one_that_is_no_longer_named_and_workers_still_have(opening):
    (listener,) = opening("127.0.0.1:0")
    with listener.sock.dup() as theirs, socket.create_connection(theirs.getsockname()):
        opening("127.0.0.1:0", before=[(f"127.0.0.1:{listener.port}", listener)])
        assert not connects(listener.port)
        theirs.accept()[0].close()


def test_open_listeners_stay_open_where_a_new_one_fails(opening):
    (one,) = opening("127.0.0.1:0")
    with pytest.raises(ListenError):
        opening("192.0.2.1:0", before=[(f"127.0.0.1:{one.port}", one)])
    assert connects(one.port)


def test_a_descriptor_is_adopted(opening):
    (before,) = opening("127.0.0.1:0")
    after = adopt(before.sock.detach(), before.bind, before.host, None)
    assert (after.url, after.fd) == (before.url, before.fd)
    assert connects(after.port)
    after.close()
    assert not connects(after.port)


def test_the_port_stays_open_for_others_when_one_process_leaves(opening):
    (listener,) = opening("127.0.0.1:0")
    with listener.sock.dup():
        listener.leave()
        assert connects(listener.port)
    assert not connects(listener.port)


# -- the end


@pytest.fixture
def ordinary_user():
    """Have no rights that only root has."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


def is_accepted(listener):
    """Whether a connection waits; at a deaf Unix socket on which none does, the system says EINVAL."""
    try:
        listener.sock.accept()[0].close()
    except (BlockingIOError, OSError):
        return False
    return True


@ON_LINUX
@pytest.mark.parametrize(
    ("bind", "host"),
    [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), (":0", "127.0.0.1"), (":0", "::1")],
)
def test_a_deaf_socket_gives_the_connections_that_wait_and_no_other(ordinary_user, opening, bind, host):
    (listener,) = opening(bind)
    with socket.create_connection((host, listener.port)) as waits:
        listener.deafen()
        listener.deafen()  # As several workers do.
        assert not connects(listener.port, host)
        accepted, _ = listener.sock.accept()
        with accepted:
            waits.sendall(b"request")
            assert accepted.recv(100) == b"request"
            assert not is_accepted(listener)
            listener.close()
            assert not connects(listener.port, host)
            accepted.sendall(b"response")
            assert waits.recv(100) == b"response"


@ON_LINUX
def test_a_deaf_socket_gives_a_connection_whose_handshake_has_begun(ordinary_user, opening):
    (listener,) = opening("0.0.0.0:0")
    with Client(port=listener.port, begins_only=True) as client:
        assert listener.deafen()
        client.send(b"request")
        assert select.select([listener.sock], [], [], 10)[0]
        with listener.sock.accept()[0] as accepted:
            assert accepted.recv(100) == b"request"


@ON_LINUX
@pytest.mark.parametrize(("bind", "may_come"), [("127.0.0.1:0", False), ("0.0.0.0:0", True), (":0", True)])
def test_handshakes_take_time_in_a_network_only(opening, bind, may_come):
    (listener,) = opening(bind)
    assert listener.deafen() == may_come


@ON_LINUX
def test_a_deaf_unix_socket_gives_the_connections_that_wait_and_no_other(opening, tmp_path):
    path = str(tmp_path / "s")
    (listener,) = opening(f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as waits, socket.socket(socket.AF_UNIX) as late:
        waits.connect(path)
        listener.deafen()
        assert late.connect_ex(path) == errno.ECONNREFUSED
        assert is_accepted(listener)
        assert not is_accepted(listener)


def test_a_socket_of_another_program_is_never_deaf(opening):
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        (listener,) = opening(f"fd://{theirs.dup().detach()}")
        listener.deafen()
        assert connects(theirs.getsockname()[1])
