"""The requests in flight, as a worker writes them and the supervisor reads them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from wsgiserve.server.in_flight import CALLS, CLIENTS, SIZE, Entry, InFlight, text_of
from wsgiserve.server.scoreboard import BOARD_SIZE, make_board


@dataclass
class Request:
    method: str = "GET"
    target: str = "/a"
    minor: int = 1


class Connection:
    base = 0.0


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
    return memoryview(bytearray(BOARD_SIZE))


@pytest.fixture
def written(memory):
    return make_board(memory).in_flight


@pytest.fixture
def seen(memory):
    """Return what another process sees, which has the memory alone."""
    return lambda: make_board(memory).in_flight


@pytest.fixture
def read(seen):
    return lambda: seen().entries()


def lead(written, exchange):
    """Have the leader's thread call the app, as ``ShownConnection`` shows it."""
    journal = written.journal
    journal.write(0, text_of(exchange), exchange.request)
    journal.words[journal.at] = exchange.connection.base - exchange.started


def test_the_leaders_call_comes_first(written, read):
    written.lead(77)
    assert read() == []
    written.put(Exchange(), "waiting")
    lead(written, exchange := Exchange(Request(target="/b"), id="x1", started=3.5))
    assert read()[0] == Entry(3.5, 77, "app", "192.0.2.1", "GET", "/b", "x1")
    assert [entry.phase for entry in read()] == ["app", "waiting"]
    written.settle(exchange)
    assert [entry.phase for entry in read()] == ["waiting"]


def test_a_call_that_is_deposed_moves_to_a_row(written, read):
    written.lead(77)
    lead(written, exchange := Exchange())
    written.put(exchange, "app", 77)
    assert [(entry.phase, entry.thread) for entry in read()] == [("app", 77)]
    written.lead(78)
    lead(written, Exchange(Request(target="/b")))
    assert [entry.target for entry in read()] == ["/b", "/a"]
    written.take(exchange)
    assert [entry.target for entry in read()] == ["/b"]


def test_a_call_that_moves_to_a_row_just_now_is_there_once(written, seen):
    written.lead(77)
    lead(written, exchange := Exchange())
    word = written.journal.words[0]
    written.put(exchange, "app", 77)
    written.journal.words[0] = word
    assert [(entry.phase, entry.thread) for entry in seen().entries()] == [("app", 77)]
    assert len(seen().unwritten()) == 1


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


def test_more_calls_than_rows_are_counted(written, seen):
    exchanges = [Exchange(started=float(number + 1)) for number in range(CALLS + 2)]
    for exchange in exchanges:
        written.put(exchange, "waiting")
        written.put(exchange, "app", 1)
    assert (len(seen().entries()), seen().hidden) == (CALLS, 2)
    for exchange in exchanges:
        written.take(exchange)
    assert (seen().entries(), seen().hidden) == ([], 0)
    written.put(exchanges[-1], "app", 1)
    assert len(seen().entries()) == 1


def test_clients_replace_those_shown_before(written, seen):
    entry = Entry(2.0, 0, "body", "192.0.2.1", "POST", "/up", "")
    written.show_clients([entry._replace(started=float(n + 1)) for n in range(CLIENTS + 3)])
    assert (len(seen().entries()), seen().hidden) == (CLIENTS, 3)
    written.show_clients([entry])
    assert (seen().entries(), seen().hidden) == ([entry], 0)
    written.show_clients([])
    assert seen().entries() == []


def test_a_query_can_be_left_out(written, read):
    written.put(Exchange(Request(target="/a?token=secret")), "app")
    (entry,) = read()
    assert (entry.target, entry.path) == ("/a?token=secret", "/a")


def test_the_version_of_a_request_is_told(written, read):
    written.put(Exchange(Request(minor=0)), "app")
    assert read()[0].minor == 0


def test_a_row_says_as_what_its_request_is_counted_and_whether_it_has_a_line(written, seen):
    """Also once the leader is deposed, whoever refines its phase, and until a slow client has all."""
    written.lead(77)
    lead(written, leading := Exchange(started=1234.5))
    assert [entry.status for entry in seen().unwritten()] == [None]
    written.put(leading, "app", 77)
    leading.detached = leading.counted = True
    leading.status = 404
    written.count(leading)
    [entry] = seen().unwritten()
    assert (entry.status, entry.started, entry.thread) == (404, 1234.5, 77)
    written.refine(leading, "sending")
    [entry] = seen().unwritten()
    assert (entry.status, entry.started, entry.phase) == (404, 1234.5, "sending")
    leading.owes_line = True
    written.take(leading)
    assert [entry.status for entry in seen().unwritten()] == [404]
    written.settle(leading)
    assert seen().unwritten() == []
    assert [entry.started for entry in seen().entries()] == [1234.5]
    leading.owes_line = False
    written.take(leading)
    assert seen().entries() == []


@pytest.mark.parametrize("logs", [False, True])
def test_a_call_of_the_leader_that_the_tally_counts_keeps_a_row_for_its_line(written, seen, logs):
    if logs:
        written.journal.expect_lines()
    lead(written, exchange := Exchange(counted=True, status=200))
    written.count(exchange)
    assert [entry.status for entry in seen().unwritten()] == [200] * logs
    written.take(exchange)
    assert seen().entries() == []


def test_a_request_that_is_cut_without_a_status_is_counted_too(written, seen):
    exchange = Exchange(detached=True)
    written.put(exchange, "app", 1)
    exchange.counted = True
    written.count(exchange)
    (entry,) = seen().unwritten()
    assert (entry.status, entry.started) == (0, 5.0)


def test_an_exchange_without_a_row_marks_no_other(written, seen):
    lead(written, leading := Exchange())
    other = Exchange(Request(target="/b"), detached=True)
    written.count(other)
    written.settle(other)
    written.settle(Exchange(Request(target="/c")))
    assert [entry.status for entry in seen().unwritten()] == [None]
    written.settle(leading)
    assert seen().unwritten() == []


@pytest.mark.parametrize("path", ["/" + "x" * 9000, "/\xe9\xff", "/\u20ac"])
def test_any_path_fits_and_leaves_the_other_parts_whole(written, read, path):
    written.put(Exchange(Request("VERYLONGMETHODNAME" * 9, path), id="i" * 40, client="c" * 300), "app")
    (entry,) = read()
    assert (entry.phase, entry.id) == ("app", "i" * 40) if len(path) < 100 else entry.phase == "app"
    assert entry.target.startswith(path[:100].encode("latin-1", "replace").decode("latin-1"))
    assert len(entry.target) <= 200
    assert len(entry.client) <= 45


def test_a_row_that_is_written_while_it_is_read_is_left_out():
    memory = memoryview(bytearray(SIZE))
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


def test_a_text_of_another_version_is_left_out(written, read):
    written.starts[3] = 1.0
    assert read() == []


def test_it_is_emptied_for_another_worker(written, read):
    written.put(Exchange(), "app")
    written.clear()
    assert read() == []
