"""One contender as a child process: started on its own core, checked for a right answer, killed.

The child leads a session of its own, so killing it is killing that one group and nothing else. Nothing is
expected of it after its turn, and an orderly stop would take some of them seconds.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.scenarios import Request

START_SECONDS = 15.0
ANSWER_SECONDS = 10.0
LAST_WORDS = 300


class UnfitError(Exception):
    """The contender did not start, or did not answer as the scenario needs."""


@dataclass(frozen=True)
class Running:
    """A started server; `start` is the seconds from its creation to its first answer."""

    pid: int
    port: int
    start: float


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, core: int, directory: Path, log: Path) -> Iterator[Running]:
    """Start `command` on `core`, wait for its first answer, end it and its children."""
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
            _stop(process)


def check(port: int, request: Request, closes: bool) -> None:
    """Raise UnfitError unless one answer is 200, has the right bytes and, if asked to, closes."""
    try:
        response, body = _ask(port, request)
    except (OSError, http.client.HTTPException) as error:
        raise UnfitError(f"no answer: {type(error).__name__}") from error
    if response.status != 200:
        raise UnfitError(f"answered {response.status}")
    if body != request.answer:
        raise UnfitError(f"wrong body: {body[:40]!r}")
    if closes and not response.will_close:
        raise UnfitError("does not say that it closes")


def warm_up(port: int, count: int) -> None:
    """Ask for `/` so often that caches are filled and the interpreter has specialised its code."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        for _ in range(count):
            connection.request("GET", "/")
            connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        raise UnfitError(f"warming up: {type(error).__name__}") from error
    finally:
        connection.close()


def _ask(port: int, request: Request) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        body = b"x" * request.body or None
        connection.request(request.method, request.path, body, dict(request.headers))
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def _wait_for_answer(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError, http.client.HTTPException):
            _ask(port, Request())
            return
        if process.poll() is not None:
            raise UnfitError(f"did not start: {_last_words(log)}")
        time.sleep(0.001)
    raise UnfitError(f"no answer in {START_SECONDS:.0f} s: {_last_words(log)}")


def _last_words(log: Path) -> str:
    return " ".join(log.read_text(errors="replace").split())[-LAST_WORDS:]


def _stop(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def _on_core(core: int) -> Iterator[None]:
    """Have children created inside inherit `core`, from their very first instruction."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
