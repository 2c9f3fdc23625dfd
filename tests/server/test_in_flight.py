"""The requests in flight, as a worker writes them and the supervisor reads them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from wsgiserve.server.in_flight import CALLS, CLIENTS, SIZE, Entry, InFlight


@dataclass
class Request:
    method: str = "GET"
    target: str = "/a"
    minor: int = 1


class Connection:
    shown = (None, b"")

    def show_as(self, request, text):
        self.shown = (request, text)


@dataclass(eq=False)
class Exchange:
    request: Request = field(default_factory=Request)
    id: str = ""
    started: float = 5.0
    detached: bool = False
    counted: bool = False
    status: int = 0
    end: str = "done"
    owes_line: bool = False
    client: str = "192.0.2.1"
    connection: Connection = field(default_factory=lambda: Connection())


@pytest.fixture
def memory():
    return memoryview(bytearray(SIZE))


@pytest.fixture
def written(memory):
    return InFlight(memory)


@pytest.fixture
def read(memory):
    """Return the entries that another process sees, which has the memory alone."""
    return lambda: InFlight(memory).entries()


def test_the_leaders_call_is_there_while_it_has_a_start(written, read):
    written.lead(77)
    written.show(Exchange(id="x1"))
    assert read() == []
    written.starts[0] = 3.5
    assert read() == [Entry(3.5, 77, "app", "192.0.2.1", "GET", "/a", "x1")]
    written.starts[0] = 0.0
    assert read() == []


def test_the_text_of_a_request_that_its_connection_repeats_is_kept(written, read):
    first, other = Exchange(), Exchange(Request(target="/b"))
    repeated = Exchange(first.request, connection=first.connection)
    for exchange in (first, other, repeated):
        written.show(exchange)
        written.starts[0] = exchange.started
        assert read()[0].target == exchange.request.target
        written.starts[0] = 0.0
    assert first.connection.shown[0] is first.request


def test_a_call_that_is_deposed_moves_to_another_row(written, read):
    exchange = Exchange()
    written.lead(77)
    written.show(exchange)
    written.starts[0] = exchange.started
    written.put(exchange, "app", 77)
    assert [(entry.phase, entry.thread) for entry in read()] == [("app", 77)]
    other = Exchange(Request(target="/b"))
    written.show(other)
    written.starts[0] = other.started
    assert [entry.target for entry in read()] == ["/b", "/a"]
    written.take(exchange)
    assert [entry.target for entry in read()] == ["/b"]


def test_a_request_has_one_row_from_waiting_to_the_end(written, read):
    exchange = Exchange()
    written.put(exchange, "waiting")
    written.put(exchange, "app", 8)
    assert [(entry.phase, entry.thread) for entry in read()] == [("app", 8)]
    written.refine(exchange, "sending")
    written.refine(exchange, "sending")
    assert [(entry.phase, entry.thread) for entry in read()] == [("sending", 8)]
    written.refine(exchange, "app")
    assert [(entry.phase, entry.thread) for entry in read()] == [("app", 8)]
    written.take(exchange)
    written.take(exchange)
    written.refine(exchange, "body")
    assert read() == []


def test_more_calls_than_rows_are_counted(written, memory):
    exchanges = [Exchange(started=float(number + 1)) for number in range(CALLS + 2)]
    for exchange in exchanges:
        written.put(exchange, "waiting")
        written.put(exchange, "app", 1)
    seen = InFlight(memory)
    assert (len(seen.entries()), seen.hidden) == (CALLS, 2)
    for exchange in exchanges:
        written.take(exchange)
    assert (seen.entries(), seen.hidden) == ([], 0)
    written.put(exchanges[-1], "app", 1)
    assert len(seen.entries()) == 1


def test_clients_replace_those_shown_before(written, memory):
    entry = Entry(2.0, 0, "body", "192.0.2.1", "POST", "/up", "")
    written.show_clients([entry._replace(started=float(n + 1)) for n in range(CLIENTS + 3)])
    seen = InFlight(memory)
    assert (len(seen.entries()), seen.hidden) == (CLIENTS, 3)
    written.show_clients([entry])
    assert (seen.entries(), seen.hidden) == ([entry], 0)
    written.show_clients([])
    assert seen.entries() == []


def test_a_query_can_be_left_out(written, read):
    written.put(Exchange(Request(target="/a?token=secret")), "app")
    (entry,) = read()
    assert (entry.target, entry.path) == ("/a?token=secret", "/a")


def test_the_version_of_a_request_is_told(written, read):
    written.put(Exchange(Request(minor=0)), "app")
    assert read()[0].minor == 0


def test_a_row_says_as_what_its_request_is_counted_and_whether_it_has_a_line(written, memory):
    """Also once the leader is deposed, whoever refines its phase, and until a slow client has all."""
    unwritten = InFlight(memory).unwritten
    leading = Exchange(started=1234.5)
    written.lead(77)
    written.show(leading)
    written.starts[0] = leading.started
    assert [entry.status for entry in unwritten()] == [None]
    leading.counted, leading.status = True, 404
    written.count(leading)
    assert [(entry.status, entry.started, entry.thread) for entry in unwritten()] == [(404, 1234.5, 77)]
    leading.detached = True
    written.put(leading, "app", 77)
    written.refine(leading, "sending")
    assert [(entry.status, entry.started, entry.phase) for entry in unwritten()] == [(404, 1234.5, "sending")]
    leading.owes_line = True
    written.take(leading)
    assert [entry.status for entry in unwritten()] == [404]
    written.settle(leading)
    assert unwritten() == []
    assert [entry.started for entry in InFlight(memory).entries()] == [1234.5]
    leading.owes_line = False
    written.take(leading)
    assert InFlight(memory).entries() == []


def test_a_request_that_is_cut_without_a_status_is_counted_too(written, memory):
    exchange = Exchange(detached=True)
    written.put(exchange, "app", 1)
    exchange.counted = True
    written.count(exchange)
    (entry,) = InFlight(memory).unwritten()
    assert (entry.status, entry.started) == (0, 5.0)


def test_an_exchange_without_a_row_marks_no_other(written, memory):
    leading, other = Exchange(), Exchange(Request(target="/b"), detached=True)
    written.show(leading)
    written.starts[0] = leading.started
    written.count(other)
    written.settle(other)
    written.settle(Exchange(Request(target="/c")))
    assert [entry.status for entry in InFlight(memory).unwritten()] == [None]
    written.settle(leading)
    assert InFlight(memory).unwritten() == []


@pytest.mark.parametrize("path", ["/" + "x" * 9000, "/\xe9\xff", "/\u20ac"])
def test_any_path_fits_and_leaves_the_other_parts_whole(written, read, path):
    written.put(Exchange(Request("VERYLONGMETHODNAME" * 9, path), id="i" * 40, client="c" * 300), "app")
    (entry,) = read()
    assert (entry.phase, entry.id) == ("app", "i" * 40) if len(path) < 100 else entry.phase == "app"
    assert entry.target.startswith(path[:100].encode("latin-1", "replace").decode("latin-1"))
    assert len(entry.target) <= 200
    assert len(entry.client) <= 45


def test_a_row_that_is_written_while_it_is_read_is_left_out(memory):
    written = InFlight(memory)
    exchange = Exchange()
    written.put(exchange, "app")

    class Reader(InFlight):
        """Another request takes the row's place after each look at its thread."""

        def _read(self, row):
            self._threads = Changing(self._threads)
            return super()._read(row)

    class Changing:
        def __init__(self, threads):
            self.threads = threads

        def __getitem__(self, row):
            written.starts[row] += 1.0
            return 0

    assert Reader(memory).entries() == []
    assert len(InFlight(memory).entries()) == 1


def test_a_text_of_another_version_is_left_out(memory, read):
    written = InFlight(memory)
    written.starts[3] = 1.0
    assert read() == []


def test_it_is_emptied_for_another_worker(written, read):
    written.put(Exchange(), "app")
    written.clear()
    assert read() == []
