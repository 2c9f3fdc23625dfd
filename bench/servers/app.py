"""The WSGI app that every server serves under load: plain PEP 3333, so no framework is measured.

Each of its paths does as little as possible. Below `/hello/` every path answers as `/` does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

HELLO = b"Hello, world!\n"
SLEEP_SECONDS = 0.05
BURN_SECONDS = 0.02
BLOCK = b"x" * 1024
BLOCKS = 64
EVENT = b"data: hello\n\n"
EVENTS = 10
EVENT_SECONDS = 0.1
COLLATZ = 1500
MOST_STEPS = 181  # that a number below 1500 takes


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    view = VIEWS.get(environ["PATH_INFO"])
    if view is None and environ["PATH_INFO"].startswith("/hello/"):
        view = hello
    if view is None:
        return _answer(start_response, b"Not found\n", "404 Not Found")
    return view(environ, start_response)


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return _answer(start_response, HELLO)


def sleep(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Sleep for 50 ms, like a wait for a database."""
    time.sleep(SLEEP_SECONDS)
    return _answer(start_response, HELLO)


def burn(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Use 20 ms of this thread's processor time and hold the interpreter lock."""
    end = time.thread_time() + BURN_SECONDS
    while time.thread_time() < end:
        pass
    return _answer(start_response, HELLO)


def compute(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Compute in pure Python for some 4 ms, always the same, and share no object with other calls."""
    return _answer(start_response, b"%d" % max(map(_steps, range(1, COLLATZ))))


def _steps(number: int) -> int:
    """Count the steps from a number to 1 by Collatz's rule."""
    count = 0
    while number != 1:
        number = 3 * number + 1 if number % 2 else number // 2
        count += 1
    return count


def post(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Read the whole body and answer with its length in decimal digits."""
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    return _answer(start_response, b"%d" % len(body))


def stream(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer in 64 blocks of 1 KiB, without saying how many."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    for _ in range(BLOCKS):
        yield BLOCK


def events(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Send ten events in a second."""
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    for _ in range(EVENTS):
        time.sleep(EVENT_SECONDS)
        yield EVENT


def _answer(start_response: StartResponse, body: bytes, status: str = "200 OK") -> Iterable[bytes]:
    start_response(
        status,
        [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))],
    )
    return [body]


VIEWS: dict[str, Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]] = {
    "/": hello,
    "/sleep": sleep,
    "/burn": burn,
    "/compute": compute,
    "/post": post,
    "/stream": stream,
    "/events": events,
}
