"""nginx, HAProxy and Caddy as ``deploy/`` has them, in front of a Django project that knows of no proxy.

The client connects from an address of its own, 127.0.0.7, and sends whatever could be mistaken for the word
of a proxy. The project must see that address, and the scheme, host and path of the client's own URL.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.lacking import lacking
from tests.program import Program
from tests.proxies.deployed import PROGRAMS, django_project, program_of, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the client takes another loopback address"),
]

CLIENT = "127.0.0.7"
HOST = "shop.localhost"  # Django serves it in debug mode without a setting.
NAMES = ["Forwarded", *(f"X-Forwarded-{name}" for name in ("For", "Proto", "Host", "Port", "Prefix", "Ssl"))]
SPOOFED = {
    "Forwarded": 'for=6.6.6.6;proto=https;host=evil.localhost, for="[2001:db8::6]:6"',
    "X-Forwarded-For": "6.6.6.6, [2001:db8::6]:6, unknown, _hidden, 127.0.0.1",
    "X-Forwarded-Proto": "ftp",
    "X-Forwarded-Host": "evil.localhost",
    "X-Forwarded-Port": "666",
    "X-Forwarded-Prefix": "//evil",
    "X-Request-ID": "spoofed",
}
IN_FRONT = ["nginx.conf", "haproxy.cfg", "Caddyfile"]
ALL = [
    *((name, kind, ()) for name in IN_FRONT for kind in ("tcp", "unix")),
    *((name, "tcp", ("nginx-inner.conf",)) for name in IN_FRONT),
    ("Caddyfile", "tcp", ("haproxy-inner.cfg",)),
    ("nginx.conf", "unix", ("nginx-inner.conf",)),
    *(
        (name, "proxy", ())
        for name in ("nginx-stream.conf", "haproxy-proxy-protocol.cfg", "Caddyfile.proxy-protocol")
    ),
    ("haproxy-v1", "proxy", ()),
    ("nginx.conf", "proxy", ("haproxy-proxy-protocol.cfg",)),  # fields of nginx through a TCP proxy
]


class Site:
    """The proxies and the project; ``name`` is the outermost proxy's configuration."""

    def __init__(self, name: str, kind: str, plain: int, tls: int) -> None:
        self.name = name
        self.has_tls = name not in ("nginx-stream.conf", "Caddyfile.proxy-protocol")
        self.has_prefix = name in IN_FRONT
        self.kind = kind
        self._ports = {"http": plain, "https": tls}

    def ask(
        self, scheme: str, path: str, fields: list[tuple[str, str]] | None = None, method: str = "GET"
    ) -> http.client.HTTPResponse:
        """Ask with the Host field that a browser would send."""
        with socket.socket() as sock:
            sock.bind((CLIENT, 0))
            sock.settimeout(20)
            sock.connect(("127.0.0.1", self._ports[scheme]))
            if scheme == "https":
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                sock = context.wrap_socket(sock, server_hostname=HOST)
            lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host(scheme)}", "Connection: close"]
            lines += [f"{field}: {value}" for field, value in fields or []]
            sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            response = http.client.HTTPResponse(sock)
            response.begin()
            response.body = response.read()  # type: ignore[attr-defined]
            sock.close()
            return response

    def host(self, scheme: str) -> str:
        return f"{HOST}:{self._ports[scheme]}"

    def see(self, scheme: str, path: str, fields: list[tuple[str, str]] | None = None) -> dict[str, Any]:
        response = self.ask(scheme, path, fields)
        assert response.status == 200, response.body  # type: ignore[attr-defined]
        return dict(json.loads(response.body))  # type: ignore[attr-defined]

    @property
    def schemes(self) -> list[str]:
        return ["http", "https"] if self.has_tls else ["http"]


@pytest.fixture(scope="module", params=ALL, ids=lambda case: "-".join([case[0], case[1], *case[2]]))
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    name, kind, inner = request.param
    v1, name = name == "haproxy-v1", name.replace("haproxy-v1", "haproxy-proxy-protocol.cfg")
    for each in (name, *inner):
        if program_of(each) is None:
            missing = f"{PROGRAMS[each]}, as {each} needs it, is not installed"
            if each == "Caddyfile.proxy-protocol":  # Debian's Caddy cannot send PROXY headers.
                pytest.skip(missing)
            lacking(missing)
    folder = tmp_path_factory.mktemp("site")
    options = ["--workers", "0", "--request-id"]
    if kind == "unix":
        upstream = str(folder / "s")
        options += ["--bind", f"unix:{upstream}", "--trust", "unix,127.0.0.1"]
    else:
        options += ["--bind", "127.0.0.1:0", "--trust", "127.0.0.1"]
    if kind == "proxy":
        options += ["--proxy-protocol"]
    with ExitStack() as stack:
        program = stack.enter_context(Program(django_project(folder / "project"), "mysite.wsgi", *options))
        if kind == "unix":
            program.announcement()
        else:
            upstream = f"127.0.0.1:{program.port()}"
        for number, each in enumerate(reversed(inner)):
            plain, _ = stack.enter_context(running(each, upstream, folder / f"inner{number}"))
            upstream = f"127.0.0.1:{plain}"
        edits = (
            {"send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,unique-id,crc32c": "send-proxy"}
            if v1
            else {}
        )
        plain, tls = stack.enter_context(running(name, upstream, folder / "outer", edits))
        site = Site(name, kind, plain, tls)
        if v1:
            site.has_tls = False  # Version 1 does not tell.
        yield site


def spoofed() -> list[tuple[str, str]]:
    """Return the fields in every spelling."""
    spellings = (str, str.lower, str.upper, lambda name: name.replace("-", "_"))
    return [(spell(name), value) for name, value in SPOOFED.items() for spell in spellings]


def check(seen: dict[str, Any], site: Site, scheme: str, path: str, prefix: str = "") -> None:
    environ = seen["environ"]
    assert seen["url"] == f"{scheme}://{site.host(scheme)}{prefix}{path}"
    assert seen["secure"] == (scheme == "https")
    assert environ["REMOTE_ADDR"] == CLIENT
    assert environ["SCRIPT_NAME"] == prefix
    assert environ["SERVER_NAME"] in (HOST, "127.0.0.1")


def test_the_app_sees_the_client(site: Site) -> None:
    for scheme in site.schemes:
        check(site.see(scheme, "/seen/a?b=c"), site, scheme, "/seen/a?b=c")


def test_the_app_sees_the_prefix(site: Site) -> None:
    if not site.has_prefix:
        assert site.ask("http", "/shop/seen/a").status == 404
        return
    for scheme in site.schemes:
        check(site.see(scheme, "/shop/seen/a"), site, scheme, "/seen/a", "/shop")
        assert site.ask(scheme, "/shop/away").headers["Location"] == "/shop/seen/there"


def test_nothing_that_the_client_invents_arrives(site: Site) -> None:
    for scheme in site.schemes:
        seen = site.see(scheme, "/seen/a", spoofed())
        check(seen, site, scheme, "/seen/a")
        values = " ".join(seen["environ"].values())
        assert "evil" not in values
        assert "6.6.6.6" not in values
        assert "spoofed" not in seen["environ"]["wsgiserve.request_id"]
        if site.kind == "proxy" and site.name not in IN_FRONT:
            assert not [key for key in seen["environ"] if "FORWARDED" in key]


def test_django_s_check_of_the_origin_passes(site: Site) -> None:
    """It compares the Origin field of a form with the scheme and host that it takes for its own."""
    for scheme in site.schemes:
        response = site.ask(scheme, "/token")
        token = json.loads(response.body)["token"]  # type: ignore[attr-defined]
        cookie = response.headers["Set-Cookie"].partition(";")[0]
        fields = [("Cookie", cookie), ("X-CSRFToken", token), ("Content-Length", "0")]
        for origin, status in ((f"{scheme}://{site.host(scheme)}", 200), ("https://evil.localhost", 403)):
            assert site.ask(scheme, "/seen/a", [*fields, ("Origin", origin)], "POST").status == status


def test_the_id_that_the_proxy_makes_is_kept(site: Site) -> None:
    response = site.ask("http", "/seen/a")
    environ = json.loads(response.body)["environ"]  # type: ignore[attr-defined]
    assert response.headers["X-Request-ID"] == environ["wsgiserve.request_id"]
    if site.name in IN_FRONT:
        assert environ["HTTP_X_REQUEST_ID"] == environ["wsgiserve.request_id"]


def test_what_haproxy_tells_of_tls(site: Site) -> None:
    environ = site.see(site.schemes[-1], "/seen/a")["environ"]
    if site.name == "haproxy-proxy-protocol.cfg" and site.has_tls:
        assert environ["SSL_PROTOCOL"] == "TLSv1.3"
        assert environ["SSL_CIPHER"].startswith("TLS_")
        assert environ["SSL_CLIENT_VERIFY"] == "NONE"
        assert environ["wsgiserve.connection_id"]
    else:
        assert "SSL_PROTOCOL" not in environ
