"""Check that a server answers a request correctly before it is measured, and warm it up."""

from __future__ import annotations

import http.client

from bench.harness.child import ANSWER_SECONDS, UnfitError, ask
from bench.servers.scenarios import Request


def check(port: int, request: Request, closes: bool) -> None:
    """Raise UnfitError unless the answer is a 200 with the expected body and, if `closes`, says it closes."""
    content = b"x" * request.body or None
    try:
        response, body = ask(port, request.method, request.path, content, dict(request.headers))
    except (OSError, http.client.HTTPException) as error:
        raise UnfitError(f"no answer: {type(error).__name__}") from error
    if response.status != 200:
        raise UnfitError(f"answered {response.status}")
    if body != request.answer:
        raise UnfitError(f"wrong body: {body[:40]!r}")
    if closes and not response.will_close:
        raise UnfitError("does not say that it closes")


def warm_up(port: int, count: int) -> None:
    """Ask for `/` `count` times, to fill caches and let the interpreter specialise the code."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        for _ in range(count):
            connection.request("GET", "/")
            connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        raise UnfitError(f"warming up: {type(error).__name__}") from error
    finally:
        connection.close()
