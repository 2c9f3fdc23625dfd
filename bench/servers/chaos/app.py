"""The app that is served: a request says which bytes are the right answer, so clients can check them all.

The server's folder has `notes`, a file in which each process writes the stages of its start, and `disk`,
which may be full. The field `X-Pid` tells which process answered.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from wsgiref.types import StartResponse, WSGIEnvironment

BLOCK = 16384
SLOW_SECONDS = 0.3
STAGES = ("import", "imported", "hook", "hooked")  # of a start, as they are noted

_folder = os.getcwd()


def content(seed: str, size: int) -> bytes:
    """Return `size` bytes that no other seed has."""
    digest = hashlib.sha256(seed.encode()).digest()
    return (digest * (size // len(digest) + 1))[:size]


def receipt(body: bytes) -> bytes:
    """Return the answer to an upload of this body."""
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()


def note(stage: str) -> None:
    """Write down that this process has come to a stage of its start, and stay there for a moment."""
    with open(os.path.join(_folder, "notes"), "a") as file:
        file.write(f"{stage} {os.getpid()}\n")
    time.sleep(0.02)


class Chaos:
    """The app; `/KIND/SIZE/SEED` asks for content."""

    def startup(self) -> None:
        note("hook")
        note("hooked")

    def shutdown(self) -> None:
        pass

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        _, kind, *rest = environ["PATH_INFO"].split("/")
        fields = [("Content-Type", "application/octet-stream"), ("X-Pid", str(os.getpid()))]
        if kind in ("upload", "store"):
            body = environ["wsgi.input"].read(-1)
            return _answered(start_response, fields, *(_stored(body) if kind == "store" else _took(body)))
        if kind == "slow":
            time.sleep(SLOW_SECONDS)
        data = content(rest[1], int(rest[0]))
        if kind == "stream":
            start_response("200 OK", fields)
            return _blocks(data)
        fields.append(("Content-Length", str(len(data))))
        start_response("200 OK", fields)
        if kind == "file":
            file = tempfile.TemporaryFile(dir=_folder)  # noqa: SIM115 - the server closes it
            file.write(data)
            file.seek(0)
            return environ["wsgi.file_wrapper"](file)
        return [data]


def _answered(
    start_response: StartResponse, fields: list[tuple[str, str]], status: str, body: bytes
) -> list[bytes]:
    start_response(status, [*fields, ("Content-Length", str(len(body)))])
    return [body]


def _took(body: bytes) -> tuple[str, bytes]:
    return "200 OK", receipt(body)


def _stored(body: bytes) -> tuple[str, bytes]:
    try:
        with tempfile.TemporaryFile(dir=os.path.join(_folder, "disk")) as file:
            file.write(body)
            file.flush()
            file.seek(0, io.SEEK_SET)
            return "200 OK", receipt(file.read())
    except OSError as error:
        return "507 Insufficient Storage", str(error).encode()


def _blocks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), BLOCK):
        yield data[start : start + BLOCK]
