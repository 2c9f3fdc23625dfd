"""Files as a client sees them: through the WSGI interface, with the validator between."""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper
from wsgiref.validate import WSGIWarning, validator

import pytest

from tests.files.furnished import furnish
from tests.files.judging import Ask, Seen
from tests.files.mounts import JuiceFS, require
from wsgiserve.files import Files

Call = Callable[..., Seen]


def call(app: Any, method: str, target: str, fields: tuple[tuple[str, str], ...] = (), **more: Any) -> Seen:
    """Call a WSGI application as a server does; ``more`` goes into the environ."""
    path, _, query = target.partition("?")
    body = more.pop("body", b"")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "test",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "test",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    for name, value in fields:
        key = "HTTP_" + name.upper().replace("-", "_")
        key = key.removeprefix("HTTP_") if key in ("HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE") else key
        environ[key] = f"{environ[key]}, {value}" if key in environ else value.strip()
    if body and "CONTENT_LENGTH" not in environ:
        environ["CONTENT_LENGTH"] = str(len(body))
    environ |= more
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started[:] = status, headers
        return lambda data: None

    with contextlib.ExitStack() as warned:
        if method in ("get", "BREW"):  # The validator knows the common methods alone.
            warned.enter_context(pytest.warns(WSGIWarning, match="Unknown REQUEST_METHOD"))
        blocks = validator(app)(environ, start_response)
    try:
        content = b"".join(blocks)
    finally:
        blocks.close()
    status, headers = started
    names = [name.lower() for name, _ in headers]
    assert len(set(names)) == len(names), f"a field twice in {headers}"
    return Seen(int(status[:3]), {name.lower(): value for name, value in headers}, content)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the table, which no test changes."""
    return furnish(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="session")
def ask(folder: Path) -> Ask:
    """Send requests to ``Files`` of the folder of the table."""
    files = Files(folder)
    return lambda method, path, fields: call(files, method, path, fields)


LONG_AGO = 1_600_000_000
SECOND = 1_000_000_000


def write(path: Path, content: bytes, age: float = 3600.0) -> None:
    """Write a file that was last changed some seconds ago; the time of status change is now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    moment = time.time() - age
    os.utime(path, (moment, moment))


def get(files: Files, path: str, *fields: str) -> Seen:
    return call(files, "GET", path, tuple((n, v) for n, _, v in (line.partition(": ") for line in fields)))


@pytest.fixture(scope="session")
def juicefs(tmp_path_factory: pytest.TempPathFactory) -> JuiceFS:
    """A volume that can be mounted several times."""
    require("juicefs", "fusermount3")
    return JuiceFS(tmp_path_factory.mktemp("juicefs"))


@pytest.fixture(scope="session")
def shared_folder(juicefs: JuiceFS) -> Iterator[Path]:
    """A mount of it, with the defaults of JuiceFS."""
    with juicefs.mounted("shared") as place:
        yield place
