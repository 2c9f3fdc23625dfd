"""The warm-up request of ``--probe``: one exchange with the app before a worker serves.

It is a real request over a socket pair inside the process. Only the event loop is left out.
"""

from __future__ import annotations

import dataclasses
import socket
import threading
from typing import TYPE_CHECKING

from wsgiserve.config import Config
from wsgiserve.protocol.receiver import Receiver
from wsgiserve.server.errors import StartError
from wsgiserve.server.http.exchange import Exchange
from wsgiserve.server.http.extensions import limits, open_connection
from wsgiserve.server.http.gateway import Gateway

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

PROBE_SECONDS = 30.0
BAD_STATUS = 400


def probe(app: WSGIApplication, config: Config) -> None:
    """Request ``config.probe``; StartError unless the response is complete, in time and below 400."""
    ours, theirs = socket.socketpair()
    with ours:
        ours.settimeout(PROBE_SECONDS)
        call = threading.Thread(target=_answer, args=(app, config, theirs), daemon=True)
        call.start()
        try:
            ours.sendall(
                f"GET {config.probe} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            )
            status = _status(ours)
        except TimeoutError:
            raise StartError(
                f"wsgiserve: --probe {config.probe} was not answered in {PROBE_SECONDS:g} s"
            ) from None
        except OSError as error:
            raise StartError(f"wsgiserve: --probe {config.probe} was not answered: {error}") from None
        call.join(PROBE_SECONDS)
    if status >= BAD_STATUS:
        raise StartError(f"wsgiserve: --probe {config.probe} was answered {status}")


def _status(sock: socket.socket) -> int:
    with sock.makefile("rb") as answer:
        words = answer.readline().split()
        while answer.read(65536):
            pass  # To the end: the app may still run while its response is read.
    if len(words) < 2 or not words[1].isdigit():
        raise ConnectionResetError("no answer")
    return int(words[1])


def _answer(app: WSGIApplication, config: Config, sock: socket.socket) -> None:
    gateway = Gateway(app, dataclasses.replace(config, access_log=False))
    receiver = Receiver(limits(config))
    connection = open_connection(sock, "localhost", 80, ("127.0.0.1", 0), config, receiver)
    connection.wait_readable(PROBE_SECONDS)
    try:
        head = receiver.next_request(connection.receive() or b"")
        if head is not None:
            Exchange(gateway, connection, head).run()
        while connection.outgoing and not connection.is_broken and connection.wait_writable(PROBE_SECONDS):
            connection.flush()
    finally:
        connection.close()
