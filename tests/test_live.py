"""The demo under four servers: the same requests, the same answers."""

from __future__ import annotations

import hashlib
import http.client
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).parent.parent

WSGIREF = """
from wsgiref.simple_server import make_server
from tests.validated import application
server = make_server("127.0.0.1", 0, application)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""

COMMANDS = {
    "wsgiserve": ["-m", "wsgiserve", "app:application", "--bind", "127.0.0.1:0"],
    "app.run": ["app.py", "--bind", "127.0.0.1:0"],
    "wsgiserve-validated": ["-m", "wsgiserve", "tests.validated", "--bind", "127.0.0.1:0"],
    "gunicorn": ["-m", "gunicorn", "tests.validated:application", "--bind", "127.0.0.1:0", "--threads", "4"],
    "waitress": ["-m", "waitress", "--listen=127.0.0.1:0", "tests.validated:application"],
    "wsgiref": ["-c", WSGIREF],
}


@dataclass
class Live:
    """A server in a process of its own, and the folder of the demo's files."""

    port: int
    folder: Path
    name: str

    def request(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            chunked = headers.pop("chunked", "") == "yes"
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, fields, encode_chunked=chunked)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return response.status, names, response.read()
        finally:
            connection.close()


QUICK = "wsgiserve-validated"


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[] if name == QUICK else pytest.mark.slow) for name in COMMANDS],
)
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("live") / "files"
    environment = os.environ | {"FILES_DIRECTORY": str(folder), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, *COMMANDS[request.param]],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield Live(announced_port(process.stdout), folder, request.param)
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def announced_port(output: IO[str]) -> int:
    """Read a server's output for its URL, and go on reading so that it never waits for us."""
    found: queue.Queue[int | None] = queue.Queue()

    def read() -> None:
        for line in output:
            match = re.search(r"http://127\.0\.0\.1:([1-9][0-9]+)", line)
            if match:
                found.put(int(match[1]))
        found.put(None)

    threading.Thread(target=read, daemon=True).start()
    port = found.get(timeout=30)
    assert port is not None, "the server ended without telling its port"
    return port


def test_the_page_shows_the_endpoints(live: Live) -> None:
    status, headers, body = live.request("GET", "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert f"http://127.0.0.1:{live.port}/echo/hello".encode() in body


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/echo/hello", "hello"),
        ("/echo/", ""),
        ("/echo/a/b//c/", "a/b//c/"),
        ("/echo/a%20b%2Fc", "a b/c"),
        ("/echo/gr%C3%BC%C3%9Fe-%F0%9F%8D%80", "grüße-🍀"),
    ],
)
def test_echo_says_back_what_follows(live: Live, path: str, text: str) -> None:
    status, headers, body = live.request("GET", path)
    assert (status, headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert body == text.encode()
    assert headers["content-length"] == str(len(body))


def test_user_agent_is_the_header(live: Live) -> None:
    assert live.request("GET", "/user-agent", User_Agent="MyCustomAgent")[2] == b"MyCustomAgent"
    status, _, body = live.request("GET", "/user-agent")
    assert (status, body) == (200, b"")


@pytest.mark.parametrize(
    "content",
    [b"", b"text\n", bytes(range(256)), os.urandom(3 << 20)],
    ids=["empty", "text", "binary", "3-MiB"],
)
def test_a_file_comes_back_byte_for_byte(live: Live, content: bytes) -> None:
    path = f"/files/{hashlib.sha256(content).hexdigest()[:8]}"
    status, headers, _ = live.request("POST", path, content)
    assert (status, headers["location"]) == (201, path)
    status, headers, body = live.request("GET", path)
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    assert body == content
    assert live.request("POST", path, b"other")[0] == 200
    assert live.request("GET", path)[2] == b"other"


def test_a_chunked_upload_is_kept_or_refused_never_lost(live: Live) -> None:
    def upload() -> int:
        pieces = iter([b"one ", b"two"])
        return live.request("POST", "/files/chunked", pieces, chunked="yes", Transfer_Encoding="chunked")[0]

    if live.name == "wsgiref":  # It cannot tell the end of such a body, and hangs up while it still comes.
        try:
            assert upload() == 411
        except ConnectionError:
            pass
        assert live.request("GET", "/files/chunked")[0] == 404
    else:
        assert upload() == 201
        assert live.request("GET", "/files/chunked")[2] == b"one two"


@pytest.mark.parametrize(
    "name",
    ["../secret", "%2e%2e/secret", "..%2fsecret", "..%5csecret", "%2fetc%2fpasswd", "a%00b", "link"],
)
def test_nothing_outside_the_folder_is_reached(live: Live, name: str) -> None:
    live.request("POST", "/files/made", b"the folder exists")
    secret = live.folder.parent / "secret"
    secret.write_bytes(b"secret")
    if not (live.folder / "link").is_symlink():
        (live.folder / "link").symlink_to(secret)
    assert live.request("GET", f"/files/{name}")[0] == 404
    assert live.request("POST", f"/files/{name}", b"changed")[0] == 400
    assert secret.read_bytes() == b"secret"


def test_head_is_get_without_a_body(live: Live) -> None:
    status, headers, body = live.request("HEAD", "/echo/hello")
    assert (status, headers["content-length"], body) == (200, "5", b"")


def test_a_wrong_method_is_405_with_what_is_allowed(live: Live) -> None:
    status, headers, _ = live.request("DELETE", "/echo/hello")
    assert (status, headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert live.request("OPTIONS", "/echo/hello")[:1] == (204,)


def test_a_missing_page_is_404(live: Live) -> None:
    assert live.request("GET", "/nothing/here")[0] == 404
