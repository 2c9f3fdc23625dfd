"""Requests that stay in the app until another thread leads."""

from __future__ import annotations

from tests.server.client import Client, get, wait_until


def ask_fast(server, count=3):
    """Ask for a few fast answers."""
    with Client(server) as client:
        for number in range(count):
            assert client.ask(get(f"/fast/{number}")).body == b"/fast/%d" % number


def depose(server, gate, client, path="/slow"):
    """Send a request that stays in the app; return once another thread leads."""
    before = gate.inside
    client.send(get(path))
    wait_until(lambda: gate.inside == before + 1)
    ask_fast(server)
