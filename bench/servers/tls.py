"""What TLS costs, beside granian and beside nginx in front: `python -m bench.servers.tls`.

All servers run at once, and take turns with short bursts, so that a machine that does other things too
disturbs them alike. The clients of a burst act together: if each one acted alone, the server would wait
between requests, and find the processor's caches cold. A figure is the processor time of a server's process
tree per request, the least of all rounds: what others do on a machine only adds to it. Python's `ssl` is the
client.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

import click
import trustme

from bench.harness import tables
from bench.harness.child import Cores, free_port, pick_cores, running
from bench.harness.proc import usage
from bench.servers.crowd import raise_descriptor_limit
from bench.servers.scenarios import BROWSER

MIB = 1 << 20
ROOT = str(Path(__file__).parent.parent.parent)
APP = "bench.servers.tls:application"
FILE = Path(tempfile.gettempdir()) / "wsgiserve-bench-16-mib"
NGINX = """
{user} daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 1;
events {{ worker_connections 16384; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000; keepalive_timeout 300;
    upstream app {{ server unix:{folder}/app.sock; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate {pem}; ssl_certificate_key {pem};
        location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with 14 bytes, with 1 MiB from memory, or with a file of 16 MiB."""
    path = environ["PATH_INFO"]
    if path == "/file":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(16 * MIB))])
        file = FILE.open("rb")
        wrapper = environ.get("wsgi.file_wrapper")  # granian has none.
        return iter(lambda: file.read(65536), b"") if wrapper is None else wrapper(file)
    body = LARGE if path == "/large" else b"Hello, world!\n"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


LARGE = b"x" * MIB


@dataclass
class Contender:
    """A running server; `context` is the clients', None without TLS."""

    name: str
    pid: int
    port: int
    context: ssl.SSLContext | None

    def reach(self) -> socket.socket:
        """Connect, and let the handshake of a client that was never here begin."""
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context is not None:
            sock = self.context.wrap_socket(
                sock, server_hostname="localhost", do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
            sock.setblocking(False)
            with contextlib.suppress(ssl.SSLWantReadError):
                sock.do_handshake()
            sock.setblocking(True)
        return sock

    def connect(self) -> socket.socket:
        """Return a connection that is ready."""
        sock = self.reach()
        shake_hands(sock)
        return sock


def shake_hands(sock: socket.socket) -> None:
    """End a handshake that has begun, if there is one."""
    if isinstance(sock, ssl.SSLSocket):
        sock.do_handshake()


def ask(sock: socket.socket, path: str) -> None:
    """Send a request as a browser does."""
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{FIELDS}\r\n".encode())


def read(sock: socket.socket, size: int) -> None:
    """Read an answer whose body has `size` bytes."""
    data = sock.recv(MIB)
    left = size - len(data.partition(b"\r\n\r\n")[2])
    if not data.startswith(b"HTTP/1.1 200 "):
        raise click.ClickException(f"an answer begins {data[:60]!r}")
    while left > 0:
        left -= len(sock.recv(MIB))


FIELDS = "".join(f"{name}: {value}\r\n" for name, value in BROWSER)


@contextlib.contextmanager
def connected(contender: Contender, count: int) -> Iterator[list[socket.socket]]:
    """Connect `count` clients that do the same at a time, so that the server always has work."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(contender.reach()) for _ in range(count)]
        for sock in socks:
            shake_hands(sock)
        yield socks


def get(socks: list[socket.socket]) -> None:
    """Have each client send a request, and then each one read its answer."""
    for sock in socks:
        ask(sock, "/")
    for sock in socks:
        read(sock, 14)


def kept(contender: Contender) -> float:
    """Requests of active clients on kept connections; microseconds each."""
    with connected(contender, ACTIVE) as socks:
        get(socks)
        before = usage(contender.pid).cpu
        for _ in range(125):
            get(socks)
        return (usage(contender.pid).cpu - before) / (125 * ACTIVE) * 1e6


def handshakes(contender: Contender) -> float:
    """New connections of active clients with one request each; microseconds each."""
    before = usage(contender.pid).cpu
    for _ in range(20):
        with connected(contender, ACTIVE) as socks:
            get(socks)
    return (usage(contender.pid).cpu - before) / (20 * ACTIVE) * 1e6


def transfers(path: str, size: int, count: int) -> Callable[[Contender], float]:
    def measure(contender: Contender) -> float:
        with contender.connect() as sock:
            ask(sock, path)
            read(sock, size)
            before = usage(contender.pid).cpu
            for _ in range(count):
                ask(sock, path)
                read(sock, size)
            return (usage(contender.pid).cpu - before) / count * 1e6

    return measure


def beside_silent(contender: Contender) -> float:
    """As `kept`, beside 1,000 clients that have begun a handshake, and say nothing more."""
    with contextlib.ExitStack() as stack:
        for _ in range(1000):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", contender.port)))
            sock.sendall(b"\x16\x03\x01\x02\x00\x01")
        return kept(contender)


def idle_memory(contender: Contender) -> float:
    """KiB of 5,000 connections that have had one answer, each."""
    with contextlib.ExitStack() as stack:
        # The first have it allocate what it needs in any case.
        socks = stack.enter_context(connected(contender, 50))
        get(socks)
        before = usage(contender.pid).rss
        for _ in range(IDLE):
            sock = stack.enter_context(contender.connect())
            get([sock])
            socks.append(sock)
        found = (usage(contender.pid).rss - before) / IDLE / 1024
        get(socks[::100])  # Each is still there.
        return found


ACTIVE = 16  # clients
IDLE = 5000
MEASURES: dict[str, tuple[Callable[[Contender], float], int]] = {
    "idle connection, KiB": (idle_memory, 1),  # First: later a server has memory that it has used before.
    "browser's GET, kept, µs": (kept, 1),
    "new connection and GET, µs": (handshakes, 0),
    "GET beside 1,000 silent, µs": (beside_silent, 1),
    "1 MiB from memory, µs": (transfers("/large", MIB, 40), 0),
    "16 MiB file, µs": (transfers("/file", 16 * MIB, 4), 0),
}
ONCE = {"idle connection, KiB"}


def wait_for_app(contender: Contender) -> None:
    """Wait until an answer is the app's: nginx says 502 until the server behind it has started."""
    deadline = time.monotonic() + 10
    while True:
        try:
            with contender.connect() as sock:
                return get([sock])
        except click.ClickException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextlib.contextmanager
def contenders(cores: Cores, folder: Path) -> Iterator[list[Contender]]:
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    issued = authority.issue_cert("localhost", "127.0.0.1", key_type=trustme.KeyType.ECDSA)
    pem, key = str(folder / "pair.pem"), str(folder / "key.pem")
    issued.private_key_and_cert_chain_pem.write_to_path(pem)
    issued.private_key_pem.write_to_path(key)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    ours = [sys.executable, "-m", "wsgiserve", APP, "--no-access-log", "--workers", "0"]
    ours += ["--max-connections", "10000", "--keep-alive", "300"]
    theirs = [
        *(sys.executable, "-m", "granian", "--interface", "wsgi", "--http", "1", "--workers", "1"),
        *("--no-access-log", "--host", "127.0.0.1", "--blocking-threads", "64"),
        # Else it has a place for 1,024 connections, and closes those that are idle for 30 seconds.
        *("--backlog", "16384", "--backpressure", "16384", "--http1-header-read-timeout", "60000"),
        *("--ssl-certificate", pem, "--ssl-keyfile", key),
    ]
    plain, secure, granian, proxied = (free_port() for _ in range(4))
    commands = {
        "wsgiserve, no TLS": (plain, None, [*ours, "--bind", f"127.0.0.1:{plain}"]),
        "wsgiserve": (secure, context, [*ours, "--bind", f"127.0.0.1:{secure}", "--cert", pem]),
        "granian": (granian, context, [*theirs, "--port", str(granian), APP]),
    }
    if shutil.which("nginx"):
        user = "user root;" if os.geteuid() == 0 else ""
        text = NGINX.format(folder=folder, port=proxied, pem=pem, user=user)
        (folder / "nginx.conf").write_text(text)
        both = f"{' '.join(ours)} --bind unix:{folder}/app.sock & exec nginx -c {folder}/nginx.conf"
        commands["nginx and wsgiserve"] = (proxied, context, ["sh", "-c", both])
    with contextlib.ExitStack() as stack:
        found = []
        for name, (port, clients, command) in commands.items():
            log = folder / f"{name}.log"
            child = stack.enter_context(running(command, port, cores.server, Path(ROOT), log, clients))
            found.append(Contender(name, child.pid, port, clients))
            wait_for_app(found[-1])
        yield found


def figure(measure: Callable[[Contender], float], contender: Contender) -> float:
    """Return a figure; infinity if a server ended a connection that it should have served."""
    try:
        return measure(contender)
    except (OSError, click.ClickException) as error:
        click.echo(f"{contender.name}: {error}", err=True)
        return math.inf


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Bursts of each measure and server.")
def main(rounds: int) -> None:
    """Measure what TLS costs."""
    cores = pick_cores()
    raise_descriptor_limit()
    with FILE.open("wb") as file:
        os.truncate(file.fileno(), 16 * MIB)
    with tempfile.TemporaryDirectory() as name, contenders(cores, Path(name)) as servers:
        os.sched_setaffinity(0, {cores.load})
        rows = [["", *(server.name for server in servers), "to granian"]]
        for title, (measure, digits) in MEASURES.items():
            turns = 1 if title in ONCE else rounds
            found = [[figure(measure, server) for server in servers] for _ in range(turns)]
            least = [min(column) for column in zip(*found, strict=True)]
            ratio = f"{least[1] / least[2]:.2f}"
            rows.append([title, *(tables.number(value, digits) for value in least), ratio])
        for line in tables.aligned(rows):
            click.echo(line)
    FILE.unlink()


if __name__ == "__main__":
    main()
