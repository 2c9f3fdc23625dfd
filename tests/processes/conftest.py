"""Channels for the units, folders with an app for the real processes."""

from __future__ import annotations

import logging
import socket

import pytest

from bench.servers import deploys
from tests.processes.programs import APP
from wsgiserve.processes.channel import Channel


@pytest.fixture(autouse=True)
def log(caplog):
    caplog.set_level(logging.INFO, "wsgiserve")
    return caplog


@pytest.fixture
def ends():
    """Both ends of a channel: the supervisor's, which does not block, and that of its child."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(10)
    channels = Channel(ours), Channel(theirs)
    yield channels
    for channel in channels:
        channel.close()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


@pytest.fixture
def service(tmp_path, monkeypatch):
    """Return ``service(*options)``: what ``bench.servers.deploys`` deploys to, with quick slow requests."""
    monkeypatch.setattr(deploys, "SLOW_SECONDS", 0.3)
    return lambda *options: deploys.Service(tmp_path, *options)
