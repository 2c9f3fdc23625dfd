"""Apps for the tests to serve, and the validator around them."""

from __future__ import annotations

import threading
from wsgiref.validate import validator

TEXT = ("Content-Type", "text/plain")
LARGE = 1_500_000  # more than a socket takes while its client does not read


def checked(app):
    """Wrap ``app`` in wsgiref's validator.

    The validator hides the result behind an iterator of its own. The server does more for a list, a tuple
    and its file wrapper than for an iterator, so these are handed on as they are.
    """

    def outer(environ, start_response):
        results = []

        def inner(environ, start_response):
            results.append(app(environ, start_response))
            return results[0]

        wrapper = environ["wsgi.file_wrapper"]
        wrapped = validator(inner)(environ, start_response)
        if type(results[0]) in (list, tuple, wrapper):
            wrapped.closed = True
            return results[0]
        return wrapped

    return outer


def answer(*blocks, status="200 OK", headers=(TEXT,), write=(), kind=list):
    """Make an app that writes the blocks of ``write`` and returns ``kind(blocks)``."""

    def app(environ, start_response):
        send = start_response(status, list(headers))
        for block in write:
            send(block)
        return kind(blocks)

    return app


def generator(blocks):
    """Yield the blocks; call those that are callable."""
    for block in blocks:
        yield block() if callable(block) else block


class Blocks:
    """A result that counts how often it is closed; ``at_close`` is called then."""

    def __init__(self, blocks, at_close=None):
        self.blocks = blocks
        self.at_close = at_close
        self.closings = 0

    def __iter__(self):
        return generator(self.blocks)

    def close(self):
        self.closings += 1
        if self.at_close:
            self.at_close()


def fail():
    """Be an app that has a bug."""
    raise RuntimeError("the app has a bug")


class Gate:
    """``/slow…`` waits in the app until the gate is opened, anything else answers at once with its path.

    ``inside`` counts the calls in progress, ``most`` is the highest that it was.
    """

    def __init__(self):
        self.opened = threading.Event()
        self.lock = threading.Lock()
        self.inside = self.most = 0

    def __call__(self, environ, start_response):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            if environ["PATH_INFO"].startswith("/slow"):
                assert self.opened.wait(20)
            start_response("200 OK", [TEXT])
            return [environ["PATH_INFO"].encode()]
        finally:
            with self.lock:
                self.inside -= 1


class GatedLarge(Gate):
    """A gate whose answers are large."""

    def __call__(self, environ, start_response):
        return [block * LARGE for block in super().__call__(environ, start_response)]


def connections(server):
    """The server's own table, which nobody else can see."""
    return server._loop.connections.by_fd
