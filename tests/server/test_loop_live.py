"""The event loop of a live server: stale events, and failures that cost one connection."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import ExitStack, suppress

import pytest

from tests.server.apps import LARGE, GatedLarge, checked, connections
from tests.server.client import SECONDS, Client, get, wait_until
from wsgiserve import Server
from wsgiserve.server.sockets.poller import READ, WRITE, EpollPoller, SelectorsPoller


def take_free_descriptors(number, stack):
    """Take all free descriptors below a number, so that it is the next one once it is free."""
    while (taken := os.dup(0)) < number:
        stack.callback(os.close, taken)
    os.close(taken)


@pytest.mark.parametrize("kind", [EpollPoller, SelectorsPoller], ids=["epoll", "selectors"])
def test_descriptor_that_is_used_again_within_a_batch(log, gate, kind):
    """A client leaves, the next one gets its number, and then comes an event that was meant for the first."""
    held, go_on, over = threading.Event(), threading.Event(), threading.Event()
    batch = []

    class HeldPoller(kind):
        """Once there is a batch that the test made up, the loop waits for the test, and gets it."""

        def poll(self, timeout):
            if not batch:
                if go_on.is_set():
                    over.set()
                return super().poll(timeout)
            held.set()
            assert go_on.wait(SECONDS)
            events = list(batch)
            batch.clear()
            return events

    class HeldServer(Server):
        make_poller = HeldPoller

    with HeldServer(checked(gate), port=0, graceful_timeout=5) as server, ExitStack() as stack:
        first = Client(server)
        assert first.ask(get("/first")).body == b"/first"
        [(number, connection)] = connections(server).items()
        [listener] = server._loop.acceptor.listeners
        other = stack.enter_context(Client(server))
        assert other.ask(get("/other")).body == b"/other"
        batch += [(number, READ), (listener, READ), (number, READ)]
        other.send(get("/again"))  # Ends the wait that has begun.
        assert held.wait(SECONDS)
        first.close()
        wait_until(lambda: connection.wait_readable(0))
        second = stack.enter_context(Client(server))
        take_free_descriptors(number, stack)
        go_on.set()
        assert over.wait(SECONDS)
        assert second.ask(get("/second")).body == b"/second"
        assert connections(server)[number] is not connection, "the system gave the number to nobody"
        assert other.response().body == b"/again"
        assert server.snapshot().connections == 2
    assert not log.records


class FailingPoller(EpollPoller):
    """Fail to watch for writability, and to forget for once where ``forgetful`` is cleared."""

    forgetful = True

    def watch(self, fd, before, events):
        if events == WRITE:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        super().watch(fd, before, events)

    def forget(self, fd):
        super().forget(fd)
        if not self.forgetful:
            self.forgetful = True
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


class UnluckyServer(Server):
    make_poller = staticmethod(FailingPoller)


def test_error_in_the_loop_costs_one_connection(log, gate):
    with UnluckyServer(checked(gate), port=0, graceful_timeout=5) as server, Client(server) as other:
        other.ask(get())
        with Client(server) as client:
            server._loop.poller.forgetful = False
            client.send(get("/", "Expect: 100-continue", "Content-Length: 1", method="POST"))
            assert client.rest() == b""
        assert other.ask(get()).body == b"/"
        assert server.snapshot().connections == 1
    assert [record.levelname for record in log.records] == ["CRITICAL"]


def test_connection_that_cannot_be_given_back_is_closed(log):
    gate = GatedLarge()
    with UnluckyServer(checked(gate), port=0, graceful_timeout=5) as server, Client(server) as other:
        with Client(server) as client:
            client.send(get("/slow"))
            wait_until(lambda: gate.inside)
            other.ask(get("/", method="HEAD"))  # Another thread leads.
            gate.opened.set()
            # Nothing is read before, so the socket does not take the whole response.
            wait_until(lambda: server.snapshot().connections == 1)
            with suppress(ConnectionResetError):
                assert len(client.rest()) < len("/slow") * LARGE
        assert other.ask(get("/", method="HEAD")).status == 200
        wait_until(lambda: server.snapshot().connections == 1)
    assert [record.levelname for record in log.records] == ["CRITICAL"]
