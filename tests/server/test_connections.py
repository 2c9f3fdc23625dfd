"""The table of connections, over socket pairs: taking connections back, ending them, making room."""

from __future__ import annotations

import math
import socket
from contextlib import ExitStack
from time import monotonic

import pytest

from tests.server.apps import answer, checked
from tests.server.client import SECONDS, get, wait_until
from tests.server.conftest import UncheckedConfig
from tests.server.descriptors import few_descriptors
from wsgiserve.server import shutdown, system
from wsgiserve.server.connections import EVICTED_PART, LINGER_SECONDS, Connections
from wsgiserve.server.http.gateway import Gateway
from wsgiserve.server.http.pace import Pace
from wsgiserve.server.shutdown import Shutdown
from wsgiserve.server.sockets.poller import READ, WRITE

LARGE = b"x" * 1_000_000  # more than a socket takes while its client does not read


class NotingPoller:
    """Notes which events are watched, by descriptor; ``watch`` fails while ``failing``."""

    def __init__(self):
        self.events = {}
        self.failing = False

    def watch(self, fd, before, events):
        assert self.events.get(fd, 0) == before
        if self.failing:
            raise OSError("no memory")
        self.events[fd] = events

    def forget(self, fd):
        self.events.pop(fd, None)


class Table:
    """The connections of a server that does not run; ``closings`` counts the calls of ``on_close``."""

    def __init__(self, stack, app, **options):
        self.stack = stack
        config = UncheckedConfig(access_log=False, **options)
        self.gateway = Gateway(checked(app), config)
        self.poller = NotingPoller()
        self.shutdown = Shutdown()
        self.closings = 0
        self.connections = Connections(self.gateway, config, self.poller, self.shutdown, self._on_close)

    def _on_close(self):
        self.closings += 1

    def connect(self, data=b""):
        """Have a client connect and send; return its socket and the server's side of it."""
        client, sock = socket.socketpair()
        self.stack.enter_context(client).settimeout(SECONDS)
        before = set(self.connections.by_fd)
        self.connections.add(sock, "127.0.0.1", 80, ("127.0.0.1", 4711))
        [fd] = set(self.connections.by_fd) - before
        client.sendall(data)
        return client, self.connections.by_fd[fd]

    def begin(self, connection):
        """Read the bytes that have arrived, as the loop does; return the exchange of a complete request."""
        return self.connections.next_exchange(connection, connection.receive() or b"")

    def idle(self, until=None):
        """Have a client connect and ask; return it with its connection, idle until that moment."""
        client, connection = self.connect(get())
        self.begin(connection).run()
        assert client.recv(65536).endswith(b"hello")
        self.connections.watch(connection, READ)
        assert connection.rest(monotonic() + 60 if until is None else until)
        return client, connection

    def watched(self, connection):
        return self.poller.events.get(connection.fd, 0)


@pytest.fixture
def new_table():
    """Return ``new_table(app=…, **options)``, which makes a Table."""
    with ExitStack() as stack:

        def make(app=answer(b"hello"), **options):  # noqa: B008 - it has no state
            table = Table(stack, app, **options)
            stack.callback(table.connections.close)
            return table

        yield make


def is_closed(client):
    """Whether the server has closed, with nothing left to read."""
    client.setblocking(False)
    try:
        return client.recv(65536) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


# -- from the acceptor to an exchange


def test_new_connection_waits_for_its_head(new_table):
    table = new_table(head_timeout=10)
    _, connection = table.connect()
    assert 9 < connection.deadline - monotonic() <= 10
    assert table.watched(connection) == READ
    assert len(table.connections) == 1
    assert not connection.is_idle


def test_incomplete_request_is_waited_for(new_table):
    table = new_table(stall_timeout=30)
    client, connection = table.connect(get()[:-2])
    assert table.begin(connection) is None
    client.sendall(b"Content-Length: 5\r\n\r\nhel")
    assert table.begin(connection) is None
    assert connection.pace is not None
    assert 29 < connection.deadline - monotonic() <= 30
    client.sendall(b"lo")
    exchange = table.begin(connection)
    assert exchange.request.path == "/"
    assert connection.pace is None


def test_head_that_begins_while_the_server_stops_has_its_deadline(new_table):
    table = new_table()
    table.shutdown.ask(shutdown.hurry())
    list(table.shutdown.advance(monotonic()))
    _, connection = table.connect(b"GET / HT")
    table.begin(connection)
    assert connection.deadline == table.shutdown.head_deadline < monotonic() + 2


# -- giving a connection back


def test_finished_exchange_gives_its_connection_back_watched(new_table):
    table = new_table()
    _, connection = table.connect(get())
    exchange = table.begin(connection)
    table.connections.unwatch(exchange)
    assert (table.watched(connection), connection.deadline) == (0, math.inf)
    exchange.run()
    assert table.connections.settle(exchange) is None
    assert table.watched(connection) == READ
    assert connection.is_idle
    assert 74 < connection.deadline - monotonic() <= 75


def test_exchange_that_is_pipelined_behind_stays_on_the_thread(new_table):
    table = new_table()
    _, connection = table.connect(get("/1") + get("/2"))
    exchange = table.begin(connection)
    table.connections.unwatch(exchange)
    exchange.run()
    following = table.connections.settle(exchange)
    assert (following.request.path, following.detached) == ("/2", True)
    assert table.watched(connection) == 0


def test_connection_with_unsent_bytes_is_watched_for_writing(new_table):
    table = new_table(answer(LARGE), stall_timeout=30)
    client, connection = table.connect(get())
    exchange = table.begin(connection)
    exchange.run()
    assert table.connections.go_on(connection) is None
    assert table.watched(connection) == WRITE
    assert 29 < connection.deadline - monotonic() <= 30
    assert not table.connections.flush(connection)
    received = client.recv(65536)
    while not table.connections.flush(connection):
        received += client.recv(1 << 20)
    assert connection.pace is None
    while len(received) < len(LARGE):
        received += client.recv(1 << 20)
    assert received.endswith(LARGE[-1000:])


def test_broken_connection_is_dropped_when_it_is_given_back(new_table):
    table = new_table()
    client, connection = table.connect(get())
    exchange = table.begin(connection)
    connection.cut()
    assert table.connections.settle(exchange) is None
    assert (len(table.connections), table.poller.events, table.closings) == (0, {}, 1)
    assert is_closed(client)


def test_error_in_giving_a_connection_back_costs_that_connection(new_table, log):
    """Nobody else would ever close it."""
    table = new_table()
    _, connection = table.connect(get())
    exchange = table.begin(connection)
    table.connections.unwatch(exchange)
    exchange.run()
    table.poller.failing = True
    assert table.connections.settle(exchange) is None
    assert [(record.levelname, record.getMessage()) for record in log.records] == [
        ("CRITICAL", "127.0.0.1: giving it back failed")
    ]
    assert len(table.connections) == 0


def test_client_that_is_gone_when_its_response_is_flushed(new_table):
    table = new_table(answer(LARGE))
    client, connection = table.connect(get())
    table.begin(connection).run()
    table.connections.go_on(connection)
    client.close()
    assert not table.connections.flush(connection)
    assert (len(table.connections), table.closings) == (0, 1)


# -- the end of a connection


@pytest.mark.parametrize("more", [b"", b"G"], ids=["nothing", "a byte"])
def test_connection_that_the_client_wanted_closed_is_closed_unless_bytes_are_unread(new_table, more):
    """Closing it with unread bytes would reset it, and could destroy the response."""
    table = new_table()
    client, connection = table.connect(get("/", "Connection: close") + more)
    table.begin(connection).run()
    table.connections.go_on(connection)
    assert client.recv(65536).endswith(b"hello")
    assert client.recv(65536) == b""
    assert len(table.connections) == len(more)
    if more:
        assert connection.ending == "linger"
        assert LINGER_SECONDS - 1 < connection.deadline - monotonic() <= LINGER_SECONDS
        table.connections.expire(connection)
        assert len(table.connections) == 0


def test_connection_that_we_close_lingers_until_the_client_has_closed(new_table):
    table = new_table(max_line=64)
    client, connection = table.connect(b"GET /" + b"x" * 100)
    table.begin(connection)
    assert client.recv(65536).startswith(b"HTTP/1.1 414 ")
    assert (connection.ending, client.recv(65536)) == ("linger", b"")
    client.close()
    table.connections.end_of_input(connection)
    assert len(table.connections) == 0


def test_client_that_ends_in_the_middle_of_a_request_is_answered_400(new_table, log):
    table = new_table()
    client, connection = table.connect(get("/", "Content-Length: 5", method="POST") + b"hel")
    table.begin(connection)
    client.shutdown(socket.SHUT_WR)
    table.connections.end_of_input(connection)
    assert client.recv(65536).endswith(b"\r\n\r\n400 Bad Request: the request is incomplete\n")
    assert is_closed(client)
    assert not log.records


def test_client_that_ends_between_requests_is_closed_without_a_word(new_table):
    table = new_table()
    client, connection = table.idle()
    client.shutdown(socket.SHUT_WR)
    table.connections.end_of_input(connection)
    assert is_closed(client)
    assert len(table.connections) == 0


# -- deadlines


def test_idle_connection_ends_without_a_word(new_table, log):
    table = new_table()
    client, connection = table.idle()
    table.connections.expire(connection)
    assert is_closed(client)
    assert not log.records


def test_late_request_is_408(new_table, log):
    table = new_table()
    client, connection = table.connect(b"GET / HT")
    table.begin(connection)
    table.connections.expire(connection)
    assert client.recv(65536).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert log.messages == ["127.0.0.1: 408, the request did not arrive in time"]


def test_client_that_moves_bytes_fast_enough_has_more_time(new_table):
    table = new_table(stall_timeout=30)
    _, connection = table.connect(get("/", "Content-Length: 5", method="POST") + b"hel")
    table.begin(connection)
    connection.deadline = 0.0
    table.connections.expire(connection)
    assert 29 < connection.deadline - monotonic() <= 30
    assert len(table.connections) == 1


def test_client_that_does_not_take_its_response_is_cut_off(new_table):
    table = new_table(answer(LARGE))
    _, connection = table.connect(get())
    table.begin(connection).run()
    table.connections.go_on(connection)
    connection.pace = Pace(0, 0, connection.progress())
    table.connections.expire(connection)
    assert (connection.ending, len(table.connections)) == ("reset", 0)


def test_pause_of_the_process_puts_all_deadlines_off(new_table):
    table = new_table(stall_timeout=30)
    _, idle = table.idle()
    _, late = table.connect(get("/", "Content-Length: 5", method="POST"))
    _, running = table.connect(get())
    table.begin(late)
    table.connections.unwatch(table.begin(running))
    before = [idle.deadline, late.deadline]
    table.connections.put_off(100)
    assert [idle.deadline, late.deadline, running.deadline] == [*(d + 100 for d in before), math.inf]
    assert not late.pace.too_slow(lambda: pytest.fail("nobody could look"))


# -- room for others


def test_longest_idle_connection_makes_room(new_table):
    table = new_table()
    now = monotonic()
    clients = [table.idle(now + seconds) for seconds in (30, 10, 20)]
    table.connect(b"GET")
    assert table.connections.make_room()
    assert [is_closed(client) for client, _ in clients] == [False, True, False]
    assert table.connections.make_room()
    assert table.connections.make_room()
    assert not table.connections.make_room(), "the last one has begun a request"
    assert len(table.connections) == 1


def test_one_more_of_each_64_idle_connections_makes_room(new_table):
    """The scan for them is slow."""
    table = new_table()
    for _ in range(2 * EVICTED_PART):
        table.idle()
    assert table.connections.make_room()
    assert len(table.connections) == 2 * EVICTED_PART - 3


def test_connection_of_an_exchange_makes_no_room(new_table):
    """It looks idle, but it belongs to a thread."""
    table = new_table()
    _, connection = table.connect(get())
    exchange = table.begin(connection)
    table.connections.unwatch(exchange)
    exchange.run()
    assert connection.is_idle
    assert not table.connections.make_room()


@pytest.mark.parametrize("act", ["make_room", "close_idle"])
def test_request_that_arrives_at_the_last_moment_is_served(new_table, act):
    table = new_table()
    client, connection = table.idle()
    _, other = table.idle()
    client.sendall(get("/late"))
    getattr(table.connections, act)()
    assert list(table.connections.by_fd.values()) == [connection]
    assert table.connections.take_arrived() == [connection]
    assert table.connections.take_arrived() == []
    assert table.connections.go_on(connection).request.path == "/late"
    assert other.sock.fileno() == -1


# -- the server stops


def test_only_idle_connections_are_closed_as_the_server_stops(new_table):
    table = new_table(answer(LARGE))
    table.shutdown.head_deadline = monotonic() + 1
    _, connection = table.connect(b"GET / HT")
    table.begin(connection)
    _, unsent = table.connect(get())
    table.begin(unsent).run()
    table.connections.go_on(unsent)
    _, late = table.connect(get("/", "Content-Length: 5", method="POST"))
    table.begin(late)
    silent, _ = table.connect()
    table.connections.close_idle()
    assert list(table.connections.by_fd.values()) == [connection, unsent, late]
    assert connection.deadline == table.shutdown.head_deadline
    assert is_closed(silent)


def test_unfinished_requests_are_named(new_table):
    table = new_table(answer(LARGE))
    _, unsent = table.connect(get("/unsent?secret"))
    table.begin(unsent).run()
    table.connections.go_on(unsent)
    _, late = table.connect(get("/late", "Content-Length: 5", method="POST"))
    table.begin(late)
    _, detached = table.connect(get("/detached"))
    table.connections.unwatch(table.begin(detached))
    _, inline = table.connect(get("/inline", method="HEAD"))
    exchange = table.begin(inline)
    table.connect()
    assert table.connections.running() == 1
    assert table.connections.unfinished(exchange) == [
        "GET /unsent (its response was still being sent)",
        "POST /late (its body was still arriving)",
        "GET /detached",
        "HEAD /inline",
    ]
    assert len(table.connections.unfinished(None)) == 3


# -- a thread is written off


def test_descriptor_of_a_thread_that_is_written_off_leads_nowhere(new_table):
    table = new_table()
    client, connection = table.connect(get("/", method="GET"))
    exchange = table.begin(connection)
    table.connections.unwatch(exchange)
    give_answer = table.connections.take_over(exchange)
    with pytest.raises(BrokenPipeError):
        connection.sock.send(b"the thread's")
    give_answer()
    assert client.recv(65536).startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    [successor] = table.connections.by_fd.values()
    assert (successor.ending, successor.fd) != ("linger", connection.fd)
    connection.close()  # As its thread does when it comes back.
    assert client.recv(65536) == b""


def test_no_descriptor_is_left_for_an_overdue_answer(new_table, log):
    table = new_table()
    client, connection = table.connect(get())
    exchange = table.begin(connection)
    table.connections.unwatch(exchange)
    with few_descriptors():
        give_answer = table.connections.take_over(exchange)
    give_answer()
    assert "cannot answer a request that took too long: [Errno 24]" in log.text
    assert (is_closed(client), len(table.connections), table.closings) == (True, 0, 1)
    connection.close()  # As its thread does when it comes back.


# -- the socket is handed over


def upgrade(table, handler):
    """Have an app hand its socket to ``handler``; return the client."""

    def app(environ, start_response):
        environ["wsgiserve.upgrade"]("shout", handler)
        return []

    table.gateway.app = app
    request = get("/", "Connection: upgrade", "Upgrade: shout")
    client, connection = table.connect(request + b"hello")
    table.begin(connection).run()
    table.connections.go_on(connection)
    assert client.recv(65536).startswith(b"HTTP/1.1 101 ")
    return client


def test_socket_that_is_handed_over_is_blocking_and_no_connection_any_more(new_table):
    table, given = new_table(), []
    client = upgrade(table, lambda *arguments: given.append(arguments))
    wait_until(lambda: given)
    [(sock, data)] = given
    with sock:
        assert (sock.getblocking(), bytes(data)) == (True, b"hello")
        assert (len(table.connections), table.poller.events, table.closings) == (0, {}, 1)
        sock.sendall(b"HELLO")
        assert client.recv(100) == b"HELLO"


def test_socket_that_no_thread_can_be_had_for_is_closed(new_table, log, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(system, "_start", refuse)
    client = upgrade(new_table(), lambda *arguments: pytest.fail("there is no thread"))
    assert log.messages == ["cannot hand a connection over: can't start new thread"]
    assert is_closed(client)


def test_closing_the_table_closes_all(new_table):
    table = new_table()
    clients = [table.connect()[0] for _ in range(3)]
    table.connections.close()
    assert all(is_closed(client) for client in clients)
