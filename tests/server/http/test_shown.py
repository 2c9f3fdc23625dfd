"""Requests that are seen in flight while the app is called, on the leader's thread."""

from __future__ import annotations

import pytest

from tests.server.apps import answer
from tests.server.client import get
from tests.server.http.lone import Lone
from wsgiserve.server.http.shown import ShownConnection
from wsgiserve.server.journal import PLACES
from wsgiserve.server.scoreboard import make_board


@pytest.fixture
def looking():
    """Return ``looking(**options)``: a client whose requests are looked at from within the app."""
    board, clients = make_board(), []

    def looking(**options):
        def app(environ, start_response):
            client.seen += board.in_flight.entries()
            return answer(b"app")(environ, start_response)

        client = Lone(app, board=board, **options)
        client.seen = []
        clients.append(client)
        return client

    looking.board = board
    yield looking
    for client in clients:
        client.close()


def targets(client):
    seen, client.seen = client.seen, []
    return [entry.target for entry in seen]


def test_each_request_is_seen_in_the_app_and_no_more_behind_it(looking):
    client = looking()
    assert isinstance(client.connection, ShownConnection)
    for path in ("/a", "/a", "/a", "/b", "/a"):
        assert client.ask(get(path)).body == b"app"
        assert targets(client) == [path]
        assert looking.board.in_flight.entries() == []


def test_pipelined_requests_of_one_moment_are_told_apart(looking):
    client = looking()
    client.send(get("/a") + get("/b") + get("/a"))
    client.serve()
    assert targets(client) == ["/a", "/b", "/a"]


def test_each_request_has_its_own_id(looking):
    client = looking(request_id=True)
    for _ in range(3):
        client.ask(get("/a"))
    assert len({entry.id for entry in client.seen} - {""}) == 3


def test_more_connections_than_places_share_one_and_give_theirs_back(looking):
    journal = looking.board.in_flight.journal
    for _ in range(PLACES - 1):
        journal.take_place()
    first, second, third = looking(), looking(), looking()
    for path in ("/1", "/1", "/2"):
        for client in (first, second, third):
            client.ask(get(path))
            assert targets(client) == [path]
    assert journal.take_place() == 0
    first.connections.close()
    assert journal.take_place() > 0


def test_a_connection_that_is_handed_over_gives_its_place_back():
    def app(environ, start_response):
        environ["wsgiserve.upgrade"]("shout", lambda sock, data: sock.close())
        return []

    board = make_board()
    journal = board.in_flight.journal
    for _ in range(PLACES - 1):
        journal.take_place()
    client = Lone(app, bare=True, board=board)
    client.send(get("/", "Connection: Upgrade", "Upgrade: shout"))
    assert b"101 Switching Protocols" in client.serve()
    assert not client.is_open
    assert journal.take_place() > 0
    client.close()
