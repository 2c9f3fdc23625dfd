"""The requests that fail during deploys and crashes: `python -m bench.servers.deploys`.

A server with workers is under the load of clients that check every answer (`bench.servers.load`). Meanwhile
it is reloaded, given broken code, or loses a worker to SIGKILL. All traffic is on loopback.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from bench.harness.child import ROOT, free_port
from bench.servers.load import APP, Tally, load
from wsgiserve.processes.pid_file import read_status

SLOW_SECONDS = 1.0
START_SECONDS = 20.0

BROKEN = {
    "syntax error": "def application(:\n",
    "import error": "import there_is_no_such_module\n",
    "app missing": "number = 5\n",
    "start-up hook raises": (
        "class App:\n"
        "    def __call__(self, environ, start_response):\n"
        "        return []\n"
        "    def startup(self):\n"
        "        raise RuntimeError('no database')\n"
        "    def shutdown(self):\n"
        "        pass\n"
        "application = App()\n"
    ),
}


class Service:
    """A server with workers in its own folder; its methods are the steps of a deploy."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.pid_file = str(folder / "service.pid")
        self.log = folder / "log"
        self.port = free_port()
        self._deploys = 0
        self._command = [
            *(sys.executable, "-m", "wsgiserve", "service:application", "--no-access-log"),
            *("--bind", f"127.0.0.1:{self.port}", "--pid-file", self.pid_file, *options),
        ]
        self._environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

    def write(self, code: str) -> None:
        """Write the module that the next worker imports."""
        (self.folder / "service.py").write_text(code)

    def new_version(self) -> str:
        """Write the app with a new version number; return that."""
        self._deploys += 1
        version = f"v{self._deploys}"
        self.write(APP.format(version=version, slow_seconds=SLOW_SECONDS))
        return version

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Serve until the end of the block, then stop the server and check its exit code."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self._command, cwd=self.folder, env=self._environment, stdout=log, stderr=log
            )
        try:
            wait_until(lambda: self.status().get("state") == "serving" or process.poll() is not None)
            yield process
            process.terminate()
            if process.wait(START_SECONDS):
                raise click.ClickException(f"the server ended with {process.returncode}: {self.words()}")
        finally:
            process.kill()
            process.wait()

    def start_once(self) -> subprocess.CompletedProcess[str]:
        """Start the server with code that cannot be served, and wait until it exits."""
        return self._run(self._command, START_SECONDS)

    def reload(self) -> subprocess.CompletedProcess[str]:
        """Run `wsgiserve reload`."""
        return self._run([sys.executable, "-m", "wsgiserve", "reload", "--pid-file", self.pid_file])

    def _run(self, command: list[str], seconds: float | None = None) -> subprocess.CompletedProcess[str]:
        options: dict[str, Any] = {"capture_output": True, "text": True, "check": False, "timeout": seconds}
        return subprocess.run(command, cwd=self.folder, env=self._environment, **options)

    def status(self) -> dict[str, Any]:
        """Read the status file."""
        return read_status(self.pid_file)

    def workers(self) -> list[int]:
        """Return the pids of the workers that serve, in the current generation."""
        status = self.status()
        return [
            worker["pid"]
            for worker in status.get("workers", ())
            if worker["state"] == "serving" and worker["generation"] == status["generation"]
        ]

    def words(self) -> str:
        """Return the end of the log."""
        return self.log.read_text()[-2000:]


def wait_until(condition: Callable[[], object], seconds: float = START_SECONDS) -> float:
    """Wait until `condition()` is true; return the seconds, or raise TimeoutError."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"waited {seconds} s in vain")
        time.sleep(0.005)
    return time.monotonic() - began


def reloads(service: Service, times: int, clients: int, slow: int) -> tuple[Tally, list[float], list[str]]:
    """Deploy a new version `times` times, and broken code before every fifth.

    Return the clients' tally, the seconds that each reload took, and the deploys that went wrong.
    """
    seconds, wrong = [], []
    service.new_version()
    with service.running(), load(service.port, clients, slow) as tally:
        for turn in range(times):
            if turn % 5 == 0:
                kind, code = list(BROKEN.items())[turn // 5 % len(BROKEN)]
                service.write(code)
                if service.reload().returncode != 1:
                    wrong.append(f"broken code ({kind}) was not refused")
            version = service.new_version()
            began = time.monotonic()
            result = service.reload()
            seconds.append(time.monotonic() - began)
            if result.returncode:
                wrong.append(f"reload: {result.stderr}")
            try:
                wait_until(lambda version=version: tally.versions[version])
            except TimeoutError:
                wrong.append(f"{version} never answered")
            time.sleep(0.2)
        time.sleep(SLOW_SECONDS * 1.5)
    return tally, seconds, wrong


def kills(service: Service, times: int, clients: int, slow: int) -> tuple[Tally, list[float], list[int]]:
    """Kill a worker `times` times.

    Return the clients' tally, the seconds until all workers served again, and the pids that were killed.
    """
    seconds, killed = [], []
    service.new_version()
    with service.running(), load(service.port, clients, slow) as tally:
        full = len(service.workers())
        time.sleep(1)
        for turn in range(times):
            pid = service.workers()[turn % full]
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
            seconds.append(
                wait_until(lambda pid=pid: len(service.workers()) == full and pid not in service.workers())
            )
            time.sleep(1)
    return tally, seconds, killed


def balance(service: Service, clients: int) -> list[dict[int, int]]:
    """Count connections per process, opened one after the other, then all at once."""
    service.new_version()
    with service.running():
        return [_spread(service.port, clients, at_once) for at_once in (False, True)]


def _spread(port: int, clients: int, at_once: bool) -> dict[int, int]:
    request = b"GET /fast HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as stack:
        socks = []
        for _ in range(clients):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            socks.append(sock)
            sock.sendall(request)
            if not at_once:
                sock.recv(65536, socket.MSG_PEEK)
        return dict(Counter(int(sock.recv(65536).split()[-2]) for sock in socks))


def bad_deploys(service: Service) -> list[tuple[str, str, str]]:
    """Return the result of a first start and of a reload for each kind of broken code."""
    rows = []
    for kind, code in BROKEN.items():
        service.write(code)
        first = service.start_once()
        theirs = "nothing of ours" if str(ROOT / "wsgiserve") not in first.stderr else "frames of ours"
        last = first.stderr.strip().splitlines()[-1] if first.stderr else ""
        version = service.new_version()
        with service.running():
            service.write(code)
            result = service.reload()
            with socket.create_connection(("127.0.0.1", service.port)) as sock:
                sock.sendall(b"GET /fast HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                goes_on = sock.recv(65536).endswith(version.encode())
        rows.append(
            (
                kind,
                f"exit {first.returncode}, {theirs}: {last}",
                f"exit {result.returncode}, the old code {'serves' if goes_on else 'does not serve'}",
            )
        )
    return rows


def _tell(title: str, lines: Sequence[str]) -> None:
    click.echo(f"\n{title}")
    for line in lines:
        click.echo(f"  {line}")


def _seconds(values: Sequence[float]) -> str:
    return f"median {statistics.median(values):.2f} s, longest {max(values):.2f} s"


@click.command()
@click.option("--times", default=20, show_default=True, help="Number of reloads, and of kills.")
@click.option("--workers", default=4, show_default=True, help="Worker processes.")
@click.option("--clients", default=32, show_default=True, help="Keep-alive clients that ask all the time.")
@click.option("--slow", default=4, show_default=True, help="Clients whose requests take a second.")
@click.option("--preload/--no-preload", default=False, show_default=True, help="Fork from a preloaded app.")
def main(times: int, workers: int, clients: int, slow: int, preload: bool) -> None:
    """Reload, break and kill a server under load; print the requests that failed."""
    options = ["--workers", str(workers), *(["--preload"] if preload else [])]
    with tempfile.TemporaryDirectory() as scratch:

        def service(name: str) -> Service:
            folder = Path(scratch, name)
            folder.mkdir()
            return Service(folder, *options)

        spread = balance(service("balance"), clients)
        _tell(
            f"{clients} connections on {workers} workers",
            [
                f"{how}: {sorted(counts.values(), reverse=True)}"
                for how, counts in zip(("one by one", "at once"), spread, strict=True)
            ],
        )
        tally, seconds, wrong = reloads(service("reloads"), times, clients, slow)
        _tell(
            f"{times} reloads, broken code before every fifth; {clients} busy clients, {slow} slow ones",
            [
                f"answers {tally.total}, of them slow {tally.slow}; longest fast one {tally.longest:.2f} s",
                f"failed: {tally.kinds()}",
                f"a reload took {_seconds(seconds)}",
                *wrong,
                *map(str, tally.failures[:10]),
            ],
        )
        tally, seconds, killed = kills(service("kills"), times, clients, slow)
        _tell(f"{times} times kill -9 of a worker under the same load", _kill_lines(tally, seconds, killed))
        for kind, first, reload in bad_deploys(service("bad")):
            _tell(f"bad deploy: {kind}", [f"first start: {first}", f"reload: {reload}"])


def _kill_lines(tally: Tally, seconds: Sequence[float], killed: Sequence[int]) -> list[str]:
    inside = sum(failure.pid in killed for failure in tally.failures)
    unknown = sum(failure.pid == 0 for failure in tally.failures)
    elsewhere = [failure for failure in tally.failures if failure.pid not in (0, *killed)]
    moments = sorted(tally.moments)[5:-5]  # without the start and the end of the load
    rates = [tally.moments[moment] for moment in moments]
    return [
        f"answers {tally.total}; failed: {tally.kinds()}",
        f"of these on connections of the killed worker {inside}, not answered before {unknown}, "
        f"elsewhere {len(elsewhere)}",
        f"all workers serve again after {_seconds(seconds)}",
        f"answers in a tenth of a second: median {statistics.median(rates):.0f}, fewest {min(rates)}",
        *map(str, elsewhere[:10]),
    ]


if __name__ == "__main__":
    main()
