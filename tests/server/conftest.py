"""Servers in the background; a test that takes ``serving`` runs with each of the pollers."""

from __future__ import annotations

import logging

import pytest

from tests.server.apps import Gate
from wsgiserve import Server
from wsgiserve.config import Config
from wsgiserve.config.binds import parse_bind
from wsgiserve.server import loop
from wsgiserve.server.sockets.poller import SelectorsPoller


class SelectorsServer(Server):
    """A server as it is where there is no epoll."""

    make_poller = staticmethod(SelectorsPoller)


POLLERS = [
    pytest.param(Server, id="epoll"),
    pytest.param(SelectorsServer, id="selectors", marks=pytest.mark.slow),  # Its own tests are quick ones.
]


class UncheckedConfig(Config):
    """A configuration whose timeouts may be shorter than users may choose."""

    def _check(self):
        pass


@pytest.fixture(params=POLLERS)
def serving(request):
    """Return ``serving(app, **options)``: a server in the background on a free port, for a with block."""

    def serving(app, **options):
        defaults = {"bind": (parse_bind("127.0.0.1:0"),), "access_log": "", "graceful_timeout": 5}
        return request.param(app, config=UncheckedConfig(**{**defaults, **options}))

    return serving


@pytest.fixture
def swift_sweeps(monkeypatch):
    """Have the loop look at deadlines every few milliseconds."""
    monkeypatch.setattr(loop, "SWEEP_SECONDS", 0.02)


@pytest.fixture(autouse=True)
def log(caplog):
    caplog.set_level(logging.INFO, "wsgiserve")
    return caplog


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.opened.set()
