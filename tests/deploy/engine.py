"""buildah and podman, with a storage of their own, and base images that are made of this machine's programs.

No registry is needed: ``python_base`` makes an image of the Python that runs the tests, in place of the
published one that the Containerfile names. pip in the build gets its packages from a folder.

Rules
- runc, since crun refuses some control groups; limits are named, since a sandbox may refuse to raise them.
- A health check of the image is run by hand: podman leaves that to timers of systemd.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.program import ROOT

CONTAINERFILE = ROOT / "deploy" / "container" / "Containerfile"
PROGRAMS = ("buildah", "podman", "runc")
LIBRARIES = Path("usr/lib")  # one of the folders where the loader looks by itself
# What the Containerfile calls, and two that make their callers root.
TOOLS = ("sh", "find", "chmod", "chown", "mkdir", "su", "passwd")
STDLIB_LEFT_OUT = ("site-packages", "dist-packages", "test", "idlelib", "tkinter", "turtledemo", "config-*")


def missing() -> list[str]:
    """Return the programs that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def _driver(folder: Path) -> str:
    """Return how layers are kept: overlays are fast, but cannot lie on one another (in a container of CI)."""
    command = ["stat", "--file-system", "--format=%T", str(folder)]
    below = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return "vfs" if below == "overlayfs" else "overlay"


class Engine:
    """The commands, with their storage below ``folder``."""

    def __init__(self, folder: Path) -> None:
        places = f'graphroot = "{folder}/images"\nrunroot = "{folder}/run"\n'
        (folder / "storage.conf").write_text(f'[storage]\ndriver = "{_driver(folder)}"\n{places}')
        (folder / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            f'[network]\nnetwork_backend = "netavark"\nnetwork_config_dir = "{folder}/networks"\n'
        )
        self.folder = folder
        self.environ = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "BUILDAH_ISOLATION": "chroot",
        }

    def run(self, *command: str, check: bool = True, timeout: float = 120, **more: str) -> str:
        """Run a command and return what it prints; AssertionError with its errors if it fails."""
        done = subprocess.run(
            command,
            env=self.environ | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def image(self, name: str, tree: Path, *settings: str) -> None:
        """Make an image of a folder."""
        working = self.run("buildah", "from", "scratch").strip()
        self.run("buildah", "add", "--quiet", working, str(tree), "/")
        if settings:
            self.run("buildah", "config", *settings, working)
        self.run("buildah", "commit", "--quiet", "--rm", working, name)

    def build(self, name: str, base: str) -> None:
        """Build our image from its Containerfile."""
        packages = self.folder / "packages"
        wanted = ["setuptools>=77", *re.findall(r"^    (click.*|werkzeug.*)$", SETUP, re.MULTILINE)]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(packages), *wanted]
        self.run(*pip)
        (self.folder / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /packages\n")
        mounts = {packages: "/packages", self.folder / "pip.conf": "/etc/pip.conf"}
        volumes = [f"--volume={source}:{target}:ro" for source, target in mounts.items()]
        command = ["buildah", "build", "--quiet", "--format=docker", f"--build-arg=BASE={base}", *volumes]
        # The variables of pip name folders of this machine.
        hidden = {key: "" for key in os.environ if key.startswith("PIP_")}
        self.run(*command, f"--file={CONTAINERFILE}", f"--tag={name}", str(ROOT), timeout=300, **hidden)

    def build_once(self, name: str, shared: Path) -> None:
        """Build our image on a base of its own; take it from ``shared`` if another process has built it."""
        archive = shared / f"{name.replace('/', '-')}.tar"
        with (shared / "image.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if archive.exists():
                self.run("podman", "load", "--quiet", f"--input={archive}")
                return
            python_base(self.folder / "base")
            self.image("localhost/base", self.folder / "base")
            self.build(name, "localhost/base")
            self.run("podman", "save", "--quiet", f"--output={archive}", name)

    def inspect(self, name: str) -> dict[str, Any]:
        (facts,) = json.loads(self.run("podman", "inspect", name))
        return dict(facts)

    def end(self) -> None:
        """Remove all containers, and the mount that the storage leaves."""
        self.run("podman", "rm", "--all", "--force", "--time=0", "--volumes")
        subprocess.run(["umount", str(self.folder / "images/overlay")], capture_output=True, check=False)
        shutil.rmtree(self.folder / "images", ignore_errors=True)

    @contextmanager
    def running(self, image: str, *options: str, arguments: Sequence[str] = ()) -> Iterator[str]:
        """Run a container on the network of this machine; yield its id."""
        command = ["podman", "run", "--detach", "--network=host", "--no-healthcheck", *options, image]
        container = self.run(*command, *arguments).strip()
        try:
            yield container
        finally:
            self.run("podman", "rm", "--force", "--time=0", "--volumes", container)

    def inside(self, container: str, *command: str, check: bool = True) -> str:
        return self.run("podman", "exec", container, *command, check=check)


def haproxy_base(tree: Path) -> None:
    """Make the tree of an image with this machine's HAProxy."""
    skeleton(tree)
    program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None
    place(tree, [Path(program)], "usr/local/bin")


SETUP = (ROOT / "setup.cfg").read_text("utf-8")


def libraries_of(files: Sequence[Path]) -> Iterator[Path]:
    """Yield the shared libraries that programs need, and the loader."""
    shown = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, check=False).stdout
    yield from {Path(path) for path in re.findall(r"(/\S+) \(0x", shown)}


def place(tree: Path, files: Sequence[Path], folder: str) -> None:
    """Copy programs and their libraries into the tree of an image."""
    target = tree / folder
    target.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy2(file, target / file.name)
    place_libraries(tree, files)


def place_libraries(tree: Path, files: Sequence[Path]) -> None:
    for library in libraries_of(files):
        # The loader is called by its path; all else it finds by name.
        target = tree / (str(library)[1:] if library.name.startswith("ld-") else LIBRARIES / library.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy2(library, target)


def skeleton(tree: Path) -> None:
    """Make the folders that every base has, and its users."""
    for name in ("etc", "dev", "proc", "sys", "run", "var/tmp", "tmp", str(LIBRARIES), "usr/local/bin"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (tree / name).chmod(0o1777)
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\n")


def python_base(tree: Path) -> None:
    """Make the tree of a base with this Python in /usr/local, as the published image has it."""
    skeleton(tree)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    tools = [Path(path) for tool in TOOLS if (path := shutil.which(tool))]
    place(tree, tools, "bin")
    for name in ("su", "passwd"):
        (tree / "bin" / name).chmod(0o4755)
    interpreter = Path(sys.base_prefix, "bin", version)
    place(tree, [interpreter], "usr/local/bin")
    (tree / "usr/local/bin/python3").symlink_to(version)
    library = tree / "usr/local/lib" / version
    shutil.copytree(
        sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}),
        library,
        symlinks=False,
        ignore=shutil.ignore_patterns(*STDLIB_LEFT_OUT),
    )
    place_libraries(tree, list(library.glob("lib-dynload/*.so")))
    wheels = Path("/usr/share/python-wheels")  # where Debian keeps those of ensurepip
    if wheels.exists():
        with suppress(FileExistsError):
            shutil.copytree(wheels, tree / str(wheels)[1:])
