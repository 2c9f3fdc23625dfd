"""The image of ``deploy/container``, built and measured: ``python -m bench.servers.image``.

buildah and podman build and run it as the tests do, on a base that is made of this machine's Python, so no
registry is needed. Needs root.
"""

from __future__ import annotations

import http.client
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import click

from bench.harness import proc, tables
from bench.harness.child import START_SECONDS, UnfitError, ask, free_port
from tests.deploy.engine import Engine, missing, python_base

BASE, IMAGE = "localhost/base", "localhost/wsgiserve"
MIB = 1 << 20


@click.command()
@click.option("--times", default=5, show_default=True, help="Starts; the middle one counts.")
def main(times: int) -> None:
    """Build the image, run it, and print the table of docs/containers.md."""
    if lacking := missing():
        raise click.ClickException(f"not installed: {', '.join(lacking)}")
    if os.geteuid():
        raise click.ClickException("the base image is made of files that root alone may own; run it as root")
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(Path(folder))
        try:
            python_base(engine.folder / "base")
            engine.image(BASE, engine.folder / "base")
            engine.build(IMAGE, BASE)
            rows = [["", ""], *_rows(engine, times)]
        finally:
            engine.end()
    click.echo("\n".join(tables.markdown(rows)))


def _rows(engine: Engine, times: int) -> Iterator[list[str]]:
    extra = int(engine.inspect(IMAGE)["Size"]) - int(engine.inspect(BASE)["Size"])
    yield ["size of the image beyond its base", f"{extra / 1e6:.0f} MB"]
    starts = [_start(engine) for _ in range(times)]
    between = f"median of {times}; {min(starts):.1f} to {max(starts):.1f} s"
    yield [
        "from the start of the process to its first answer",
        f"{statistics.median(starts):.1f} s ({between})",
    ]
    port = free_port()
    with engine.running(IMAGE, f"--env=PORT={port}") as container:
        _wait_for_answer(port)
        memory = proc.memory(engine.inspect(container)["State"]["Pid"])
        text = "memory after that answer, supervisor and one worker"
        yield [text, f"{memory / MIB:.0f} MiB (proportional set)"]
        privileged = engine.inside(container, *FIND, "-type", "f", "-perm", "/6000", check=False).split()
        yield ["files with setuid or setgid bits", _listed(privileged)]
        writable = engine.inside(container, *FIND, "-not", "-type", "l", "-writable", check=False).split()
        yield ["paths that its user can write, if the root is not read-only", _listed(writable)]
        began = time.monotonic()
        engine.run("podman", "stop", container)
        seconds = time.monotonic() - began
        code = engine.inspect(container)["State"]["ExitCode"]
        yield ["`podman stop`, without requests", f"{seconds:.1f} s, exit code {code}"]


FIND = ("find", "/", "-xdev")


def _start(engine: Engine) -> float:
    """Return the seconds from the start of the process in a container to its first answer."""
    port = free_port()
    with engine.running(IMAGE, f"--env=PORT={port}") as container:
        answered = _wait_for_answer(port)
        began = datetime.fromisoformat(engine.inspect(container)["State"]["StartedAt"])
        return answered - began.timestamp()


def _wait_for_answer(port: int) -> float:
    """Wait until a server answers, and return the time when it did."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError, http.client.HTTPException):
            ask(port)
            return time.time()
        time.sleep(0.002)
    raise UnfitError("the container does not answer")


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(f"`{path}`" for path in sorted(paths)) or "none"


if __name__ == "__main__":
    main()
