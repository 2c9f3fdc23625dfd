"""A server that is killed during uploads: acknowledged files are whole, and no others exist."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.files.conftest import call
from tests.server.client import wait_until
from wsgiserve.files import Files

UPLOADS = 200
KILLS = 12
PROGRAM = """
import sys
from wsgiserve import Server
from wsgiserve.files import Files
with Server(Files(sys.argv[1], upload=True), port=0) as server:
    print(server.port, flush=True)
    sys.stdin.read()
"""


def content(name: str, version: int) -> bytes:
    """Return the content of a version of a file; name, version and end can be read from it."""
    seed = f"{name} {version} ".encode()
    return (seed * (random.Random(seed).randrange(20, 400_000) // len(seed) + 1)) + b"end"


class Server:
    """The server under test, in a process that is killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.up = threading.Event()
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, self.folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.up.set()

    def kill(self) -> None:
        self.up.clear()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Uploader:
    """Uploads versions of files while there are any, and records which the server acknowledged."""

    def __init__(self, server: Server, numbers: list[int]) -> None:
        self.server = server
        self.numbers = numbers
        self.acknowledged: dict[str, list[int]] = {}
        self.tried: dict[str, list[int]] = {}

    def run(self) -> None:
        while self.server.up.wait(10) and self.numbers:
            number = self.numbers.pop()
            name = f"file-{number % 40}"  # Most uploads replace a file.
            self.tried.setdefault(name, []).append(number)
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
                connection.request("PUT", f"/{name}", content(name, number))
                if connection.getresponse().status in (200, 201):
                    self.acknowledged.setdefault(name, []).append(number)
                connection.close()


@pytest.mark.slow
def test_a_server_killed_during_uploads_leaves_only_whole_files(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    server = Server(folder)
    numbers = list(range(UPLOADS))
    random.Random(4).shuffle(numbers)
    uploaders = [Uploader(server, numbers) for _ in range(4)]
    threads = [threading.Thread(target=uploader.run) for uploader in uploaders]
    for thread in threads:
        thread.start()
    kills = 0
    for kills in range(1, KILLS + 1):
        left = UPLOADS * (KILLS - kills) // KILLS
        wait_until(lambda left=left: len(numbers) <= left)
        time.sleep(random.random() * 0.01)  # A random point of an upload.
        server.kill()
        server.start()
    for thread in threads:
        thread.join()
    server.kill()
    assert kills == KILLS

    tried = {name for uploader in uploaders for name in uploader.tried}
    acknowledged = {name for uploader in uploaders for name in uploader.acknowledged}
    files = Files(folder)
    there = {entry.name for entry in files.store.entries()}
    assert acknowledged <= there <= tried
    for name in there:
        whole = {content(name, number) for uploader in uploaders for number in uploader.tried.get(name, [])}
        assert call(files, "GET", f"/{name}").body in whole
    hidden = set(os.listdir(folder)) - there
    assert hidden <= {".wsgiserve-replacing", ".wsgiserve-probe"}  # The killed server had just started.
    assert len(acknowledged) > 10

    call(Files(folder, upload=True), "PUT", "/last", body=b"1")
    assert set(os.listdir(folder)) == there | {"last"}
