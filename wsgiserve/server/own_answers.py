"""The server's own answers to who asks for its health: below ``--health-path``, and without the app.

``PATH`` is answered 200 as long as the loop turns, ``PATH/ready`` only until the server is asked to stop, and
503 from then on; a worker that is replaced says 200 to the end, since others serve. Whoever reads the request
answers it: that needs no thread for the app.

A head that asks for it is raised where heads are read, and is not kept for the next one to be compared with.
So a head that is repeated, as most are, pays nothing for this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsgiserve.protocol import RequestHead, RequestReader

if TYPE_CHECKING:
    from wsgiserve.server.http.gateway import Gateway

READY = "/ready"


class HealthAsked(Exception):
    """A request for the server's health was read; no error, but the way past the app."""

    def __init__(self, head: RequestHead) -> None:
        super().__init__()
        self.head = head


class HealthReader(RequestReader):
    """Raises HealthAsked for ``path``, and for what it says of readiness."""

    __slots__ = ("_paths",)

    def __init__(self, path: str, **limits: Any) -> None:
        super().__init__(**limits)
        self._paths = (path, path + READY)

    def _read_head(self, buffer: bytes, end: int) -> RequestHead:
        head = super()._read_head(buffer, end)
        if head.path in self._paths:
            self._last, self.last_head = b"", None
            raise HealthAsked(head)
        return head


def answer(gateway: Gateway, head: RequestHead, keep_alive: bool) -> tuple[bytes, bool]:
    """Return the answer, and whether the connection persists behind it."""
    headers = [("Content-Type", "text/plain"), ("Cache-Control", "no-store")]
    if head.method not in ("GET", "HEAD"):
        status, text = "405 Method Not Allowed", b"method not allowed\n"
        headers.append(("Allow", "GET, HEAD"))
    elif not head.path.endswith(READY):
        status, text = "200 OK", b"live\n"
    elif not gateway.ready:
        status, text = "503 Service Unavailable", b"stopping\n"
    else:
        status, text = "200 OK", b"ready\n"
    response = gateway.response_head(status, headers)
    _, _, persists, start = gateway.render_start(response, len(text), head.method, head.minor, keep_alive)
    return start + (b"" if head.method == "HEAD" else text), persists
