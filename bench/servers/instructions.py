"""Count wsgiserve's bytecode instructions per request: `python -m bench.servers.instructions`.

Unlike a time, the count is the same on every machine and in every run, so it shows a change of one
instruction. Only Python frames of the package count: not the app, the standard library or code in C. Python
versions compile differently, so compare counts of one version.

The app is also the client: each call reads the answer to the previous request, and sends the next request on
the other of two connections. So one thread does everything, the server always finds the next request when it
polls, as under load, and timing has no influence. The instructions between two calls are those of one
request. The median leaves out the work that the server does once a second. A busy machine may keep a thread
waiting; then the server takes the call for a slow one and shares it among threads, which is more work. Such a
round is repeated, and the least count is taken.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import os
import platform
import socket
import statistics
import threading
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address
from pathlib import Path
from types import FrameType
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import click

import wsgiserve
from bench.harness import tables
from bench.servers.app import application
from bench.servers.scenarios import NUMBER, SCENARIOS, Headers, Load, Request, Scenario
from wsgiserve.server.scoreboard import make_board

PACKAGE = str(Path(wsgiserve.__file__).parent) + os.sep
WARM_UP = 300  # requests
COUNTED = 50  # requests after those
PATIENCE_SECONDS = 60.0
ATTEMPTS = 10

Write = Callable[[int], bytes]  # from the number of a request to its bytes


class Tracer:
    """A trace function (see `sys.settrace`) that counts the instructions of all threads in the package."""

    executed = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Tracer | None:
        if event == "opcode":
            self.executed += 1
        elif event == "call":
            if not frame.f_code.co_filename.startswith(PACKAGE):
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self


class Pump:
    """The app, and the client of the server that calls it; `marks` has the thread and count of each call."""

    def __init__(self, write: Write, requests: int) -> None:
        self.tracer = Tracer()
        self.marks: list[tuple[int, int]] = []
        self.ended = threading.Event()
        self.clients: list[socket.socket] = []
        self._write = write
        self._requests = requests

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.marks.append((threading.get_ident(), self.tracer.executed))
        number = len(self.marks)
        if number == self._requests:
            self.ended.set()
        else:
            self.send(number)
        return application(environ, start_response)

    def send(self, number: int) -> None:
        """Send a request on the connection that the request in progress does not use."""
        client = self.clients[number % 2]
        if number > 1 and not client.recv(65536).startswith(b"HTTP/1.1 200 "):
            raise ValueError("the previous answer is not a 200")
        client.sendall(self._write(number))

    @property
    def disturbed(self) -> bool:
        """Whether a call seemed slow on a busy machine: from then on the server also looks for others."""
        return len({thread for thread, _ in self.marks}) > 1

    def instructions(self, last: int) -> list[int]:
        """Return the counts of the last requests, without any during which another thread took over."""
        pairs = list(zip(self.marks, self.marks[1:], strict=False))[-last:]
        return [after - before for (thread, before), (other, after) in pairs if thread == other]


def count(
    write: Write, *, warm_up: int = WARM_UP, counted: int = COUNTED, metrics: bool = False, **options: Any
) -> float:
    """Serve requests with these options of `Server`; return the median of their instructions.

    With `metrics`, requests are counted and shown in flight as for `--ops-bind`.
    """
    # Python 3.13 traces no instructions in the first call of a function, and the event loop is in one call.
    _serve(write, 2, options, metrics)
    least = math.inf
    for attempt in range(ATTEMPTS):
        asked = attempt * (warm_up + counted)  # the server knows the lines of these requests already

        def fresh(number: int, asked: int = asked) -> bytes:
            return write(number + asked)

        pump = _serve(fresh, warm_up + counted, options, metrics)
        least = min(least, statistics.median(pump.instructions(counted)))
        if not pump.disturbed:
            break
    return least


def _serve(write: Write, requests: int, options: Mapping[str, Any], metrics: bool) -> Pump:
    pump = Pump(write, requests)
    traced = threading.gettrace()
    threading.settrace(pump.tracer)
    try:
        # The access log goes to standard output.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.ExitStack() as stack:
            server = wsgiserve.Server(pump, port=0, **options)
            if metrics:
                server.show_on(make_board())
            stack.enter_context(server)
            for _ in range(2):
                client = socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS)
                pump.clients.append(stack.enter_context(client))
            pump.send(0)
            if not pump.ended.wait(PATIENCE_SECONDS):
                raise TimeoutError("the server stopped answering")
    finally:
        threading.settrace(traced)
    return pump


_fresh = itertools.count(1)


def written(request: Request) -> Write:
    """Return the bytes of this request for each number, as wrk sends them.

    No other call has the same numbers: the server would know their lines.
    """
    start = next(_fresh) * 10**5
    fields = "".join(f"{name}: {value}\r\n" for name, value in (("Host", "localhost"), *request.headers))
    if request.body:
        fields += f"Content-Length: {request.body}\r\n"
    query = f"?number={NUMBER}" if request.targets else ""
    text = f"{request.method} {request.path}{query} HTTP/1.1\r\n{fields}\r\n{'x' * request.body}"

    def write(number: int) -> bytes:
        its = start + number % (request.targets or 10**5)
        return text.replace(NUMBER, f"{its:08}").replace(ADDRESS, str(IPv4Address(its))).encode()

    return write


# Scenarios whose requests run on a kept connection and on the thread of the event loop.
NAMES = ("minimal", "path", "id", "browser", "browser-id", "browser-path-id", "varied", "post-1k", "log")
ADDRESS = "ADDRESS"  # is another one in each request
# Behind a proxy, with its three fields; "-new" has a client each time that was never seen before.
PROXY: Headers = (
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "shop.example"),
)
PROXY_NEW: Headers = (("X-Forwarded-For", ADDRESS), *PROXY[1:])
MORE = (
    Scenario("proxy", "GET with a proxy's 3 fields, removed", Load(Request(headers=PROXY))),
    Scenario("proxy-trust", "GET with a proxy's 3 fields, --trust", Load(Request(headers=PROXY))),
    Scenario(
        "proxy-new",
        "GET with a proxy's 3 fields, a new client each time, removed",
        Load(Request(headers=PROXY_NEW)),
    ),
    Scenario(
        "proxy-trust-new",
        "GET with a proxy's 3 fields, a new client each time, --trust",
        Load(Request(headers=PROXY_NEW)),
    ),
    Scenario("request-id", "Minimal GET, --request-id"),
    Scenario("count", "Minimal GET, counted for --ops-bind"),
    Scenario("json", "Minimal GET, access log in JSON", access_log=True),
)
TRUST: Mapping[str, Any] = {"trust": "127.0.0.1"}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "proxy-trust": TRUST,
    "proxy-trust-new": TRUST,
    "request-id": {"request_id": True},
    "count": {"metrics": True},
    "json": {"log_format": "json"},
}
KINDS = {
    scenario.name: scenario for scenario in (*SCENARIOS, *MORE) if scenario in MORE or scenario.name in NAMES
}


def count_kind(name: str) -> float:
    """Count the instructions of a request of this scenario."""
    scenario = KINDS[name]
    request = scenario.load.request
    # Where targets come in turn, each has come before.
    warm_up = max(WARM_UP, request.targets + 1)
    options = OPTIONS.get(name, {})
    return count(written(request), warm_up=warm_up, access_log=scenario.access_log, **options)


@click.command()
def main() -> None:
    """Count the bytecode instructions of the server, without the app's, per request on a kept connection."""
    rows = [["", "instructions", ""]]
    for name, scenario in KINDS.items():
        rows.append([scenario.title, tables.number(count_kind(name), 0), ""])
    print("\n".join(tables.aligned(rows)))
    print(
        f"\nPython {platform.python_version()}, without the app; median of {COUNTED} requests after {WARM_UP}"
    )


if __name__ == "__main__":
    main(prog_name="python -m bench.servers.instructions")
