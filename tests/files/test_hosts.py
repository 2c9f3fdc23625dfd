"""DNS rebinding: writes need a Host that no stranger can own."""

from __future__ import annotations

import socket
from wsgiref.validate import validator

import pytest
from webtest import TestApp

from wsgiserve.files.hosts import OwnHostOnly


def inside(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]


APP = TestApp(OwnHostOnly(inside))

OWN = [
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
FOREIGN = ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example:80"]


@pytest.mark.parametrize("host", OWN)
def test_a_write_to_a_private_name_is_accepted(host: str) -> None:
    assert APP.put("/a", "x", headers={"Host": host}).text == "done"


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_a_write_to_another_name_is_refused(host: str, method: str) -> None:
    response = APP.request("/a", method=method, headers={"Host": host}, status=403)
    assert "use its address" in response.text


@pytest.mark.parametrize("host", FOREIGN)
def test_reading_needs_no_private_name_unless_asked_for(host: str) -> None:
    assert APP.get("/a", headers={"Host": host}).text == "done"
    APP.head("/a", headers={"Host": host})
    strict = TestApp(validator(OwnHostOnly(inside, reads=True)))
    for method in ("GET", "OPTIONS"):
        refused = strict.request("/a", method=method, headers={"Host": host}, status=403)
        assert refused.text.startswith("Nothing is served under that name")
    assert strict.head("/a", headers={"Host": host}, status=403).body == b""
    assert strict.get("/a", headers={"Host": "localhost:8000"}).text == "done"


@pytest.mark.parametrize("name", ["files.example:8000", "http://files.example", "a/b", "", "*.example"])
def test_an_allowed_name_stands_alone(name: str) -> None:
    with pytest.raises(ValueError, match="no host name"):
        OwnHostOnly(inside, [name])
    with pytest.raises(TypeError, match="collection of names"):
        OwnHostOnly(inside, name)


def test_names_may_be_allowed() -> None:
    app = TestApp(OwnHostOnly(inside, ["Files.example"], reads=True))
    assert app.put("/a", "x", headers={"Host": "files.example:8443"}).text == "done"
    assert app.get("/a", headers={"Host": "FILES.example."}).text == "done"
    app.get("/a", headers={"Host": "other.example"}, status=403)
