"""HAProxy and nginx as ``deploy/balancers`` has them, in front of servers on this machine.

Only addresses, time limits and the interval of checks are replaced in a configuration. A proxy runs as one
process in the foreground, on a port of its own.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.harness.child import ROOT, START_SECONDS, UnfitError

FOLDER = ROOT / "deploy" / "balancers"
CONFIGURATIONS = {"haproxy": "haproxy.cfg", "nginx": "nginx.conf"}
ADDRESSES = ("10.0.0.2:8000", "10.0.0.3:8000", "10.0.0.4:8000")


def program_of(balancer: str) -> str | None:
    """Return the path of the program; Debian keeps it in /usr/sbin."""
    return shutil.which(balancer, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))


def placed(balancer: str, port: int, upstream: Sequence[int], edits: Mapping[str, str]) -> str:
    """Return the configuration with our ports in place of its addresses, and further ``edits``."""
    text = (FOLDER / CONFIGURATIONS[balancer]).read_text("utf-8")
    listen = {
        "haproxy": ("bind :80\n", f"bind 127.0.0.1:{port}\n"),
        "nginx": ("listen 80;", f"listen 127.0.0.1:{port};"),
    }
    servers = {
        f"server {name}{address}": f"server {name}127.0.0.1:{there}"
        for name, address, there in zip(
            ("one ", "two ", "three ") if balancer == "haproxy" else ("",) * 3,
            ADDRESSES,
            upstream,
            strict=True,
        )
    }
    for before, after in {**dict([listen[balancer]]), **servers, **edits}.items():
        if before not in text:
            raise UnfitError(f"{CONFIGURATIONS[balancer]} has no {before!r}")
        text = text.replace(before, after)
    return text


def _command(balancer: str, program: str, text: str, folder: Path) -> list[str]:
    file = folder / "configuration"
    if balancer == "haproxy":
        file.write_text(f"global\n    nbthread 1\n\n{text}")
        return [program, "-db", "-f", str(file)]
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    file.write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{folders}{text}\n}}\n"
    )
    return [program, "-c", str(file), "-p", str(folder), "-e", f"{folder}/errors"]


@contextmanager
def running(
    balancer: str, port: int, upstream: Sequence[int], folder: Path, edits: Mapping[str, str]
) -> Iterator[None]:
    """Run a balancer on ``port`` in front of the three servers that listen on the ports ``upstream``."""
    with configured(balancer, port, placed(balancer, port, upstream, edits), folder):
        yield


@contextmanager
def configured(balancer: str, port: int, text: str, folder: Path) -> Iterator[None]:
    """Run a balancer that listens on ``port``, with the configuration ``text``."""
    program = program_of(balancer)
    if program is None:
        raise UnfitError("it is not installed")
    folder.mkdir()
    command = _command(balancer, program, text, folder)
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        _wait_until_it_listens(process, port, folder)
        yield
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise UnfitError(f"did not start: {(folder / 'output').read_text(errors='replace')[-500:]}")
