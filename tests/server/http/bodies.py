"""Apps and bodies that several files send through a connection."""

from __future__ import annotations

from tests.server.apps import TEXT, checked

MEBIBYTE = 1 << 20


CHUNKED = "Transfer-Encoding: chunked"


@checked
def echo(environ, start_response):
    """Return the body, all of it."""
    start_response("200 OK", [TEXT])
    return [environ["wsgi.input"].read(-1)]


@checked
def ignore(environ, start_response):
    """Answer without a look at the body."""
    start_response("200 OK", [TEXT])
    return [environ["PATH_INFO"].encode("latin-1")]


class Recorder:
    """Keep the environ of each call; answer with the path."""

    def __init__(self):
        self.environs = []

    def __call__(self, environ, start_response):
        self.environs.append(environ)
        return ignore(environ, start_response)


def chunked(*chunks, trailer=b""):
    return b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n" + trailer + b"\r\n"


def pattern(size):
    return (bytes(range(256)) * (size // 256 + 1))[:size]
