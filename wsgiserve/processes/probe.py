"""The warm-up request of ``--probe``: one exchange with the app before a worker serves.

It is a real request over a socket pair inside the process. Only the event loop is left out. A whole URL gives
the Host field and the scheme too: an app may refuse other hosts, or redirect http to https.
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from wsgiserve.config import Config
from wsgiserve.protocol.receiver import Receiver
from wsgiserve.server.errors import StartError
from wsgiserve.server.http.budget import Budget
from wsgiserve.server.http.exchange import Exchange
from wsgiserve.server.http.extensions import limits, open_connection
from wsgiserve.server.http.gateway import Gateway
from wsgiserve.server.system import socketpair, start_thread

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

PROBE_SECONDS = 30.0
BAD_STATUS = 400
_FINAL_STATUS = re.compile(rb"^HTTP/1\.1 ([2-9]\d\d)\b.*?\r\n\r\n", re.DOTALL | re.MULTILINE)
_LOCATION = re.compile(rb"^Location: *(.*?)\r$", re.IGNORECASE | re.MULTILINE)


class Answer(NamedTuple):
    """The status of an answer, and where it redirects to, if it does."""

    status: int
    location: str = ""


def probe(app: WSGIApplication, config: Config) -> None:
    """Request ``config.probe``; StartError unless the response is complete, in time and below 400.

    A redirect is not followed. One to https is an answer to another question than a client of https asks.
    """
    try:
        answer = ask(app, config, config.probe)
    except TimeoutError:
        raise StartError(
            f"wsgiserve: --probe {config.probe} was not answered in {PROBE_SECONDS:g} s"
        ) from None
    except OSError as error:
        raise StartError(f"wsgiserve: --probe {config.probe} was not answered: {error}") from None
    fault = _fault(config.probe, answer)
    if fault:
        raise StartError(f"wsgiserve: --probe {config.probe} was answered {fault}")


def ask(app: WSGIApplication, config: Config, url: str) -> Answer:
    """Request a path or a whole URL without an address of the server; OSError if there is no answer."""
    ours, theirs = socketpair()
    with ours:
        ours.settimeout(PROBE_SECONDS)
        join = start_thread(_answer, app, config, theirs, url, name="wsgiserve-probe")
        ours.sendall(request(url))
        answer = read_answer(ours)
        join(PROBE_SECONDS)
    return answer


def request(url: str) -> bytes:
    """Return a GET request of a path, or of a whole URL."""
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    host = parts.netloc or "localhost"
    return f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()


def _fault(url: str, answer: Answer) -> str:
    """Say what is wrong with an answer, and how to ask; "" if nothing is."""
    parts, target = urlsplit(url), urlsplit(answer.location)
    if target.scheme == "https" and parts.scheme != "https" and target.path == parts.path:
        return (
            f"{answer.status}, a redirect to {answer.location}; ask as clients do, with the whole URL: "
            f"--probe {answer.location}"
        )
    if answer.status < BAD_STATUS:
        return ""
    if answer.status == 400 and not parts.netloc:
        return "400; if the app accepts its own host name only, write the whole URL, such as --probe " + (
            f"https://shop.example{url}"
        )
    return str(answer.status)


def read_answer(sock: socket.socket) -> Answer:
    """Read a response to its end; OSError if there is none."""
    with sock.makefile("rb") as file:
        data = file.read()  # To the end: the app may still run while its response is read.
    head = _FINAL_STATUS.search(data)
    if head is None:
        raise ConnectionResetError("no answer")
    location = _LOCATION.search(head[0])
    return Answer(int(head[1]), location[1].decode("latin-1") if location else "")


def _answer(app: WSGIApplication, config: Config, sock: socket.socket, asked: str) -> None:
    gateway = Gateway(app, config.replace(access_log=""))
    receiver = Receiver(limits(config))
    url = urlsplit(asked)
    https = url.scheme == "https"
    port = url.port or (443 if https else 80)
    host, peer = url.hostname or "localhost", ("127.0.0.1", 0)
    connection = open_connection(sock, gateway.environ, host, port, peer, config, receiver, Budget(0))
    connection.layer["wsgi.url_scheme"] = url.scheme or "http"
    if https:
        connection.layer["HTTPS"] = "on"
    connection.wait_readable(PROBE_SECONDS)
    try:
        head = receiver.next_request(connection.receive() or b"")
        if head is not None:
            exchange = Exchange(gateway, connection, head)
            connection.begin(exchange)
            exchange.run()
        while connection.outgoing and not connection.is_broken and connection.wait_writable(PROBE_SECONDS):
            connection.flush()
    finally:
        connection.close()
