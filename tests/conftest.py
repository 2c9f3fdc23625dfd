"""What several test files need: a served application."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from wsgiref.types import WSGIApplication
from wsgiref.validate import validator

import pytest

from wsgiserve import Server

ServeApp = Callable[[WSGIApplication], str]


@pytest.fixture
def serve_app() -> Iterator[ServeApp]:
    with contextlib.ExitStack() as running:
        yield lambda app: running.enter_context(Server(validator(app), port=0)).url
