"""The requests that fail when a server is stopped under load: `python -m bench.servers.drain`.

Clients of four kinds check every answer. A request fails if it was sent and gets no complete, correct answer.
A refused connection is a failure too, except in `blue`. Before a client reuses a connection it checks, as
urllib3 and nginx do, whether the server has closed it; a connection closed by then is no failure.

| stop | |
|---|---|
| blue | SIGTERM without notice: new clients come until they are refused |
| told | SIGTERM, and a second later the load balancer sends no new clients |
| late | SIGTERM a second after the last new client, as after a `preStop` hook that sleeps |
| held | at SIGTERM the kernel has accepted connections that the server has not |
| rush | as `blue`, but every client opens a connection for each request |
"""

from __future__ import annotations

import os
import random
import select
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from bench.harness.child import ROOT, UnfitError, free_port, running
from bench.harness.tables import markdown
from bench.harness.visitors import Visitors
from bench.servers import contenders as field
from bench.servers.app import HELLO

DEFAULT = "wsgiserve,gunicorn-gthread-64,granian-64"
KINDS = {"keep": 12, "think": 12, "once": 4, "slow": 4}  # clients of each
RUSH = {"once": 24}
WARM_SECONDS = 0.5  # of load before the signal
NOTICE_SECONDS = 1.0  # in which a load balancer still sends new clients
HELD = 50
END_SECONDS = 40.0
ANSWER_SECONDS = 10.0


class Load:
    """Clients that ask while ``may_come`` is set; ``seen`` counts the outcomes of their requests."""

    def __init__(self, port: int, kinds: dict[str, int] = KINDS) -> None:
        self.port = port
        self.seen: Counter[str] = Counter()
        self.may_come = True
        self.refusal_is_failure = False
        self._visitors = Visitors(self._visit, kinds)

    def start(self) -> None:
        self._visitors.start()

    def join(self) -> None:
        self._visitors.join(END_SECONDS)

    def _visit(self, kind: str, number: int) -> None:
        chance = random.Random(number)
        while self.may_come:
            try:
                sock = socket.create_connection(("127.0.0.1", self.port), ANSWER_SECONDS)
            except ConnectionResetError:
                self.seen["lost, new"] += 1
                continue
            except OSError:
                self.seen["refused"] += 1
                if self.refusal_is_failure:
                    time.sleep(0.05)
                    continue
                return
            with sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._ask_on(sock, kind, chance)

    def _ask_on(self, sock: socket.socket, kind: str, chance: random.Random) -> None:
        path = "/sleep" if kind == "slow" else "/"
        for turn in range(sys.maxsize):
            if kind == "think":
                time.sleep(chance.random() / 20)
            if select.select([sock], [], [], 0)[0]:
                return  # The server has closed the connection.
            try:
                persists = ask(sock, path, close=kind == "once")
            except (OSError, EOFError):
                self.seen["lost, kept" if turn else "lost, new"] += 1
                return
            self.seen["answered"] += 1
            if not persists:
                return


def ask(sock: socket.socket, path: str, close: bool = False) -> bool:
    """Send a request and read its answer, which must be correct; return whether the connection persists."""
    closing = "Connection: close\r\n" if close else ""
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{closing}\r\n".encode())
    return read_answer(sock) and not close


def read_answer(sock: socket.socket) -> bool:
    """Read an answer to the end of its body; return whether the connection persists."""
    data = b""
    while not data.endswith(b"\r\n\r\n" + HELLO):
        piece = sock.recv(65536)
        if not piece:
            raise EOFError
        data += piece
    if not data.startswith(b"HTTP/1.1 200 "):
        raise EOFError
    return b"\nconnection: close" not in data.lower()


def out_of_the_blue(pid: int, port: int, kinds: dict[str, int] = KINDS) -> Counter[str]:
    load = Load(port, kinds)
    load.start()
    time.sleep(WARM_SECONDS)
    os.kill(pid, signal.SIGTERM)
    load.join()
    return load.seen


def rush(pid: int, port: int) -> Counter[str]:
    return out_of_the_blue(pid, port, RUSH)


def told(pid: int, port: int) -> Counter[str]:
    load = Load(port)
    load.refusal_is_failure = True
    load.start()
    time.sleep(WARM_SECONDS)
    os.kill(pid, signal.SIGTERM)
    time.sleep(NOTICE_SECONDS)
    load.may_come = False
    load.join()
    return load.seen


def late(pid: int, port: int) -> Counter[str]:
    load = Load(port)
    load.refusal_is_failure = True
    load.start()
    time.sleep(WARM_SECONDS)
    load.may_come = False
    time.sleep(NOTICE_SECONDS)
    os.kill(pid, signal.SIGTERM)
    load.join()
    return load.seen


def held(pid: int, port: int) -> Counter[str]:
    """Suspend the server, let the kernel accept connections, then send SIGTERM and let the server go on."""
    os.killpg(pid, signal.SIGSTOP)
    seen: Counter[str] = Counter()
    clients = [socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS) for _ in range(HELD)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    os.kill(pid, signal.SIGTERM)
    os.killpg(pid, signal.SIGCONT)
    for client in clients:
        with client:
            try:
                read_answer(client)
            except (OSError, EOFError):
                seen["lost, new"] += 1
            else:
                seen["answered"] += 1
    return seen


STOPS: dict[str, Callable[[int, int], Counter[str]]] = {
    "blue": out_of_the_blue,
    "told": told,
    "late": late,
    "held": held,
    "rush": rush,
}


def outcome(pid: int) -> str:
    """Wait until a process ends, but do not reap it; return its exit code or signal."""
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        info = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if info is not None:
            return str(info.si_status) if info.si_code == os.CLD_EXITED else f"signal {info.si_status}"
        time.sleep(0.02)
    return f"none in {END_SECONDS:g} s"


def measure(
    contender: field.Contender, stop: str, delay: float, scratch: Path, options: Sequence[str] = ()
) -> tuple[Counter[str], str]:
    """Start the server, stop it under load; return the outcomes of requests, and its exit code or signal."""
    port = free_port()
    launch = field.Launch(port, "bench.servers.app:application", contender.threads, False, False, scratch)
    command = contender.command(launch)
    if contender.name == field.OURS and stop == "told":
        command += ["--drain-delay", f"{delay:g}"]
    if contender.name == field.OURS:
        command += options
    with running(command, port, max(os.sched_getaffinity(0)), ROOT, scratch / "log") as server:
        seen = STOPS[stop](server.pid, port)
        return seen, outcome(server.pid)


@click.command()
@click.option("--contenders", default=DEFAULT, show_default=True, help="Servers, separated by commas.")
@click.option("--stops", default=",".join(STOPS), show_default=True, help="Ways, separated by commas.")
@click.option("--times", default=10, show_default=True, help="Stops of each server in each way.")
@click.option("--delay", default=2.0, show_default=True, help="wsgiserve's --drain-delay in `told`.")
@click.option("--workers", default=1, show_default=True, help="wsgiserve's worker processes.")
@click.option("--preload/--no-preload", default=False, show_default=True, help="wsgiserve's option.")
def main(contenders: str, stops: str, times: int, delay: float, workers: int, preload: bool) -> None:
    """Stop servers under load and count the requests that fail."""
    options = ["--workers", str(workers)] if workers > 1 else []
    options += ["--preload"] if preload else []
    known = {contender.name: contender for contender in field.CONTENDERS}
    rows = [["server", "stop", "times", "answered", "failed", "ended with"]]
    for name in contenders.split(","):
        contender = known[name]
        version = contender.version()
        if version is None:
            click.echo(f"{name} is not installed", err=True)
            continue
        for stop in stops.split(","):
            total, ends = _several(contender, stop, times, delay, options)
            rows.append(_row(f"{name} {version}", stop, times, total, ends))
            click.echo(" | ".join(rows[-1]), err=True)
    click.echo("\n".join(markdown(rows)))


def _several(
    contender: field.Contender, stop: str, times: int, delay: float, options: Sequence[str]
) -> tuple[Counter[str], Counter[str]]:
    total: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(times):
            try:
                seen, end = measure(contender, stop, delay, Path(scratch), options)
            except UnfitError as error:
                raise click.ClickException(f"{contender.name}: {error}") from error
            total += seen
            ends[end] += 1
    return total, ends


def _row(name: str, stop: str, times: int, total: Counter[str], ends: Counter[str]) -> list[str]:
    failures = {"lost, new": "on new connections", "lost, kept": "on kept ones"}
    if stop in ("told", "late"):
        failures["refused"] = "refused"
    failed = [f"{total[key]:,} {text}" for key, text in failures.items() if total[key]]
    return [
        name,
        stop,
        str(times),
        f"{total['answered']:,}",
        ", ".join(failed) or "0",
        ", ".join(f"{end} ({count} times)" for end, count in sorted(ends.items())),
    ]


if __name__ == "__main__":
    main()
