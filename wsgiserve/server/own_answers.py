"""Answers that the server gives itself, without the app: its health below ``--health-path``, and refusals.

``PATH`` is answered 200 as long as the loop turns. ``PATH/ready`` is answered 200 until the server is asked
to stop, and 503 from then on; a worker that is replaced says 200 to the end, since other workers serve. The
loop gives these answers as it reads the requests, so they need no thread even when all threads are in the
app. An exchange that never calls the app sends them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from wsgiserve.protocol.errors import RemoteProtocolError
from wsgiserve.protocol.request import RequestHead
from wsgiserve.protocol.response import error_response, permanent_redirect
from wsgiserve.server.http.connection import Connection
from wsgiserve.server.http.gateway import Gateway

READY = "/ready"


class _EveryPath(Collection[str]):
    """The paths of a listener that only redirects."""

    def __contains__(self, path: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 1


EVERY_PATH = _EveryPath()


def own_paths(health_path: str) -> frozenset[str]:
    """Return the paths that the server answers itself."""
    return frozenset({health_path, health_path + READY} if health_path else ())


class Answer(NamedTuple):
    """An answer, and why the request ended, for the access log."""

    status: int
    head: bytes
    body: bytes = b""
    end: str = "done"


def health(gateway: Gateway, connection: Connection, head: RequestHead, unready: str) -> Answer:
    """Return the answer for an own path; ``unready`` is why no more requests are wanted, "" if they are."""
    if head.method not in ("GET", "HEAD"):
        status, text = "405 Method Not Allowed", b"method not allowed\n"
    elif not head.path.endswith(READY):
        status, text = "200 OK", b"live\n"
    elif unready:
        status, text = "503 Service Unavailable", f"{unready}\n".encode()
    else:
        status, text = "200 OK", b"ready\n"
    return _whole(gateway, connection, head, status, text)


def _whole(gateway: Gateway, connection: Connection, head: RequestHead, status: str, text: bytes) -> Answer:
    """Return a whole answer; close behind a request with a body, or with another request behind it."""
    headers = [("Content-Type", "text/plain"), ("Cache-Control", "no-store")]
    if status.startswith("405"):
        headers.append(("Allow", "GET, HEAD"))
    response = gateway.response_head(status, headers)
    keep_alive = head.keep_alive and not head.has_body and not connection.receiver.buffer
    _, _, persists, _, start, _ = gateway.render_start(
        response, len(text), head.method, head.minor, keep_alive
    )
    if not persists:
        connection.close_when_sent()
    return Answer(response.status, start, b"" if head.method == "HEAD" else text)


def redirection(gateway: Gateway, connection: Connection, head: RequestHead) -> Answer:
    """Redirect to the same path by https, where there is a certificate for the host; else that is an error.

    So nobody is led to a host of somebody else. The method stays (308, RFC 9110 §15.4.9).
    """
    answer = connection.door.answer(head.path) if connection.door is not None else None
    if answer is not None:
        return _whole(gateway, connection, head, "200 OK", answer)
    host = head.fields.get("HTTP_HOST", "") if head.authority is None else head.authority
    url = connection.door.url_by_https(host) if connection.door is not None else ""
    if not url:
        detail = "there is no certificate here for the host that was asked for"
        return refusal(gateway, connection, RemoteProtocolError(400, detail))
    keep_alive = (
        head.keep_alive and not head.has_body and not connection.receiver.buffer and not gateway.parting
    )
    if not keep_alive:
        connection.close_when_sent()
    query = f"?{head.query}" if head.query else ""
    location = f"{url}{head.path or '/'}{query}"
    close = not (keep_alive and head.minor)
    if close:
        connection.close_when_sent()
    return Answer(308, permanent_redirect(location, gateway.date_and_server(), close=close))


def refusal(gateway: Gateway, connection: Connection, error: RemoteProtocolError, end: str = "") -> Answer:
    """Return the answer to a request that may not be served; nothing is served on the connection after it.

    Without an ``end`` it is the client's fault, and logged.
    """
    if not end:
        end = "timeout" if error.status == 408 else "refused"
        gateway.refusals.add(connection.peer, error)
    connection.close_when_sent()
    head, body = error_response(error.status, error.detail, gateway.date_and_server())
    return Answer(error.status, head, b"" if connection.receiver.method == "HEAD" else body, end)
