"""The app of the fake loops, and a check that no thread outlives its test."""

from __future__ import annotations

import pytest

from tests.server.client import wait_until
from tests.server.threads.fakes import App, threads


@pytest.fixture(autouse=True)
def no_threads_are_left():
    wait_until(lambda: not threads())  # those of the test before
    yield
    wait_until(lambda: not threads())


@pytest.fixture
def app():
    app = App()
    yield app
    app.gate.set()
