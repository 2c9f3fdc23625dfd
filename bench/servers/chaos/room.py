"""The folder and the user of a run: what only root can give.

The system does not limit the processes of root. So root mounts the small disk, and has the run done by
another process, of a user whom nobody else is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.harness.child import ROOT

USER = 47_113
DISK_BYTES = 24 << 20


@contextmanager
def room() -> Iterator[Path]:
    """Yield a folder for a run; `disk` in it is a small file system, if that can be had."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        disk = folder / "disk"
        disk.mkdir()
        is_mounted = os.getuid() == 0 and _mount(disk)
        try:
            yield folder
        finally:
            if is_mounted:
                subprocess.run(["umount", "--lazy", str(disk)], check=False)


def _mount(disk: Path) -> bool:
    options = f"size={DISK_BYTES},mode=777"
    command = ["mount", "-t", "tmpfs", "-o", options, "chaos", str(disk)]
    try:
        return subprocess.run(command, check=False).returncode == 0
    except OSError:
        return False


def lacking(folder: Path) -> dict[str, str]:
    """Name the disturbances that cannot be had in this folder by this user, and why."""
    skipped = {}
    if not (folder / "disk").is_mount():
        skipped["disk full"] = "only root can mount a small file system"
    if os.getuid() == 0:
        skipped["processes"] = "root has no such limit, and no other user can run this Python"
    return skipped


def run_as_user(folder: Path, arguments: Sequence[str]) -> int | None:
    """Run this command again as another user; return its exit code, None if that user cannot."""
    command = [sys.executable, "-m", "bench.servers.chaos", "--folder", str(folder), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    os.chmod(folder, 0o755)
    try:
        probe = subprocess.run(
            [sys.executable, "-c", "import wsgiserve, click"],
            stderr=subprocess.DEVNULL,
            check=False,
            user=USER,
            env=environment,
        )
        if probe.returncode:
            return None
        os.chown(folder, USER, USER)
        return subprocess.run(
            command, check=False, user=USER, group=USER, extra_groups=[], env=environment, cwd=folder
        ).returncode
    except OSError:
        return None
