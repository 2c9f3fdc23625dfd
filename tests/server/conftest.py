"""What the tests of the server share; whatever takes ``serving`` runs with each of the pollers."""

from __future__ import annotations

import logging

import pytest

from tests.server.apps import Gate
from wsgiserve import Server
from wsgiserve.server.sockets.poller import SelectorsPoller


class SelectorsServer(Server):
    """A server as it is where there is no epoll."""

    make_poller = staticmethod(SelectorsPoller)


POLLERS = [
    pytest.param(Server, id="epoll"),
    pytest.param(SelectorsServer, id="selectors", marks=pytest.mark.slow),  # Its own tests are quick ones.
]


@pytest.fixture(params=POLLERS)
def serving(request):
    """Return ``serving(app, **options)``: a server in the background on a free port, for a with block."""

    def serving(app, **options):
        return request.param(app, port=0, **{"graceful_timeout": 5, **options})

    return serving


@pytest.fixture(autouse=True)
def log(caplog):
    caplog.set_level(logging.INFO, "wsgiserve")
    return caplog


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.opened.set()
