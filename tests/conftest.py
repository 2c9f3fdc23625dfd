"""What several test files need: a served application."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol
from wsgiref.types import WSGIApplication
from wsgiref.validate import validator

import pytest

from wsgiserve import Server


class ServeApp(Protocol):
    """Serve an application, behind the validator, for the time of the test; return its URL."""

    def __call__(self, app: WSGIApplication, *, validated: bool = True) -> str: ...


@pytest.fixture
def serve_app() -> Iterator[ServeApp]:
    with contextlib.ExitStack() as running:

        def serve(app: WSGIApplication, *, validated: bool = True) -> str:
            return running.enter_context(Server(validator(app) if validated else app, port=0)).url

        yield serve
