"""DNS rebinding: what changes something is only taken under a name that is surely this machine's."""

from __future__ import annotations

import socket

import pytest
from webtest import TestApp

from wsgiserve.files.hosts import OwnHostOnly


def inside(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]


APP = TestApp(OwnHostOnly(inside))

OURS = [
    "localhost",
    "localhost:8000",
    "127.0.0.1:8000",
    "192.168.1.5",
    "[::1]:8000",
    "[fe80::1]",
    "nas:8000",
    "nas.local",
    "NAS.LAN.:80",
    socket.gethostname(),
]
THEIRS = ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example:80"]


@pytest.mark.parametrize("host", OURS)
def test_a_name_that_no_stranger_can_own_is_ours(host: str) -> None:
    assert APP.put("/a", "x", headers={"Host": host}).text == "done"


@pytest.mark.parametrize("host", THEIRS)
@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_nothing_is_changed_under_another_name(host: str, method: str) -> None:
    response = APP.request("/a", method=method, headers={"Host": host}, status=403)
    assert "use its address" in response.text


@pytest.mark.parametrize("host", THEIRS)
def test_reading_is_not_asked(host: str) -> None:
    assert APP.get("/a", headers={"Host": host}).text == "done"
    APP.head("/a", headers={"Host": host})
