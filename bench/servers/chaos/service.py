"""The server that is disturbed: its processes, limits and clock, and what it must not leave behind."""

from __future__ import annotations

import os
import re
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from bench.harness.child import ROOT, free_port
from bench.harness.proc import tree
from bench.servers.chaos.clients import Address
from wsgiserve.processes.pid_file import read_status

HEAL_SECONDS = 90.0
END_SECONDS = 60.0

APP = """\
import sys

from bench.servers.chaos import app as chaos

sys.setswitchinterval(1e-6)
chaos.note("import")
application = chaos.Chaos()
chaos.note("imported")
"""
BROKEN = "raise RuntimeError('a deploy that is broken')\n"

LIMITS = {
    "descriptors": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
    "memory": resource.RLIMIT_AS,
}


def reached(condition: Callable[[], object], seconds: float = HEAL_SECONDS) -> bool:
    """Wait until `condition()` is true; False if it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Service:
    """`wsgiserve` in its own folder."""

    def __init__(self, folder: Path, workers: int, options: Sequence[str], skipped: dict[str, str]) -> None:
        self.folder = folder
        self.base = workers
        self.skipped = skipped  # disturbances that cannot be had here, and why
        self.disk = folder / "disk"
        self.pid_file = str(self.disk / "pid")
        self.address = Address(free_port(), str(folder / "socket"))
        self._clock = self._make_clock()
        self.disk.mkdir(exist_ok=True)
        (folder / "notes").touch()
        self._write(APP)
        self._command = [
            *(sys.executable, "-m", "wsgiserve", "service:application", "--workers", str(workers)),
            *("--bind", f"127.0.0.1:{self.address.port}", "--bind", f"unix:{self.address.path}"),
            *("--pid-file", self.pid_file, "--keep-alive", "2", "--graceful-timeout", "20"),
            *("--health-path", "/healthz", *options),
        ]
        self._environment = self._make_environment()

    # -- from start to end

    def _make_clock(self) -> str:
        """Compile the clock that can be set; return the path of the library, or nothing."""
        library = self.folder / "clock.so"
        source = Path(__file__).with_name("clock.c")
        command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.skipped["clock jump"] = f"the clock cannot be compiled: {error}"
            return ""
        return str(library)

    def _make_environment(self) -> dict[str, str]:
        # The folder is the first of sys.path, so that "service" is found there.
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/"}
        environment["CHAOS_RUN"] = str(self.folder)
        if self._clock:
            self.set_clock(0)
            environment |= {"LD_PRELOAD": self._clock, "CHAOS_CLOCK": str(self.folder / "clock")}
        return environment

    def start(self) -> None:
        """Start it, and wait until it serves."""
        # Both files are opened for appending, so that they can be cut to nothing meanwhile.
        with self.log.open("ab") as out, self.errors.open("ab") as err:
            self._process = subprocess.Popen(
                self._command, cwd=self.folder, env=self._environment, stdout=out, stderr=err
            )
        if not reached(lambda: self.is_whole() or not self.is_alive) or not self.is_alive:
            code = self._process.poll()
            raise RuntimeError(f"the server does not start (exit code {code}): {self.last_words()}")
        self.limits = {name: resource.prlimit(self.pid, number) for name, number in LIMITS.items()}

    @property
    def log(self) -> Path:
        return self.disk / "access.log"

    @property
    def errors(self) -> Path:
        return self.folder / "errors.log"

    @property
    def pid(self) -> int:
        """The supervisor."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def last_words(self) -> str:
        """Return the end of its standard error."""
        return self.errors.read_text(errors="replace")[-2000:]

    def stop(self) -> int | None:
        """Send SIGTERM; return the exit code, None if it does not end."""
        self.signal(signal.SIGTERM)
        try:
            return self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def clean_up(self) -> None:
        """Kill what is left."""
        for pid in self.remains():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    # -- its processes

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def status(self) -> dict[str, Any]:
        return read_status(self.pid_file)

    def workers(self) -> list[int]:
        """Return the processes of workers, in whatever state; 0 is one that is not born yet."""
        return [worker["pid"] for worker in self.status().get("workers", ()) if worker["pid"]]

    def processes(self) -> list[int]:
        """Return the supervisor and everything below it."""
        return [stat.pid for stat in tree(self.pid)]

    def others(self) -> list[int]:
        """Return the supervisor's children that are no workers: templates, and trials of a re-exec."""
        workers = self.workers()
        return [stat.pid for stat in tree(self.pid) if stat.parent == self.pid and stat.pid not in workers]

    def is_whole(self) -> bool:
        """Whether all workers that are wanted serve, and none else is left."""
        status = self.status()
        states = [worker["state"] for worker in status.get("workers", ())]
        fits = len(states) == self.wanted()
        return status.get("state") == "serving" and fits and set(states) == {"serving"}

    def wanted(self) -> int:
        """Return how many workers the supervisor wants, by its log: signals that come at once are one."""
        text = self.errors.read_text(errors="replace")
        said = re.findall(r"starts, (\d+) workers?|(\d+) workers? (?:is|are) wanted", text)
        return int("".join(said[-1])) if said else self.base

    def settle(self) -> bool:
        """Bring the number of workers back, and wait until they serve."""
        if not reached(self.is_whole):
            return False
        while (count := self.wanted()) != self.base:
            self.signal(signal.SIGTTIN if count < self.base else signal.SIGTTOU)
            if not reached(lambda count=count: self.wanted() != count):
                return False
        return reached(self.is_whole)

    def descriptors(self) -> int:
        """Count those of the supervisor."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def remains(self) -> list[int]:
        """Return the processes that still run, also those that nobody is the parent of."""
        mark = f"={self.folder}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
        return found

    def left_behind(self) -> list[str]:
        """Say what is left of a server that has ended."""
        left = [f"process {pid}" for pid in self.remains()]
        left += [path for path in (self.pid_file, f"{self.pid_file}.status") if os.path.exists(path)]
        for unix in (False, True):
            try:
                self.address.connect(unix=unix).close()
                left.append("a Unix socket that answers" if unix else "a port that answers")
            except OSError:
                pass
        if os.path.exists(self.address.path):
            left.append(self.address.path)
        return left

    def answers(self) -> bool:
        """Whether the server itself says that it is ready."""
        with self.address.connect(unix=False) as sock:
            sock.settimeout(HEAL_SECONDS)
            sock.sendall(b"GET /healthz/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = b""
            with suppress(ConnectionResetError):
                while data := sock.recv(4096):
                    answer += data
        return answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"ready\n")

    # -- its surroundings

    def deploy(self, *, broken: bool) -> None:
        """Write the code that the next start imports."""
        self._write(BROKEN if broken else APP)

    def _write(self, code: str) -> None:
        new = self.folder / "new"
        new.write_text(code)
        new.replace(self.folder / "service.py")

    def limit(self, pid: int, name: str, value: int | None) -> None:
        """Set a soft limit of a process; None restores it."""
        soft, hard = self.limits[name]
        narrows = pid == self.pid and value is not None
        with suppress(ProcessLookupError), _stopped_as_one_program(pid) if narrows else nullcontext():
            resource.prlimit(pid, LIMITS[name], (soft if value is None else value, hard))

    def fill_disk(self) -> None:
        """Leave no room on the small disk."""
        with suppress(OSError), (self.disk / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def empty_disk(self) -> None:
        """Make room again."""
        (self.disk / "filler").unlink(missing_ok=True)
        self.trim_log()

    def trim_log(self) -> None:
        """Cut the access log, which would fill the disk."""
        with suppress(OSError):
            os.truncate(self.log, 0)

    def set_clock(self, seconds: int) -> None:
        """Set the time of day that the server's processes see, relative to the true one."""
        clock = self.folder / "clock"
        clock.touch()
        with clock.open("r+b") as file:  # Not replaced: they have it mapped.
            file.write(struct.pack("=q", seconds))

    def logged(self, pattern: str) -> int:
        """Count lines of standard error."""
        return len(re.findall(pattern, self.errors.read_text(errors="replace"), re.MULTILINE))


@contextmanager
def _stopped_as_one_program(pid: int) -> Iterator[None]:
    """Stop a process, but not within a re-exec: no program can look after itself before it has started.

    From before an exec until the new program is ready it blocks its signals.
    """
    while True:
        os.kill(pid, signal.SIGSTOP)
        reached(lambda: _fact(pid, "State")[:1] in "TZX")
        if not int(_fact(pid, "SigBlk") or "0", 16) & 1 << (signal.SIGUSR2 - 1):
            break
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.01)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _fact(pid: int, name: str) -> str:
    """Return a line of a process's status (proc_pid_status(5)); "" if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""
    return text.partition(f"\n{name}:\t")[2].partition("\n")[0]


def memory_of(pid: int) -> int:
    """Return the size of a process's address space in bytes."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0
