"""Connections that do no work are opened, kept and counted."""

from __future__ import annotations

import socket
import sys
import threading
import time

import pytest

from bench.servers import crowd
from tests.bench.waiting import reached

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")


def test_crowd_that_is_not_answered_costs_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server accepts and answers ten connections per second."""
    monkeypatch.setattr(crowd, "BATCH_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()
        thread = threading.Thread(target=_answer_slowly, args=(listener, stop))
        thread.start()
        began = time.monotonic()
        with crowd.idle(listener.getsockname(), 100) as sockets:
            assert time.monotonic() - began < 5
            assert len(sockets) == 100
        stop.set()
        thread.join()


def _answer_slowly(listener: socket.socket, stop: threading.Event) -> None:
    listener.settimeout(0.1)
    while not stop.wait(0.1):
        try:
            with listener.accept()[0] as sock:
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except OSError:
            pass  # No connection came, or its client has left.


def test_crowd_counts_the_connections_that_the_server_keeps() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with crowd.slowloris(listener.getsockname(), 3) as sockets:
            held = [listener.accept()[0] for _ in range(3)]
            assert crowd.alive(sockets) == 3
            assert all(sock.recv(1024).startswith(b"GET / HTTP/1.1\r\n") for sock in held)
            held[0].shutdown(socket.SHUT_WR)
            assert reached(lambda: crowd.alive(sockets) == 2)
        for sock in held:
            sock.close()
