"""The app of the comparison: it records each call, then answers with four bytes.

It records a call when it has read the whole body, or with ``whole`` false if reading raised. `application`
appends each call as a line of JSON to the file that ``$CALLS`` names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

CALLS = "CALLS"
BLOCK = 65536


@dataclass(frozen=True)
class Call:
    """The request in a call of the app; text is latin-1, `fields` are the keys that begin with HTTP_."""

    client: str
    method: str
    path: str
    query: str
    body: str = ""
    whole: bool = True
    fields: dict[str, str] = field(default_factory=dict)


def recording(record: Callable[[Call], None]) -> WSGIApplication:
    """Make the app; it calls `record` on the server's threads."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            body = b"".join(iter(lambda: environ["wsgi.input"].read(BLOCK), b""))
        except BaseException:
            record(_call(environ, b"", whole=False))
            raise
        record(_call(environ, body, whole=True))
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
        return [b"read"]

    return app


def _call(environ: WSGIEnvironment, body: bytes, whole: bool) -> Call:
    return Call(
        client=environ["REMOTE_ADDR"],
        method=environ["REQUEST_METHOD"],
        path=environ.get("PATH_INFO", ""),
        query=environ.get("QUERY_STRING", ""),
        body=body.decode("latin-1"),
        whole=whole,
        fields={name: value for name, value in environ.items() if name.startswith("HTTP_")},
    )


def _append(call: Call) -> None:
    """Append a line with one write, so that lines of several processes do not mix."""
    file = os.open(os.environ[CALLS], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, json.dumps(asdict(call)).encode() + b"\n")
    finally:
        os.close(file)


def recorded(path: Path) -> list[Call]:
    """Return the calls that `application` has recorded so far."""
    return [Call(**json.loads(line)) for line in path.read_text().splitlines()]


application = recording(_append)
