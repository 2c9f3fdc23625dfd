"""A server that speaks TLS, and real clients: Python, curl, openssl."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import select
import shutil
import socket
import ssl
import subprocess
import sys

import pytest
from selenium.webdriver.common.by import By

from tests.authority import Authority
from tests.lacking import lacking
from tests.protocol.cases import CASES
from tests.server.apps import checked
from tests.server.client import SECONDS, Client, get, masked, wait_until
from wsgiserve.config.binds import parse_bind
from wsgiserve.server.console import where

MIB = 1 << 20


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def serving_tls(serving, authority):
    def serving_tls(app, **options):
        defaults = {"cert": (authority.pair(),), "client_cert": "required"}
        return serving(checked(app), **{**defaults, **options})

    return serving_tls


class TLSClient(Client):
    """A client that speaks TLS."""

    def __init__(self, server, context, **options):
        super().__init__(server, **options)
        try:
            # An end without close_notify is an error.
            self.sock = context.wrap_socket(
                self.sock, server_hostname="localhost", suppress_ragged_eofs=False
            )
        except OSError:
            self.sock.close()
            raise
        self.left = b""

    def send_meanwhile(self, data):
        """Send while the response is read, on this thread: two may not use OpenSSL's state at once."""
        self.left = memoryview(data)
        self.sock.setblocking(False)

    def _receive(self, so_far):
        while self.left:
            assert any(select.select([self.sock], [self.sock], [], SECONDS))
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                self.left = self.left[self.sock.send(self.left[:16384]) :]
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return self.sock.recv(1 << 20)
        self.sock.settimeout(SECONDS)
        return super()._receive(so_far)


def echo(environ, start_response):
    """Answer with the facts about TLS, or with the size of the body."""
    names = ("wsgi.url_scheme", "HTTPS", "SERVER_PORT", "SSL_CLIENT_VERIFY", "SSL_CLIENT_S_DN")
    body = b"\n".join(f"{name}={environ.get(name, '')}".encode("latin-1") for name in names)
    if environ["REQUEST_METHOD"] == "POST":
        size, digest = 0, hashlib.sha256()
        while piece := environ["wsgi.input"].read(65536):
            size += len(piece)
            digest.update(piece)
        body = f"{size} {digest.hexdigest()}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def blocks(environ, start_response):
    """Answer with as many bytes as the query says: in a list, as a stream or as a file."""
    size = int(environ["QUERY_STRING"])
    if environ["PATH_INFO"] == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (b"x" * 50_000 for _ in range(size // 50_000))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(size))])
    return [b"x" * size]


def test_requests_on_a_kept_connection(serving_tls, authority):
    with serving_tls(echo) as server:
        assert server.url == f"https://127.0.0.1:{server.port}"
        with TLSClient(server, authority.client()) as client:
            assert client.sock.version() == "TLSv1.3"
            for _ in range(3):
                body = client.ask(get()).body.decode()
                assert body.startswith(f"wsgi.url_scheme=https\nHTTPS=on\nSERVER_PORT={server.port}\n")
            client.send(get() + get() + get(minor=0))
            assert [client.response().status for _ in range(3)] == [200] * 3
            assert client.rest() == b""  # close_notify: else it would be an error.


@pytest.mark.parametrize("path", ["/list", "/stream"])
def test_large_responses_to_a_slow_reader(serving_tls, authority, path):
    size = 8_000_000
    with (
        serving_tls(blocks) as server,
        TLSClient(server, authority.client(), receive_buffer=4096) as client,
    ):
        client.send(get(f"{path}?{size}"))
        wait_until(lambda: server.snapshot().connections == 1)
        response = client.response()
        assert response.body == b"x" * size
        assert client.ask(get(f"{path}?50000")).body == b"x" * 50_000


def test_a_file_leaves_encrypted_and_holds_no_thread(serving_tls, authority, tmp_path):
    content = os.urandom(5 * MIB + 1)
    (tmp_path / "file").write_bytes(content)

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))])
        return environ["wsgi.file_wrapper"](open(tmp_path / "file", "rb"))

    with serving_tls(app, threads=1) as server:
        clients = [TLSClient(server, authority.client(), receive_buffer=4096) for _ in range(3)]
        for client in clients:  # Nobody reads meanwhile.
            client.send(get())
        for client in reversed(clients):
            assert client.response().body == content
            client.close()


def test_uploads(serving_tls, authority):
    body = os.urandom(3 * MIB)
    expected = f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()
    with serving_tls(echo) as server, TLSClient(server, authority.client()) as client:
        assert client.ask(get(method="POST", body=body)).body == expected
        assert client.ask(get(method="POST", body=b"small")).body.startswith(b"5 ")


def test_expect_100_continue(serving_tls, authority):
    with serving_tls(echo) as server, TLSClient(server, authority.client()) as client:
        client.send(get("/", "Expect: 100-continue", "Content-Length: 5", method="POST"))
        assert client.response().status == 100
        client.send(b"hello")
        assert client.response().body.startswith(b"5 ")


def test_bodies_are_read_while_a_stream_is_sent(serving_tls, authority):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter(lambda: environ["wsgi.input"].read(65536), b"")

    body = os.urandom(2 * MIB)
    with serving_tls(app) as server, TLSClient(server, authority.client()) as client:
        client.send_meanwhile(get(method="POST", body=body))
        assert client.response("POST").body == body


def test_an_upgraded_connection_is_a_socket(serving, authority):
    """The app gets a real one, over which it speaks to the client through TLS."""

    def handler(sock, data):
        with sock, sock.makefile("rwb") as file:
            file.write(data + file.readline())
            file.flush()

    def app(environ, start_response):
        environ["wsgiserve.upgrade"]("shout", handler)
        return []

    with (
        serving(app, cert=(authority.pair(),)) as server,
        TLSClient(server, authority.client()) as client,
    ):
        client.send(get("/", "Connection: upgrade", "Upgrade: shout"))
        assert client._until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        client.send(b"hello\n")
        assert client.rest() == b"hello\n"


def test_a_call_that_is_given_up_is_answered(serving, authority, gate):
    """The answer leaves through the TLS of the thread that hangs."""

    def app(environ, start_response):
        assert gate.opened.wait(SECONDS)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"late"]

    with (
        serving(app, cert=(authority.pair(),), request_timeout=0.1) as server,
        TLSClient(server, authority.client()) as client,
    ):
        assert client.ask(get()).status == 504
        assert client.rest() == b""
        gate.opened.set()


# -- clients that misbehave


def test_a_client_that_says_nothing_holds_no_thread(serving_tls, authority, swift_sweeps):
    with serving_tls(echo, threads=1, head_timeout=0.5) as server:
        hello = hello_of(authority)
        silent = [Client(server) for _ in range(3)]
        silent[1].send(hello[:50])
        silent[2].send(hello)
        with TLSClient(server, authority.client()) as client:
            assert client.ask(get()).status == 200
            for other in silent:
                with other:
                    other.rest()  # To the end: its time is up.
            assert client.ask(get()).status == 200


def hello_of(authority):
    outgoing = ssl.MemoryBIO()
    client = authority.client().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_a_client_that_stops_in_a_record(serving_tls, authority, swift_sweeps):
    """The bytes of a record count when it is whole."""
    with serving_tls(echo, head_timeout=0.5, stall_timeout=0.5) as server:
        for begun in (b"", get(method="POST", body=b"x" * 3 * MIB)[:-MIB]):
            with contextlib.ExitStack() as stack:
                client = Client(server)
                stack.callback(client.close)
                incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
                tls = authority.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
                shake_hands(tls, client, incoming, outgoing)
                tls.write(begun + b"y" * 1000)
                client.send(outgoing.read()[:-500])
                incoming.write(client.rest())
                if begun:
                    assert tls.read(1000).startswith(b"HTTP/1.1 408 ")
        with TLSClient(server, authority.client()) as client:
            assert client.ask(get()).status == 200


def shake_hands(tls, client, incoming, outgoing):
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            client.send(outgoing.read())
            incoming.write(client.sock.recv(MIB))
        else:
            return


def test_a_client_that_leaves_without_a_word_is_no_error(serving_tls, authority, log):
    log.set_level("DEBUG", "wsgiserve")
    with serving_tls(echo) as server:
        with TLSClient(server, authority.client()) as client:
            client.ask(get())
            raw = socket.socket(fileno=os.dup(client.sock.fileno()))
            client.sock.detach()
            raw.shutdown(socket.SHUT_RDWR)
            raw.close()
        wait_until(lambda: server.snapshot().connections == 0)
    lines = [record.getMessage() for record in log.records]
    assert lines == ["127.0.0.1: it closed the connection without close_notify"]


def test_a_response_that_is_cut_is_not_announced_as_whole(serving, authority):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10")])
        return [b"short"]

    with (
        serving(app, cert=(authority.pair(),)) as server,
        TLSClient(server, authority.client()) as client,
    ):
        client.send(get())
        assert client._until(b"\r\n\r\n")
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
            client.response()


def test_plain_http_on_a_port_for_tls(serving_tls, log):
    with serving_tls(echo) as server:
        for method in ("GET", "HEAD"):
            with Client(server) as client:
                client.send(get("/shop", method=method).replace(b"Host: test", b"Host: localhost:1"))
                response = client.response()
                text = (
                    f"400 Bad Request: this port speaks https alone; use https://localhost:{server.port}/\n"
                )
                assert (response.status, response.body) == (400, text.encode())
                assert client.rest() == b""
    assert "this port speaks https alone" in log.text


def test_garbage_ends_one_connection(serving_tls, authority, log):
    with serving_tls(echo) as server:
        for data in (b"SSH-2.0-x\r\n", b"\x16\x03\x01\x00\x05hello", b"\0" * 100):
            with Client(server) as client:
                client.send(data)
                with contextlib.suppress(ConnectionResetError):
                    client.rest()
        with TLSClient(server, authority.client()) as client:
            assert client.ask(get()).status == 200
    assert [record.levelname for record in log.records] == ["INFO"] * 3


def test_old_versions_are_refused(serving_tls, authority):
    with serving_tls(echo) as server:
        for version in ("-tls1", "-tls1_1"):
            done = openssl(server, version, "-cipher", "DEFAULT:@SECLEVEL=0")
            assert "alert protocol version" in done.stderr
        for version in ("-tls1_2", "-tls1_3"):
            done = openssl(server, version, "-CAfile", authority.file)
            assert "Verify return code: 0 (ok)" in done.stdout


def openssl(server, *arguments, given="", **options):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", "localhost"]
    return subprocess.run(
        [*command, *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        **options,
    )


def test_renegotiation_is_refused(serving_tls, authority):
    with serving_tls(echo) as server:
        process = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2", "-msg"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            process.stdin.write("R\n")
            process.stdin.flush()
            output = ""
            while "no_renegotiation" not in output:
                line = process.stdout.readline()
                assert line, output
                output += line
        finally:
            process.kill()
            process.communicate()


def test_curl(serving_tls, authority):
    if shutil.which("curl") is None:
        lacking("curl is not installed")
    with serving_tls(blocks) as server:
        url = f"https://localhost:{server.port}/list?1000000"
        command = [
            "curl",
            "-sS",
            "--cacert",
            authority.file,
            "-w",
            "%{http_code} %{size_download}",
            "-o",
            "/dev/null",
        ]
        done = subprocess.run([*command, url, url], capture_output=True, text=True, timeout=30, check=False)
        assert (done.stdout.startswith("200 1000000"), done.stderr) == (True, "")


# -- scanners, tables, browsers


@pytest.mark.slow
def test_a_scanner_finds_nothing_weak(serving_tls, authority, tmp_path):
    with serving_tls(echo) as server:
        result = str(tmp_path / "result.json")
        command = [sys.executable, "-m", "sslyze", f"--json_out={result}", f"127.0.0.1:{server.port}"]
        subprocess.run(command, capture_output=True, timeout=100, check=False)
        with open(result) as file:
            [scan] = json.load(file)["server_scan_results"]
    found = {name: part["result"] for name, part in scan["scan_result"].items()}
    suites = {
        version: [
            suite["cipher_suite"]["name"]
            for suite in found[f"{version}_cipher_suites"]["accepted_cipher_suites"]
        ]
        for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3")
    }
    assert [version for version, names in suites.items() if names] == ["tls_1_2", "tls_1_3"]
    for name in suites["tls_1_2"]:
        assert "_ECDHE_" in name
        assert "_GCM_" in name or "_CHACHA20_" in name
    assert not found["heartbleed"]["is_vulnerable_to_heartbleed"]
    assert not found["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"]
    assert found["robot"]["robot_result"].startswith("NOT_VULNERABLE")
    assert not found["tls_compression"]["supports_compression"]
    assert found["session_renegotiation"]["supports_secure_renegotiation"]
    assert not found["session_renegotiation"]["is_vulnerable_to_client_renegotiation_dos"]


def answers_in_plain(port, data):
    with Client(port=port) as client:
        client.send(data)
        client.half_close()
        return masked(client.rest())


def answers_over_tls(port, data, context):
    """Send ``data`` and the end, in one go; return all that comes back."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with Client(port=port) as client:
        shake_hands(tls, client, incoming, outgoing)
        tls.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()
        client.send(outgoing.read())
        client.half_close()
        incoming.write(client.rest())
        answers = b""
        with contextlib.suppress(ssl.SSLZeroReturnError):  # The end was announced.
            while True:
                answers += tls.read(MIB)
        return masked(answers)


def test_bytes_of_the_table_are_answered_as_without_tls(serving_tls, authority):
    context = authority.client()
    binds = (parse_bind("https://127.0.0.1:0"), parse_bind("http://127.0.0.1:0"))
    cases = [case for case in CASES if not case.limits and case.data]
    with serving_tls(echo, bind=binds, hsts=0) as server:
        secure, plain = ports(server)

        def as_in_plain(raw):
            return raw.replace(b"=https\nHTTPS=on", b"=http\nHTTPS=").replace(b"%d" % secure, b"%d" % plain)

        for case in cases[::9]:
            expected = answers_in_plain(plain, case.data)
            answers = answers_over_tls(secure, case.data, context)
            assert re.sub(rb"Content-Length: \d+", b"", as_in_plain(answers)) == re.sub(
                rb"Content-Length: \d+", b"", expected
            ), case.id


@pytest.mark.slow
def test_a_browser(serving_tls, authority, browser):
    """It does not know the authority, and is told to put up with that."""

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html")])
        if environ["PATH_INFO"] == "/large":
            return [b"<p>", b"x" * (2 * MIB), b"</p>"]
        return [f"<h1>{environ['wsgi.url_scheme']}</h1>".encode()]

    with serving_tls(app) as server:
        browser.execute_cdp_cmd("Security.setIgnoreCertificateErrors", {"ignore": True})
        browser.get(f"https://localhost:{server.port}/")
        assert browser.find_element(By.TAG_NAME, "h1").text == "https"
        protocol = "return performance.getEntriesByType('navigation')[0].nextHopProtocol"
        assert browser.execute_script(protocol) == "http/1.1"
        fetches = "[1,2,3,4,5,6].map(n => fetch('/large?' + n).then(r => r.text()).then(t => t.length))"
        assert browser.execute_script(f"return Promise.all({fetches})") == [2 * MIB + 7] * 6


# -- client certificates


@pytest.mark.parametrize("mode", ["required", "optional"])
def test_client_certificates(serving_tls, authority, tmp_path, mode):
    staff = Authority(tmp_path)
    with serving_tls(echo, client_ca=staff.file, client_cert=mode) as server:
        with TLSClient(server, authority.client(staff.pair("ann.example"))) as client:
            body = client.ask(get()).body.decode()
            assert "SSL_CLIENT_VERIFY=SUCCESS" in body
            assert "SSL_CLIENT_S_DN=" in body
        if mode == "optional":
            with TLSClient(server, authority.client()) as client:
                assert b"SSL_CLIENT_VERIFY=NONE" in client.ask(get()).body
        else:
            with (
                pytest.raises((ssl.SSLError, ConnectionError)),
                TLSClient(server, authority.client()) as client,
            ):
                client.ask(get())


# -- http beside https


def ports(server):
    return [listener.port for listener in server.listeners]


def test_https_and_http_side_by_side(serving_tls, authority):
    binds = (parse_bind("https://127.0.0.1:0"), parse_bind("http://127.0.0.1:0"))
    with serving_tls(echo, bind=binds, hsts=60) as server:
        secure, plain = ports(server)
        with TLSClient(server, authority.client(), port=secure) as client:
            assert client.ask(get()).headers["strict-transport-security"] == "max-age=60"
        with Client(port=plain) as client:
            response = client.ask(get())
            assert response.body.startswith(b"wsgi.url_scheme=http\nHTTPS=\n")
            assert "strict-transport-security" not in response.headers


def test_the_app_s_own_hsts_stays(serving_tls, authority):
    def app(environ, start_response):
        fields = [("Content-Type", "text/plain"), ("strict-transport-security", "max-age=1")]
        start_response("200 OK", fields)
        return [b"hello"]

    with serving_tls(app, hsts=60) as server, TLSClient(server, authority.client()) as client:
        assert client.ask(get()).headers["strict-transport-security"] == "max-age=1"


def test_redirects_to_https(serving_tls, authority):
    with serving_tls(echo, redirect_http=(parse_bind("127.0.0.1:0"),), health_path="/health") as server:
        secure, plain = ports(server)
        assert server.listeners[1].url == f"http://127.0.0.1:{plain}"
        with Client(port=plain) as client:
            for path in ("/", "/shop/a%20b?x=1&y=%2F", "//evil.example/"):
                request = get(path, method="POST", body=b"12345").replace(
                    b"Host: test", b"Host: localhost:80"
                )
                with Client(port=plain) as other:
                    response = other.ask(request)
                assert response.status == 308
                assert response.headers["location"] == f"https://localhost:{secure}{path}"
                response = client.ask(get(path).replace(b"Host: test", b"Host: 127.0.0.1"))
                assert response.headers["location"] == f"https://127.0.0.1:{secure}{path}"
            response = client.ask(get("http://localhost/there"))
            assert response.headers["location"] == f"https://localhost:{secure}/there"
            assert client.ask(get("/health")).body == b"live\n"
            assert client.ask(get("/", "Connection: close").replace(b"test", b"localhost")).status == 308
            assert client.rest() == b""


@pytest.mark.parametrize("request_bytes", [get(), get("http://evil.example/"), get(minor=0)])
def test_nobody_is_led_elsewhere(serving_tls, request_bytes):
    redirecting = (parse_bind("127.0.0.1:0"),)
    with serving_tls(echo, redirect_http=redirecting) as server, Client(port=ports(server)[1]) as client:
        response = client.ask(request_bytes)
        assert (response.status, "location" in response.headers) == (400, False)


def test_sessions_are_resumed(serving_tls, authority):
    context = authority.client()
    with serving_tls(echo) as server:
        with TLSClient(server, context) as client:
            client.ask(get())
            session = client.sock.session
        connection = http.client.HTTPSConnection("localhost", server.port, context=context)
        raw = socket.create_connection(("127.0.0.1", server.port))
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as sock:
            assert sock.session_reused
        connection.close()


def test_the_announcement_names_https(serving_tls):
    with serving_tls(echo, redirect_http=(parse_bind("127.0.0.1:0"),)) as server:
        secure, plain = server.listeners
        line = f"Serving on {secure.url}, redirecting from {plain.url} (Ctrl+C to stop)"
        assert where(server.listeners) == line
        assert (secure.url[:8], plain.url[:7]) == ("https://", "http://")
