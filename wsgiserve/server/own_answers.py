"""Answers that the server gives itself, without the app: its health below ``--health-path``, and refusals.

``PATH`` is answered 200 as long as the loop turns. ``PATH/ready`` is answered 200 until the server is asked
to stop, and 503 from then on; a worker that is replaced says 200 to the end, since other workers serve. The
loop gives these answers as it reads the requests, so they need no thread even when all threads are in the
app.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from wsgiserve.protocol.errors import RemoteProtocolError
from wsgiserve.protocol.request import RequestHead
from wsgiserve.protocol.response import error_response, permanent_redirect
from wsgiserve.server.errors import ClientDisconnected
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


def answer_health(gateway: Gateway, connection: Connection, head: RequestHead, unready: str) -> None:
    """Answer a request for an own path; ``unready`` is why no more requests are wanted, "" if they are."""
    if head.method not in ("GET", "HEAD"):
        status, text = "405 Method Not Allowed", b"method not allowed\n"
    elif not head.path.endswith(READY):
        status, text = "200 OK", b"live\n"
    elif unready:
        status, text = "503 Service Unavailable", f"{unready}\n".encode()
    else:
        status, text = "200 OK", b"ready\n"
    _send_text(gateway, connection, head, status, text)


def _send_text(gateway: Gateway, connection: Connection, head: RequestHead, status: str, text: bytes) -> None:
    """Send a whole answer; close behind a request with a body, or with another request behind it."""
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
    _send(connection, start + (b"" if head.method == "HEAD" else text))


def redirect(gateway: Gateway, connection: Connection, head: RequestHead) -> None:
    """Redirect to the same path by https, where there is a certificate for the host; else that is an error.

    So nobody is led to a host of somebody else. The method stays (308, RFC 9110 §15.4.9).
    """
    answer = connection.door.answer(head.path) if connection.door is not None else None
    if answer is not None:
        _send_text(gateway, connection, head, "200 OK", answer)
        return
    host = head.fields.get("HTTP_HOST", "") if head.authority is None else head.authority
    url = connection.door.url_by_https(host) if connection.door is not None else ""
    if not url:
        refuse(
            gateway,
            connection,
            RemoteProtocolError(400, "there is no certificate here for the host that was asked for"),
        )
        return
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
    _send(connection, permanent_redirect(location, gateway.date_and_server(), close=close))


def refuse(gateway: Gateway, connection: Connection, error: RemoteProtocolError) -> None:
    """Answer a request that may not be served; nothing is served on the connection after it."""
    gateway.refusals.add(connection.peer, error)
    connection.close_when_sent()
    send_refusal(gateway, connection, error)


def send_refusal(gateway: Gateway, connection: Connection, error: RemoteProtocolError) -> None:
    """Send the answer alone, without a line in the log."""
    head, body = error_response(error.status, error.detail, gateway.date_and_server())
    _send(connection, head if connection.receiver.method == "HEAD" else head + body)


def _send(connection: Connection, data: bytes) -> None:
    try:
        connection.send(data)
    except ClientDisconnected:
        pass  # The connection knows.
