"""No server starts while an app is loaded: ``app.run()`` without a guard would serve in place of the command.

Its own thread would never come back from the import, so the command would serve another address, or none.
``forbidden`` turns such a start into an error, for our servers and for those of the standard library, on
which the development servers of Flask and Bottle are built. A server on another thread of the app is allowed.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_loading: set[int] = set()  # threads


class StartedError(Exception):
    """A server was started on a thread that loads an app."""


@contextmanager
def forbidden() -> Iterator[None]:
    """Around the loading of an app: a server that is started on this thread raises StartedError."""
    thread = threading.get_ident()
    serve_forever = socketserver.BaseServer.serve_forever

    def refuse_first(self: Any, *arguments: Any, **options: Any) -> None:
        refuse()
        serve_forever(self, *arguments, **options)

    _loading.add(thread)
    socketserver.BaseServer.serve_forever = refuse_first  # type: ignore[method-assign]
    try:
        yield
    finally:
        socketserver.BaseServer.serve_forever = serve_forever  # type: ignore[method-assign]
        _loading.discard(thread)


def refuse() -> None:
    """Raise StartedError if this thread loads an app."""
    if threading.get_ident() in _loading:
        raise StartedError("a server is started while the app is loaded")
