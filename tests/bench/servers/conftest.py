"""A server of the standard library that serves the app of the benchmarks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import WSGIApplication
from wsgiref.validate import validator

import pytest

from bench.servers import app

Serve = Callable[[WSGIApplication], int]


class SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(app: WSGIApplication) -> Iterator[int]:
    with make_server("127.0.0.1", 0, validator(app), handler_class=SilentHandler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield httpd.server_port
        finally:
            httpd.shutdown()
            thread.join()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that serves an app until the end of the test, and returns the port."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(served(app))


@pytest.fixture
def hello_port(serve: Serve) -> int:
    return serve(app.application)
