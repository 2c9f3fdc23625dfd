"""The cost of a file beside nginx, and of an upload beside `dd`: `python -m bench.apps.files_speed`.

Measures the server's processor time for files of 1 KiB, 100 KiB and 100 MiB and for 1,000 clients that read
slowly, and compares an upload with `dd conv=fsync` on the same disk. Server and load have a core each. The
two servers take turns, and the best round counts. Unfinished large files count by the bytes that were read.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from bench.apps.files_conformance import nginx
from bench.apps.folder_apps import FOLDER
from bench.harness import child, proc, sections, tables
from bench.harness.child import ROOT

KIB, MIB = 1 << 10, 1 << 20
SIZES = {"1k.txt": KIB, "100k.bin": 100 * KIB, "100m.bin": 100 * MIB}
CONNECTIONS = {"1k.txt": 32, "100k.bin": 16, "100m.bin": 4}
COMMAND = "python -m bench.apps.files_speed"
INTRODUCTION = """\
A folder, served by `app.files` of an `App` on wsgiserve and by nginx (one worker, `sendfile` on). The
figures are the server's processor time for a whole file, or for each MiB to 1,000 slow clients; the best
round counts. Written by `python -m bench.apps.files_speed --output docs/benchmarks.md`. The goals, as
multiples of nginx: 1.5 for 1 KiB, 1.15 for 100 KiB, 1.05 for 100 MiB and for slow clients. For an upload: 0.8
of the speed of `dd conv=fsync` to the same disk."""
SLOW_READERS = 1000
SLOW_SECONDS = 5.0
READ_AT_ONCE = 16 * KIB
UPLOAD = 1024 * MIB


@dataclass(frozen=True)
class Figures:
    """Processor time in microseconds per file; memory in bytes and threads at the end of the load."""

    cpu: float
    rss: int = 0
    threads: int = 0


def ours(name: str) -> Callable[[int, Path, Path], list[str]]:
    command = [sys.executable, "-m", "wsgiserve", f"bench.apps.folder_apps:{name}()", "--bind"]
    return lambda port, folder, scratch: [*command, f"127.0.0.1:{port}", "--max-connections", "2000"]


CONTENDERS = {"app.files": ours("in_app"), "nginx": nginx("keepalive_requests 1000000000;")}


@click.command()
@click.option("--rounds", default=3, show_default=True, help="Rounds; the best counts.")
@click.option("--seconds", default=5, show_default=True, help="Load per file and round.")
@click.option("--upload/--no-upload", default=True, help="Compare an upload of 1 GiB too.")
@click.option(
    "--output", type=click.Path(path_type=Path, exists=True), help="Write a section into this page."
)
def main(rounds: int, seconds: int, upload: bool, output: Path | None) -> None:
    """Measure files beside nginx, and an upload beside dd."""
    lines = [*_lines(rounds, seconds, upload)]
    click.echo("\n".join(lines))
    if output:
        section = sections.marked(COMMAND, ["## Files", "", INTRODUCTION, "", *lines])
        output.write_text(sections.with_section(output.read_text("utf-8"), section), "utf-8")


def _lines(rounds: int, seconds: int, upload: bool) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="files-speed-", dir=ROOT) as name:
        base = Path(name)
        base.chmod(0o755)
        folder = base / "root"
        folder.mkdir()
        for file, size in SIZES.items():
            (folder / file).write_bytes(os.urandom(size))
            os.utime(folder / file, (1_700_000_000, 1_700_000_000))
        os.environ[FOLDER] = str(folder)
        rows = [["", *(f"{name}, µs" for name in CONTENDERS), "of nginx"]]
        for file in SIZES:
            turns = [
                [_measured(name, base, _load(file, seconds)) for name in CONTENDERS] for _ in range(rounds)
            ]
            rows.append(
                _row(file, [min(column, key=lambda each: each.cpu) for column in zip(*turns, strict=True)])
            )
        slow = [_measured(name, base, _slowly) for name in CONTENDERS]
        rows.append(_row(f"{SLOW_READERS} slow readers, for each MiB", slow))
        yield from tables.markdown(rows)
        yield ""
        for name, figures in zip(CONTENDERS, slow, strict=True):
            yield f"- {name} with slow readers: {figures.rss // MIB} MiB, {figures.threads} threads"
        if upload:
            yield f"- {_upload(base)}"


def _row(title: str, figures: list[Figures]) -> list[str]:
    return [title, *(f"{each.cpu:,.1f}" for each in figures), f"{figures[0].cpu / figures[-1].cpu:.2f}"]


def _load(file: str, seconds: int) -> Callable[[int, int], Figures]:
    def load(port: int, pid: int) -> Figures:
        _wrk(port, file, 1)
        before = proc.usage(pid).cpu
        bytes_read = _wrk(port, file, seconds)
        return Figures((proc.usage(pid).cpu - before) * 1e6 / (bytes_read / SIZES[file]))

    return load


def _measured(name: str, base: Path, load: Callable[[int, int], Figures]) -> Figures:
    port = child.free_port()
    with tempfile.TemporaryDirectory(dir=base) as scratch:
        command = CONTENDERS[name](port, base / "root", Path(scratch))
        with child.running(command, port, child.pick_cores().server, ROOT, Path(scratch) / "log") as run:
            return load(port, run.pid)


def _wrk(port: int, file: str, seconds: int) -> float:
    """Run wrk; return the bytes of files that it read, large files to the few digits that wrk prints."""
    core = str(child.pick_cores().load)
    url = f"http://127.0.0.1:{port}/{file}"
    options = ["-t1", f"-c{CONNECTIONS[file]}", f"-d{seconds}s", "--timeout", "30s"]
    shown = subprocess.run(
        ["taskset", "-c", core, "wrk", *options, url], capture_output=True, text=True, check=True
    ).stdout
    if "Non-2xx" in shown:
        raise click.ClickException(shown)
    if SIZES[file] < MIB:
        count = re.search(r"(\d+) requests in", shown)
        assert count
        return int(count[1]) * SIZES[file]
    read = re.search(r"([\d.]+)([KMGT])B read", shown)
    assert read
    return float(read[1]) * KIB ** (1 + "KMGT".index(read[2]))


def _slowly(port: int, pid: int) -> Figures:
    """Read a large file on many connections, 16 KiB from each in turn."""
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(SLOW_READERS):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_AT_ONCE)
            client.connect(("127.0.0.1", port))
            client.sendall(b"GET /100m.bin HTTP/1.1\r\nHost: test\r\n\r\n")
            client.setblocking(False)
            selector.register(client, selectors.EVENT_READ)
        _read_slowly(selector)  # until the buffers are full
        before = proc.usage(pid).cpu
        received = _read_slowly(selector)
        usage = proc.usage(pid)
        threads = len(os.listdir(f"/proc/{pid}/task"))
        return Figures((usage.cpu - before) * 1e6 / (received / MIB), usage.rss, threads)


def _read_slowly(selector: selectors.BaseSelector) -> int:
    received = 0
    deadline = time.monotonic() + SLOW_SECONDS
    while time.monotonic() < deadline:
        for key, _ in selector.select(0.1):
            received += len(key.fileobj.recv(READ_AT_ONCE))  # type: ignore[union-attr]
        time.sleep(0.02)
    return received


def _upload(base: Path) -> str:
    source = base / "source"
    _timed(["dd", "if=/dev/urandom", f"of={source}", "bs=1M", f"count={UPLOAD // MIB}"])
    by_dd = _timed(["dd", f"if={source}", f"of={base / 'copy'}", "bs=1M", "conv=fsync"])
    (base / "copy").unlink()
    port = child.free_port()
    command = [sys.executable, "-m", "wsgiserve", "bench.apps.folder_apps:uploads()", "--max-body", "0"]
    command += ["--bind", f"127.0.0.1:{port}"]
    with child.running(command, port, child.pick_cores().server, ROOT, base / "log") as run:
        by_us = _timed(["curl", "-sf", "-T", str(source), f"http://127.0.0.1:{port}/copy"])
        memory = proc.usage(run.pid).rss // MIB
    return (
        f"upload of {UPLOAD // MIB} MiB: {by_us:.1f} s, dd conv=fsync {by_dd:.1f} s, "
        f"{by_dd / by_us:.2f} of its speed; {memory} MiB of memory"
    )


def _timed(command: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - began


if __name__ == "__main__":
    main(prog_name="python -m bench.apps.files_speed")
