"""Uploads that go on after a crash: real processes that are killed, clients that vanish or are slow."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from tests.files.seaweed import Seaweed, free_ports
from tests.program import ROOT, Program
from tests.server.client import wait_until
from wsgiserve.files import Files, Store
from wsgiserve.files.uploads import HOME

MIB = 1024 * 1024
MARK = {"Tus-Resumable": "1.0.0"}
DISK = """
from wsgiserve import App
app = App()
app.files("/inbox", "inbox", upload=True)
"""
OBJECTS = """
import os
from wsgiserve import App
from wsgiserve.files import Files
app = App()
app.mount("/inbox", Files(store=os.environ["BUCKET"], upload=True))
"""


@contextmanager
def workers(folder: Path, port: int, env: dict[str, str] | None = None) -> Iterator[Program]:
    """Serve with two workers; all of them are killed at the end, without a goodbye."""
    arguments = ("app:app", "--workers", "2", "--bind", f"127.0.0.1:{port}")
    with Program(folder, *arguments, env=env or {}, start_new_session=True) as program:
        try:
            assert program.port() == port
            yield program
        finally:
            os.killpg(program.process.pid, signal.SIGKILL)


def ask(port: int, method: str, url: str, fields: dict[str, str], body: bytes = b"") -> HTTPResponse:
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, url, body, MARK | fields)
        response = connection.getresponse()
        response.read()
        return response


def begin(port: int, name: str, length: int) -> str:
    made = ask(port, "POST", f"/inbox/{name}", {"Upload-Length": str(length)})
    assert made.status == 201
    return made.headers["Location"]


def offset(port: int, url: str) -> int:
    return int(ask(port, "HEAD", url, {}).headers["Upload-Offset"])


def add(port: int, url: str, at: int, body: bytes) -> int:
    fields = {"Upload-Offset": str(at), "Content-Type": "application/offset+octet-stream"}
    return ask(port, "PATCH", url, fields, body).status


@contextmanager
def slow_patch(port: int, url: str, at: int, length: int, body: bytes) -> Iterator[socket.socket]:
    """Send the head of a PATCH and the first bytes of its body; the rest does not come."""
    lines = (
        f"PATCH {url} HTTP/1.1", "Host: test", "Tus-Resumable: 1.0.0", f"Upload-Offset: {at}",
        "Content-Type: application/offset+octet-stream", f"Content-Length: {length}", "", "",
    )  # fmt: skip
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall("\r\n".join(lines).encode() + body)
        yield client


@pytest.mark.slow
def test_the_recipe_by_curl_survives_killed_servers(tmp_path: Path) -> None:
    recipe = re.findall(r"```sh\n(file=film.*?)```", (ROOT / "docs/files.md").read_text(), re.DOTALL)[0]
    content = os.urandom(48 * MIB)
    (tmp_path / "app.py").write_text(DISK)
    (tmp_path / "film.mp4").write_bytes(content)
    (tmp_path / ".curlrc").write_text("limit-rate = 24M\n")
    [port] = free_ports(1)
    script = recipe.replace("localhost:8000", f"127.0.0.1:{port}").replace("sleep 1", "sleep 0.1")
    environment = os.environ | {"CURL_HOME": str(tmp_path)}

    def has(count: int) -> bool:
        sizes = [path.stat().st_size for path in (tmp_path / "inbox" / HOME).glob("?" * 32)]
        return bool(sizes) and sizes[0] >= count

    with workers(tmp_path, port):
        client = subprocess.Popen(["sh", "-c", script], cwd=tmp_path, env=environment)
        wait_until(lambda: has(5 * MIB))
    assert not (tmp_path / "inbox" / "film.mp4").exists()
    with workers(tmp_path, port):
        wait_until(lambda: has(25 * MIB))
    with workers(tmp_path, port):
        assert client.wait(60) == 0
    assert (tmp_path / "inbox" / "film.mp4").read_bytes() == content


@pytest.mark.slow
def test_another_server_on_the_bucket_goes_on(seaweed: Seaweed, bucket: str, tmp_path: Path) -> None:
    content = os.urandom(30 * MIB)
    (tmp_path / "app.py").write_text(OBJECTS)
    url = f"s3://{bucket}/{secrets.token_hex(4)}"
    env = seaweed.variables() | {"BUCKET": url}
    first, second = free_ports(2)
    store = seaweed.store(url)
    with workers(tmp_path, first, env):
        place = begin(first, "film.mp4", len(content))
        token = place.rpartition("/")[2]
        assert add(first, place, 0, content[: 3 * MIB]) == 204
        with slow_patch(first, place, 3 * MIB, 27 * MIB, content[3 * MIB : 23 * MIB]):
            wait_until(lambda: store.uploads.find(token).offset >= 19 * MIB)
    with workers(tmp_path, second, env):
        at = offset(second, place)
        assert 19 * MIB <= at <= 23 * MIB
        assert add(second, place, at, content[at:]) == 204
        assert offset(second, place) == len(content)
    with closing(store.open("film.mp4")) as stored:
        assert b"".join(stored.blocks(0, stored.size)) == content


@pytest.mark.slow
def test_the_bytes_of_a_client_that_resets_its_connection_are_kept(tmp_path: Path) -> None:
    from wsgiserve import Server

    content = os.urandom(4 * MIB)
    with Server(Files(tmp_path, upload=True), port=0) as server:
        place = ask(server.port, "POST", "/a", {"Upload-Length": str(len(content))}).headers["Location"]
        hidden = tmp_path / place[1:]
        with slow_patch(server.port, place, 0, len(content), content[: 3 * MIB]) as client:
            wait_until(lambda: hidden.stat().st_size == 3 * MIB)
            assert add(server.port, place, 3 * MIB, content[3 * MIB :]) == 423
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wait_until(lambda: add(server.port, place, 3 * MIB, content[3 * MIB :]) == 204)
    assert (tmp_path / "a").read_bytes() == content


@pytest.mark.slow
def test_a_client_that_stalls_lets_go_after_the_timeout(tmp_path: Path) -> None:
    from wsgiserve import Server

    content = os.urandom(4 * MIB)
    with Server(Files(tmp_path, upload=True), port=0, stall_timeout=1) as server:
        place = ask(server.port, "POST", "/a", {"Upload-Length": str(len(content))}).headers["Location"]
        with slow_patch(server.port, place, 0, len(content), content[: 2 * MIB]):
            hidden = tmp_path / place[1:]
            wait_until(lambda: hidden.stat().st_size == 2 * MIB)
            wait_until(lambda: add(server.port, place, 2 * MIB, content[2 * MIB :]) == 204)
    assert (tmp_path / "a").read_bytes() == content
    assert [entry.name for entry in Store(tmp_path).entries()] == ["a"]
