"""The PROXY header at a real server: how it arrives, who may send it, and what the app sees of it.

``protocol/test_proxy.py`` has the headers themselves.
"""

from __future__ import annotations

import socket
import struct

import pytest

from tests.authority import Authority
from tests.protocol.test_proxy import V4, binary, fact, tls
from tests.server.client import SECONDS, Client, get, wait_until
from tests.server.http.bodies import Recorder
from wsgiserve.config.binds import parse_bind
from wsgiserve.protocol.forwarded import peer_name
from wsgiserve.protocol.proxy import SIGNATURE
from wsgiserve.server.sockets.greeting import Greetings

LINE = b"PROXY TCP4 192.0.2.1 198.51.100.2 50000 443\r\n"
PROXIED = {"trust": "127.0.0.1", "proxy_protocol": True}


def address(environ):
    return tuple(environ.get(name) for name in ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT"))


@pytest.fixture
def recorder():
    return Recorder()


def closed(client):
    """Whether the server closes without an answer."""
    try:
        return client.sock.recv(100) == b""
    except ConnectionResetError:  # Bytes of the client were not read.
        return True


def refusals(log):
    return [record.getMessage() for record in log.records if ": closed, " in record.getMessage()]


@pytest.mark.parametrize("header", [LINE, binary()], ids=["v1", "v2"])
@pytest.mark.parametrize("pieces", ["whole", "header alone", "byte by byte"])
def test_the_app_sees_the_client(serving, recorder, header, pieces):
    with serving(recorder, **PROXIED) as server, Client(server) as client:
        if pieces == "byte by byte":
            for byte in header:
                client.send(bytes([byte]))
        elif pieces == "header alone":
            client.send(header)
            wait_until(lambda: server.snapshot().connections == 1)
        else:
            client.send(header + get("/one"))
        if pieces != "whole":
            client.send(get("/one"))
        assert client.response().status == 200
        assert client.ask(get("/two")).status == 200
    assert [address(environ) for environ in recorder.environs] == [
        ("192.0.2.1", "50000", "198.51.100.2", "443")
    ] * 2
    assert recorder.environs[0]["wsgiserve.forwarded"] == "proxy protocol"


def test_a_destination_that_is_not_told(serving, recorder):
    """As Caddy does not tell it."""
    header = binary((("192.0.2.1", 50000), ("0.0.0.0", 0)))
    with serving(recorder, **PROXIED) as server, Client(server) as client:
        client.send(header)
        client.ask(get())
        port = server.port
    assert address(recorder.environs[0]) == ("192.0.2.1", "50000", "127.0.0.1", str(port))


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", binary(b"", command=0), binary(b"")])
def test_a_connection_of_the_proxy_itself(serving, recorder, header):
    """A health check: the peer is the trusted proxy, whose fields count."""
    with serving(recorder, **PROXIED) as server, Client(server) as client:
        client.send(header)
        client.ask(get("/", "X-Forwarded-For: 192.0.2.7"))
        client.ask(get("/"))
    assert [environ["REMOTE_ADDR"] for environ in recorder.environs] == ["192.0.2.7", "127.0.0.1"]


def test_fields_count_if_the_client_that_the_header_names_is_trusted(serving, recorder):
    options = {**PROXIED, "trust": "127.0.0.1,192.0.2.1"}
    for source in ("192.0.2.1", "192.0.2.2"):
        header = binary(((source, 50000), ("198.51.100.2", 443)))
        with serving(recorder, **options) as server, Client(server) as client:
            client.send(header)
            client.ask(get("/", "X-Forwarded-For: 203.0.113.9"))
    assert [environ["REMOTE_ADDR"] for environ in recorder.environs] == ["203.0.113.9", "192.0.2.2"]
    assert "HTTP_X_FORWARDED_FOR" not in recorder.environs[1]


def test_what_a_proxy_says_of_tls(serving, recorder):
    header = binary(
        V4,
        fact(2, b"shop.example"),
        fact(5, b"id-\xe9"),
        tls(7, 0, fact(0x21, b"TLSv1.3"), fact(0x23, b"TLS_AES_128_GCM_SHA256"), fact(0x22, b"ann")),
    )
    with serving(recorder, **PROXIED) as server, Client(server) as client:
        client.send(header)
        client.ask(get())
    expected = {
        "wsgi.url_scheme": "https",
        "HTTPS": "on",
        "SSL_PROTOCOL": "TLSv1.3",
        "SSL_CIPHER": "TLS_AES_128_GCM_SHA256",
        "SSL_CLIENT_VERIFY": "SUCCESS",
        "SSL_CLIENT_S_DN_CN": "ann",
        "SSL_TLS_SNI": "shop.example",
        "wsgiserve.connection_id": "id-\xe9",
    }
    assert {name: recorder.environs[0].get(name) for name in expected} == expected


def test_where_we_end_tls_ourselves_all_facts_are_about_that(serving, recorder, tmp_path):
    """Else a certificate of the proxy that we checked would stand beside the name in its client's."""
    authority = Authority(tmp_path)
    header = binary(
        V4, fact(2, b"other.example"), fact(5, b"id"), tls(7, 0, fact(0x21, b"TLSv1.1"), fact(0x22, b"ann"))
    )
    options = {**PROXIED, "cert": (authority.pair(),), "client_ca": authority.file, "client_cert": "optional"}
    with serving(recorder, **options) as server, socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(header)
        with authority.client().wrap_socket(sock, server_hostname="localhost") as client:
            client.sendall(get())
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
    (environ,) = recorder.environs
    assert {name for name in environ if name.startswith("SSL_")} == {"SSL_CLIENT_VERIFY"}
    assert environ["SSL_CLIENT_VERIFY"] == "NONE"
    assert (environ["HTTPS"], environ["wsgiserve.connection_id"]) == ("on", "id")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (get(), "no PROXY header"),
        (b"\x16\x03\x01\x02\x00", "no PROXY header"),
        (LINE.replace(b"443", b"99999") + get(), "a PROXY line with a malformed port"),
        (SIGNATURE + b"\x31\x11\0\0", "a PROXY header of another version than 2, or with an unknown command"),
    ],
)
def test_a_peer_that_sends_none_is_closed(serving, recorder, log, sent, reason):
    with serving(recorder, **PROXIED) as server:
        with Client(server) as client:
            client.send(sent)
            assert closed(client)
        wait_until(lambda: refusals(log))
        with Client(server) as client:
            assert client.ask(LINE + get()).status == 200
    assert refusals(log) == [f"127.0.0.1: closed, {reason}"]
    assert len(recorder.environs) == 1


def test_a_peer_that_is_not_trusted_is_closed(serving, recorder, log):
    with serving(recorder, **{**PROXIED, "trust": "10.0.0.0/8"}) as server, Client(server) as client:
        assert closed(client)
        wait_until(lambda: server.snapshot().connections == 0)
    assert len(refusals(log)) == 1
    assert "is none of them" in refusals(log)[0]
    assert not recorder.environs


def test_a_peer_that_only_looks_whether_somebody_listens_is_no_line_in_the_log(serving, recorder, log):
    with serving(recorder, **PROXIED) as server:
        with Client(server):
            wait_until(lambda: server.snapshot().connections == 1)
        wait_until(lambda: server.snapshot().connections == 0)
        with Client(server) as client:
            client.send(LINE[:10])
            client.half_close()
            assert closed(client)
    assert refusals(log) == ["127.0.0.1: closed, the PROXY header is incomplete"]


@pytest.mark.usefixtures("swift_sweeps")
def test_the_header_has_the_time_of_a_head(serving, recorder, log):
    with serving(recorder, **PROXIED, head_timeout=0.05) as server, Client(server) as client:
        client.send(LINE[:10])
        assert closed(client)
        wait_until(lambda: server.snapshot().connections == 0)
    assert refusals(log) == ["127.0.0.1: closed, the PROXY header did not arrive in time"]


def test_a_server_stops_although_a_header_is_missing(serving, recorder):
    with serving(recorder, **PROXIED, graceful_timeout=SECONDS * 3) as server, Client(server) as client:
        client.send(LINE[:10])
        wait_until(lambda: server.snapshot().connections == 1)
        server.stop()
        assert closed(client)


def test_waiting_connections_count(serving, recorder):
    with serving(recorder, **PROXIED, max_connections=1) as server, Client(server) as first:
        wait_until(lambda: server.snapshot().connections == 1)
        with Client(server) as second:
            second.send(LINE + get())
            first.close()
            assert second.response().status == 200


def test_peers_on_a_unix_socket(tmp_path, serving, recorder):
    path = str(tmp_path / "s")
    with (
        serving(recorder, **{**PROXIED, "trust": "unix"}, bind=(parse_bind(f"unix:{path}"),)),
        socket.socket(socket.AF_UNIX) as sock,
    ):
        sock.settimeout(SECONDS)
        sock.connect(path)
        sock.sendall(LINE + get("/", "Connection: close"))
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
    assert recorder.environs[0]["REMOTE_ADDR"] == "192.0.2.1"


def test_tls_follows_the_header(tmp_path, serving, recorder):
    """The proxy hands on a TLS connection that ends here; its header stands before the handshake."""
    authority = Authority(tmp_path)
    with (
        serving(recorder, **PROXIED, cert=(authority.pair(),)) as server,
        socket.create_connection(("127.0.0.1", server.port), SECONDS) as sock,
    ):
        sock.sendall(LINE)
        with authority.client().wrap_socket(sock, server_hostname="localhost") as secure:
            secure.sendall(get("/", "Connection: close"))
            assert secure.recv(100).startswith(b"HTTP/1.1 200 ")
    environ = recorder.environs[0]
    assert address(environ) == ("192.0.2.1", "50000", "198.51.100.2", "443")
    assert (environ["wsgi.url_scheme"], environ["HTTPS"]) == ("https", "on")


@pytest.mark.parametrize(
    ("peer", "name"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("::ffff:192.0.2.1", 5, 0, 0), "192.0.2.1"),
        ("", "unix"),
        (b"", "unix"),
    ],
)
def test_the_name_of_a_peer(peer, name):
    assert peer_name(peer) == name


class Listening:
    """A poller that notes what is watched."""

    def __init__(self):
        self.watched = set()

    def watch(self, fd, before, events):
        self.watched.add(fd)

    def forget(self, fd):
        self.watched.remove(fd)


def test_only_the_bytes_of_the_header_are_taken():
    """What is behind it may be TLS, for somebody else to read."""
    poller, added, closings = Listening(), [], []
    greetings = Greetings(
        poller,
        lambda peer: True,
        10,
        lambda *facts: added.append(facts),
        pytest.fail,
        lambda: closings.append(1),
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        greetings.add(theirs, "localhost", 80, "")
        assert (poller.watched, len(greetings)) == ({theirs.fileno()}, 1)
        header = binary(V4, fact(4, bytes(300)))
        ours.sendall(header[:200])
        greetings.read(theirs.fileno())
        ours.sendall(header[200:] + b"\x16\x03\x01")
        greetings.read(theirs.fileno())
        assert theirs.recv(100) == b"\x16\x03\x01"
    assert (poller.watched, len(greetings), closings) == (set(), 0, [])
    assert added[0][1:4] == (*V4[1], V4[0])


def test_a_peer_that_resets_the_connection(serving, recorder):
    with serving(recorder, **PROXIED) as server:
        with Client(server) as client:
            wait_until(lambda: server.snapshot().connections == 1)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_until(lambda: server.snapshot().connections == 0)
        with Client(server) as client:
            assert client.ask(LINE + get()).status == 200
