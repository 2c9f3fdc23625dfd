"""``docs/scale.md``: its commands are run as they are written, on ports of this machine that are free."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.servers import balancers
from bench.servers.scaled import placed
from tests.files.seaweed import free_ports, program
from tests.lacking import lacking
from tests.program import ROOT

PAGE = (ROOT / "docs" / "scale.md").read_text("utf-8")
WEED = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A copy of what the page needs of the checkout."""
    if balancers.program_of("haproxy") is None or program() is None or shutil.which("curl") is None:
        lacking("haproxy, curl or SeaweedFS is not installed")
    for name in ("app.py", "app.html"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "deploy" / "scale", tmp_path / "deploy" / "scale")
    return tmp_path


def moved(text: str, ports: list[int]) -> str:
    """Return a text with ports that are free in place of those of the page."""
    front, one, two, three, s3, *_ = ports
    text = placed(text, front, [one, two, three], 0.3).replace(":8333", f":{s3}")
    for before, after in ((8001, one), (8002, two), (8003, three)):
        text = text.replace(f"demo-{before}", f"demo-{after}")
    return text.replace("demo-800?", "demo-*")


def lines() -> Iterator[tuple[str, bool]]:
    """Yield the lines of the page's blocks, and whether they are printed."""
    for kind, block in re.findall(r"```(sh|console)\n(.*?)```", PAGE, re.DOTALL):
        for line in block.splitlines():
            yield line, kind == "console" and not line.startswith("$ ")


def script(ports: list[int]) -> str:
    """Return the commands of the page, but for the installation."""
    text = "\n".join(line.removeprefix("$ ") for line, printed in lines() if not printed)
    text = moved(text.partition("\n")[2], ports)
    more = [f"-{name}={port}" for name, port in zip(WEED, ports[6:], strict=True)]
    more += [f"-s3.port={ports[4]}", f"-s3.port.grpc={ports[5]}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    return text.replace("weed server ", f"weed server {shlex.join(more)} ").replace(" %1", " $(jobs -p %1)")


@pytest.mark.slow
def test_the_commands_of_the_page_do_what_it_says(place: Path) -> None:
    ports = free_ports(12)
    for path in (place / "deploy" / "scale").iterdir():
        path.write_text(moved(path.read_text(), ports).replace("DRAIN_DELAY=5s", "DRAIN_DELAY=1s"))
    folders = [str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    try:
        done = subprocess.run(
            ["bash", "-m", "-c", "trap 'kill $(jobs -p) 2> /dev/null; wait' EXIT\n" + script(ports)],
            cwd=place,
            env=environ | {"PATH": os.pathsep.join(folders)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        logs = "".join(path.read_text(errors="replace")[-600:] for path in sorted(place.glob("*.log")))
    finally:
        for path in place.glob("*.pid"):
            subprocess.run(["kill", "-KILL", *path.read_text().split()], capture_output=True, check=False)
    printed = [line for line in done.stdout.splitlines() if not line.startswith("200 ")]
    assert printed == [line for line, printed in lines() if printed], done.stderr[-2000:] + logs
    assert not list(place.glob("demo-*.pid"))
