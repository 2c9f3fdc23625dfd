"""Servers behind a balancer are replaced, or fail: ``python -m bench.servers.rollout``.

Three servers stand behind HAProxy or nginx, as ``deploy/balancers`` configures them. Clients of five kinds
check every answer. A request fails if its answer is an error, wrong or missing.

| event | |
|---|---|
| rollout | each server is replaced in turn: SIGTERM, its end, a new one, until that has answered a client |
| killed | SIGKILL to all processes of one server; it is started again a few seconds later |
| hung | SIGSTOP to all processes of one server, as a machine that hangs; later it goes on |
| slow | one server takes half a second for each answer |
"""

from __future__ import annotations

import http.client
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from wsgiref.types import StartResponse, WSGIEnvironment

import click

from bench.harness.child import ROOT, START_SECONDS, UnfitError, ask, free_port
from bench.harness.tables import markdown
from bench.harness.visitors import Visitors
from bench.servers import balancers
from bench.servers.app import HELLO
from bench.servers.app import application as plain_application

SERVERS = 3
KINDS = {"keep": 2, "think": 8, "once": 3, "post": 4, "slow": 3}  # clients of each
BODY = b"x" * 20_000
WARM_SECONDS = 0.5
ANSWER_SECONDS = 60.0
END_SECONDS = 40.0
SLUGGISH_SECONDS = 0.5
NOTICED_SECONDS = 0.4  # longer than any answer takes of a server that is well
NAME = "X-Bench-Server"


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer as ``bench.servers.app`` does, after BENCH_DELAY seconds, and name the server."""

    def named(status: str, headers: list[tuple[str, str]], *exc_info: object) -> Callable[[bytes], object]:
        return start_response(status, [*headers, (NAME, os.environ["BENCH_NAME"])])

    time.sleep(float(os.environ["BENCH_DELAY"]))
    return plain_application(environ, named)


@dataclass(frozen=True)
class Pace:
    """How fast things happen, in seconds; the values of ``deploy/balancers``, but for ``timeout``."""

    interval: float = 1.0  # between two checks of HAProxy
    drain: float = 5.0  # --drain-delay
    timeout: float = 5.0  # for an answer; 30 there
    trouble: float = 10.0  # that a server stays killed, hung or slow

    def edits(self, balancer: str) -> dict[str, str]:
        """Return what changes in a configuration."""
        if balancer == "nginx":
            return {"proxy_read_timeout 30s": f"proxy_read_timeout {self.timeout:g}s"}
        return {
            "inter 1s": f"inter {self.interval * 1000:.0f}ms",
            "timeout server 30s": f"timeout server {self.timeout:g}s",
        }


@dataclass
class Seen:
    """What the clients saw."""

    answers: Counter[str] = field(default_factory=Counter)  # by server
    failures: Counter[str] = field(default_factory=Counter)  # "GET 502", "POST cut"
    longest: float = 0.0
    noticed: int = 0  # answers that took longer than NOTICED_SECONDS

    def add(self, server: str, seconds: float) -> None:
        self.answers[server] += 1
        self.longest = max(self.longest, seconds)
        self.noticed += seconds > NOTICED_SECONDS


class Load:
    """Clients of a balancer; they ask until ``stop``."""

    def __init__(self, port: int, kinds: Mapping[str, int]) -> None:
        self.seen = Seen()
        self._port = port
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._visitors = Visitors(self._visit, kinds)

    def start(self) -> None:
        self._visitors.start()

    def stop(self) -> None:
        self._stopped.set()
        if not self._visitors.join(END_SECONDS):
            raise UnfitError("a client waits for an answer without end")

    def wait_for(self, server: str) -> None:
        """Wait until the server has answered a client."""
        deadline = time.monotonic() + START_SECONDS
        while not self.seen.answers[server]:
            if time.monotonic() > deadline:
                raise UnfitError(f"server {server} gets no requests")
            time.sleep(0.01)

    def _visit(self, kind: str, number: int) -> None:
        chance = random.Random(f"{kind} {number}")
        connection = None
        while not self._stopped.is_set():
            if kind in ("think", "post"):
                time.sleep(chance.random() / 20)
            if connection is not None and _is_closed(connection):
                connection.close()
                connection = None
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_SECONDS)
            persists = self._ask(connection, kind)
            if not persists or kind == "once":
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection, kind: str) -> bool:
        """Ask once; return whether the connection persists."""
        method, path, wanted = {
            "post": ("POST", "/post", b"%d" % len(BODY)),
            "slow": ("GET", "/sleep", HELLO),
        }.get(kind, ("GET", "/", HELLO))
        began = time.monotonic()
        try:
            connection.request(method, path, BODY if method == "POST" else None)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            with self._lock:
                self.seen.failures[f"{method} cut"] += 1
            return False
        with self._lock:
            if (response.status, body) == (200, wanted):
                self.seen.add(response.headers[NAME], time.monotonic() - began)
            else:
                self.seen.failures[f"{method} {response.status}"] += 1
        return not response.will_close


def _is_closed(connection: http.client.HTTPConnection) -> bool:
    return connection.sock is not None and bool(select.select([connection.sock], [], [], 0)[0])


class Fleet:
    """The servers, each as processes of a group of their own; ``names`` are those of the running ones."""

    def __init__(
        self,
        drain: float,
        scratch: Path,
        app: str = "bench.servers.rollout:application",
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.ports = [free_port() for _ in range(SERVERS)]
        self.names = [""] * SERVERS
        self._drain = drain
        self._scratch = scratch
        self._app = app
        self._environ = os.environ | environ
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * SERVERS
        self._starts = 0

    def start(self, number: int) -> str:
        """Start a server, wait until it is ready, and return its name."""
        self.launch(number)
        self.wait_until_ready(number)
        return self.names[number]

    def launch(self, number: int, delay: float = 0.0) -> None:
        """Start a server whose app takes ``delay`` seconds for each answer."""
        self._starts += 1
        name = f"{number}-{self._starts}"
        command = [sys.executable, "-m", "wsgiserve", self._app]
        command += ["--bind", f"127.0.0.1:{self.ports[number]}", "--trust", "127.0.0.1", "--no-access-log"]
        command += ["--health-path", "/healthz", "--drain-delay", f"{self._drain:g}"]
        with (self._scratch / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self._environ | {"BENCH_NAME": name, "BENCH_DELAY": str(delay)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes[number] = process
        self.names[number] = name

    def wait_until_ready(self, number: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process(number).poll() is None:
            with suppress(OSError, http.client.HTTPException):
                response, _ = ask(self.ports[number], path="/healthz/ready")
                if response.status == 200:
                    return
            time.sleep(0.01)
        raise UnfitError(f"server {number} is not ready: {self._log(number)}")

    def signal(self, number: int, what: signal.Signals) -> None:
        """Send a signal to all processes of a server."""
        os.killpg(self._process(number).pid, what)

    def stop(self, number: int) -> None:
        """Have a server end as an orchestrator does, and wait until it has; its exit code must be 0."""
        process = self._process(number)
        process.terminate()
        if code := process.wait(END_SECONDS):
            raise UnfitError(f"server {number} ended with {code}: {self._log(number)}")

    def reap(self, number: int) -> None:
        """Wait for the end of a server that was killed."""
        self._process(number).wait(END_SECONDS)

    def _process(self, number: int) -> subprocess.Popen[bytes]:
        process = self._processes[number]
        assert process is not None
        return process

    def _log(self, number: int) -> str:
        return (self._scratch / f"{self.names[number]}.log").read_text(errors="replace")[-500:]

    def end(self) -> None:
        for process in self._processes:
            if process is not None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(END_SECONDS)


@dataclass(frozen=True)
class Site:
    """The servers behind a balancer, with clients."""

    fleet: Fleet
    load: Load
    pace: Pace


def rollout(site: Site) -> None:
    for number in range(SERVERS):
        site.fleet.stop(number)
        site.load.wait_for(site.fleet.start(number))


def killed(site: Site) -> None:
    site.fleet.signal(1, signal.SIGKILL)
    site.fleet.reap(1)
    time.sleep(site.pace.trouble)
    site.load.wait_for(site.fleet.start(1))


def hung(site: Site) -> None:
    site.fleet.signal(1, signal.SIGSTOP)
    time.sleep(site.pace.trouble)
    before = site.load.seen.answers[site.fleet.names[1]]
    site.fleet.signal(1, signal.SIGCONT)
    deadline = time.monotonic() + START_SECONDS
    while site.load.seen.answers[site.fleet.names[1]] == before:
        if time.monotonic() > deadline:
            raise UnfitError("the server that hung gets no requests any more")
        time.sleep(0.01)


def slow(site: Site) -> None:
    time.sleep(site.pace.trouble)


EVENTS: dict[str, Callable[[Site], None]] = {
    "rollout": rollout,
    "killed": killed,
    "hung": hung,
    "slow": slow,
}


def measure(
    balancer: str, event: str, pace: Pace, scratch: Path, kinds: Mapping[str, int] = MappingProxyType(KINDS)
) -> Seen:
    """Let an event happen to a server of three behind a balancer; return what the clients saw."""
    with _site(balancer, pace, scratch, SLUGGISH_SECONDS if event == "slow" else 0.0) as (fleet, port):
        site = Site(fleet, Load(port, kinds), pace)
        site.load.start()
        try:
            time.sleep(WARM_SECONDS)
            EVENTS[event](site)
            time.sleep(WARM_SECONDS)
        finally:
            site.load.stop()
        return site.load.seen


@contextmanager
def _site(balancer: str, pace: Pace, scratch: Path, delay: float) -> Iterator[tuple[Fleet, int]]:
    fleet = Fleet(pace.drain, scratch)
    with ExitStack() as stack:
        stack.callback(fleet.end)
        for number in range(SERVERS):
            fleet.launch(number, delay if number == 1 else 0.0)
        for number in range(SERVERS):
            fleet.wait_until_ready(number)
        port = free_port()
        stack.enter_context(
            balancers.running(balancer, port, fleet.ports, scratch / balancer, pace.edits(balancer))
        )
        yield fleet, port


@click.command()
@click.option("--balancers", "names", default="haproxy,nginx", show_default=True, help="Separated by commas.")
@click.option("--events", default=",".join(EVENTS), show_default=True, help="Separated by commas.")
@click.option("--times", default=1, show_default=True, help="How often each happens.")
def main(names: str, events: str, times: int) -> None:
    """Replace, kill, suspend and slow down servers behind a balancer; count what clients notice."""
    rows = [
        ["balancer", "event", "times", "answered", "failed", f"took over {NOTICED_SECONDS:g} s", "longest"]
    ]
    for balancer in names.split(","):
        for event in events.split(","):
            seen = []
            for _ in range(times):
                with tempfile.TemporaryDirectory() as scratch:
                    try:
                        seen.append(measure(balancer, event, Pace(), Path(scratch)))
                    except UnfitError as error:
                        raise click.ClickException(f"{balancer}: {error}") from error
            rows.append(row(balancer, event, seen))
            click.echo(" | ".join(rows[-1]), err=True)
    click.echo("\n".join(markdown(rows)))


def row(balancer: str, event: str, seen: list[Seen]) -> list[str]:
    """Return the row of the table for all times that an event happened."""
    failures: Counter[str] = sum((each.failures for each in seen), Counter())
    return [
        balancer,
        event,
        str(len(seen)),
        f"{sum(each.answers.total() for each in seen):,}",
        ", ".join(f"{count} {kind}" for kind, count in sorted(failures.items())) or "0",
        f"{sum(each.noticed for each in seen):,}",
        f"{max(each.longest for each in seen):.2f} s",
    ]


if __name__ == "__main__":
    main()
