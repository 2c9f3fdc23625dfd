"""File systems of other kinds, mounted for a test: shared by several servers, or without hard links."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tests.lacking import lacking
from tests.server.client import wait_until

ROOT = Path(__file__).parent.parent.parent
PATH = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"], "/usr/sbin", "/sbin"])


def require(*programs: str) -> None:
    """Skip the test where a program is missing, or FUSE below it; fail there in CI, which installs them."""
    missing = [program for program in programs if not shutil.which(program, path=PATH)]
    if "fusermount3" in programs and not os.access("/dev/fuse", os.W_OK):
        missing.append("/dev/fuse")
    if missing:
        lacking(f"missing: {', '.join(missing)}")


def run(*command: str | Path) -> None:
    """Run a program that ends by itself; if it fails, the AssertionError shows what it said."""
    done = subprocess.run(
        command, env={**os.environ, "PATH": PATH}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


class JuiceFS:
    """A volume whose data and metadata lie in ``folder``; each mount of it stands for another machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._metadata = f"sqlite3://{folder}/metadata.db"
        run("juicefs", "format", "--storage=file", f"--bucket={folder}/data/", self._metadata, "shared")

    @contextlib.contextmanager
    def mounted(self, name: str, *options: str) -> Iterator[Path]:
        """Mount it, with options such as ``--entry-cache=0``."""
        place = self._folder / name
        place.mkdir(exist_ok=True)
        own = [f"--cache-dir={self._folder}/cache-{name}", f"--log={self._folder}/log-{name}"]
        run("juicefs", "mount", "-d", "--no-usage-report", *own, *options, self._metadata, place)
        with unmounted(place):
            yield place


@contextlib.contextmanager
def bindfs(folder: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """Show one folder in another place, by a FUSE without ``O_TMPFILE``; return the place and its process."""
    below, place = folder / "below", folder / "bindfs"
    below.mkdir()
    place.mkdir()
    program = shutil.which("bindfs", path=PATH)
    assert program is not None
    with subprocess.Popen([program, "-f", "--no-allow-other", below, place]) as process, unmounted(place):
        wait_until(lambda: os.path.ismount(place))
        yield place, process


@contextlib.contextmanager
def fat(folder: Path) -> Iterator[Path]:
    """Mount a FAT, which has no hard links."""
    image, place = folder / "fat.img", folder / "fat"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    place.mkdir()
    run("mkfs.vfat", image)
    run("fusefat", "-o", "rw+", image, place)
    with unmounted(place):
        yield place


@contextlib.contextmanager
def unmounted(place: Path) -> Iterator[None]:
    """Unmount at the end, also if a process still has a file open there."""
    try:
        yield
    finally:
        run("fusermount3", "-u", "-z", place)


def under_faults(program: str, folder: Path, *faults: str) -> list[str]:
    """Run Python code with ``folder`` as its argument; return what it prints.

    ``faults`` are options of strace(1), which lets system calls fail.
    """
    require("strace")
    done = subprocess.run(
        ["strace", "-f", "-o", "/dev/null", *faults, sys.executable, "-c", program, folder],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
