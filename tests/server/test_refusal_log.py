"""Refusals are logged one line each, and a flood of them is counted."""

from __future__ import annotations

import logging
import socket

import pytest

from tests.server.http.test_extensions import replying
from wsgiserve import Server
from wsgiserve.server.refusals import LINES_A_SECOND


def test_a_flood_of_bad_requests_is_counted_not_listed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wsgiserve")
    refused = 0
    with Server(replying(lambda environ: None), port=0) as server:
        while "more requests were refused" not in caplog.text:
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
                sock.sendall(b"nonsense\r\n\r\n")
                assert sock.recv(1000).startswith(b"HTTP/1.1 400 ")
            refused += 1
    lines = [record.getMessage() for record in caplog.records]
    listed = sum("400, the request line is not" in line for line in lines)
    counted = sum(int(line.split()[0]) for line in lines if "more requests" in line)
    assert listed + counted == refused
    assert LINES_A_SECOND <= listed < refused
