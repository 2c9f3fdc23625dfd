"""Start a server as a child process on a core of its own, and kill it after its turn.

The child leads its own session, so one signal to its process group ends the server and its workers, and no
other process. The signal is SIGKILL: some servers need seconds for an orderly stop.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 15.0
ANSWER_SECONDS = 10.0
LOG_TAIL = 300  # characters of the server's log in an error message


class UnfitError(Exception):
    """The server did not start, or did not answer as the scenario needs."""


@dataclass(frozen=True)
class Cores:
    """The core that the server runs on, and that of the load generator."""

    server: int
    load: int


@dataclass(frozen=True)
class Running:
    """A started server; `start` is the seconds from its creation to its first answer."""

    pid: int
    port: int
    start: float


def pick_cores() -> Cores:
    """Give the load the first allowed core, which handles most interrupts, and the server the last."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(server=allowed[-1], load=allowed[0])


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, core: int | None, directory: Path, log: Path) -> Iterator[Running]:
    """Start `command` and wait for its first answer; kill its process group after the block.

    `core` is the one that it runs on, None for all.
    """
    with log.open("wb") as output:
        began = time.perf_counter()
        with _on_core(core):
            process = subprocess.Popen(
                command,
                cwd=directory,
                env=os.environ | {"FILES_DIRECTORY": str(log.parent / "files")},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait_for_answer(process, port, log)
            yield Running(process.pid, port, time.perf_counter() - began)
        finally:
            _kill(process)


def ask(
    port: int,
    method: str = "GET",
    path: str = "/",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[http.client.HTTPResponse, bytes]:
    """Send one request on a connection of its own; return the response and its body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def _wait_for_answer(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError, http.client.HTTPException):
            ask(port)
            return
        if process.poll() is not None:
            raise UnfitError(f"did not start: {_tail(log)}")
        time.sleep(0.001)
    raise UnfitError(f"no answer in {START_SECONDS:.0f} s: {_tail(log)}")


def _tail(log: Path) -> str:
    return " ".join(log.read_text(errors="replace").split())[-LOG_TAIL:]


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def _on_core(core: int | None) -> Iterator[None]:
    """Let children that are created in the block inherit `core` from their first instruction on."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1) if core is None else {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
