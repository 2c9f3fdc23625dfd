"""Large uploads and downloads over TLS: the memory of the server does not grow with them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from tests.authority import Authority
from tests.lacking import lacking
from tests.program import serving_program

SIZE = 256 << 20
MOST_GROWTH = 24 << 20  # bytes; a body that were kept would be ten times as much

APP = """
def application(environ, start_response):
    size = 0
    while piece := environ["wsgi.input"].read(65536):
        size += len(piece)
    if environ["PATH_INFO"] == "/file":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return environ["wsgi.file_wrapper"](open("large", "rb"))
    if environ["PATH_INFO"] == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (b"x" * 65536 for _ in range(int(environ["QUERY_STRING"]) // 65536))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(size).encode()]
"""


def peak(pid):
    """Return the most memory that a process has had, in bytes."""
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1]) << 10


@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    if shutil.which("curl") is None:
        lacking("curl is not installed")
    authority = Authority(tmp_path)
    (tmp_path / "app.py").write_text(APP)
    with open(tmp_path / "large", "wb") as file:
        os.truncate(file.fileno(), SIZE)
    with serving_program(
        tmp_path, "app", "--cert", authority.pair(), "--workers", "0", "--max-body", "0", "--no-access-log"
    ) as (program, port):

        def curl(path, *arguments):
            command = ["curl", "-sS", "--fail", "--cacert", authority.file, *arguments]
            done = subprocess.run(
                [*command, f"https://localhost:{port}{path}"],
                capture_output=True,
                text=True,
                timeout=90,
                check=False,
            )
            assert done.stderr == ""
            return done.stdout

        counting = ("-o", "/dev/null", "-w", "%{size_download}")
        curl("/file", "-r", "0-100000", *counting)
        assert curl("/", "-T", str(tmp_path / "app.py")) == str(len(APP))
        before = peak(program.process.pid)
        assert curl("/", "-T", str(tmp_path / "large")) == str(SIZE)
        assert curl("/file", *counting) == str(SIZE)
        assert curl(f"/stream?{SIZE}", *counting) == str(SIZE)
        assert peak(program.process.pid) - before < MOST_GROWTH
        assert program.stop()[0] == 0
