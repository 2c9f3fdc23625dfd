"""The servers under test, as a table, `CONTENDERS`: the command that starts each, and its version.

Each server runs one worker process, so that processor times compare. Only the number of threads varies:
the server's own default, and 64, the default of wsgiserve. Limits that would exclude a server from a scenario
(backlog, connections, keep-alive time) are raised for all. The access log is on only where a scenario asks.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from bench.harness.child import ROOT

OURS = "wsgiserve"
FLOOR = "floor"
MANY = "20000"
BACKLOG = "2048"


@dataclass(frozen=True)
class Launch:
    """The inputs of a command line; `scratch` is a temporary directory of this run."""

    port: int
    app: str
    threads: int | None
    access_log: bool
    one_shot: bool
    scratch: Path
    workers: int = 1

    @property
    def bind(self) -> str:
        return f"127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Contender:
    """A server; `threads` is None for its own default.

    `logs` says whether it has an access log, `forks` whether it can run several processes.
    """

    name: str
    command: Callable[[Launch], list[str]]
    version: Callable[[], str | None]  # None: not installed
    threads: int | None = None
    logs: bool = True
    forks: bool = False

    @property
    def is_peer(self) -> bool:
        return self.name not in (OURS, FLOOR)


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _threads(option: str, launch: Launch) -> list[str]:
    return [] if launch.threads is None else [option, str(launch.threads)]


def _wsgiserve(launch: Launch) -> list[str]:
    log = "--access-log=-" if launch.access_log else "--no-access-log"
    cap = [] if launch.threads == 64 else _threads("--threads", launch)
    workers = [] if launch.workers == 1 else ["--workers", str(launch.workers)]
    return _python("wsgiserve", launch.app, "--bind", launch.bind, log, *cap, *workers)


def _floor(launch: Launch) -> list[str]:
    binary = str(launch.scratch / "floor")
    return [binary, str(launch.port), *(["close"] if launch.one_shot else [])]


def _bjoern(launch: Launch) -> list[str]:
    module, name = launch.app.split(":")
    code = f"import bjoern; from {module} import {name} as app"
    return [sys.executable, "-c", f"{code}; bjoern.run(app, '127.0.0.1', {launch.port})"]


def _fastpysgi(launch: Launch) -> list[str]:
    module, name = launch.app.split(":")
    code = f"import fastpysgi; from {module} import {name} as app"
    return [sys.executable, "-c", f"{code}; fastpysgi.run(app, '127.0.0.1', {launch.port})"]


def _granian(launch: Launch) -> list[str]:
    """Raise limits only beside a set number of threads; the default number is half of `--backpressure`."""
    admit = [] if launch.threads is None else ["--backlog", MANY, "--backpressure", MANY]
    log = "--access-log" if launch.access_log else "--no-access-log"
    return _python(
        "granian",
        *("--interface", "wsgi", "--http", "1", "--workers", str(launch.workers), log),
        *("--host", "127.0.0.1", "--port", str(launch.port)),
        *admit,
        *_threads("--blocking-threads", launch),
        launch.app,
    )


def _uwsgi(launch: Launch) -> list[str]:
    """Let the worker speak HTTP itself: uWSGI's router process in front of it costs far more.

    uWSGI closes a connection at the client's wish but sends no `Connection: close`. For one request per
    connection use its socket without keep-alive, and add that field.
    """
    socket = "--http-socket" if launch.one_shot else "--http11-socket"
    return [
        *(_uwsgi_binary() or "uwsgi", socket, launch.bind, "--wsgi", launch.app),
        *(["--add-header", "Connection: close"] if launch.one_shot else []),
        *("--home", sys.prefix, "--pythonpath", str(ROOT), "--master", "--die-on-term"),
        *("--need-app", "--enable-threads", "--listen", BACKLOG),
        *_threads("--threads", launch),
        *([] if launch.workers == 1 else ["--processes", str(launch.workers)]),
        *([] if launch.access_log else ["--disable-logging"]),
    ]


def _gunicorn(worker: str) -> Callable[[Launch], list[str]]:
    def command(launch: Launch) -> list[str]:
        return _python(
            "gunicorn",
            *("--bind", launch.bind, "--worker-class", worker, "--workers", str(launch.workers)),
            *("--keep-alive", "75", "--worker-connections", MANY, "--no-control-socket"),
            *_threads("--threads", launch),
            *(["--access-logfile", "-"] if launch.access_log else []),
            launch.app,
        )

    return command


def _waitress(launch: Launch) -> list[str]:
    return _python(
        "waitress",
        *(f"--listen={launch.bind}", f"--connection-limit={MANY}", "--asyncore-use-poll"),
        f"--backlog={BACKLOG}",
        *([] if launch.threads is None else [f"--threads={launch.threads}"]),
        launch.app,
    )


def _cheroot(launch: Launch) -> list[str]:
    return _python(
        "cheroot",
        *("--bind", launch.bind, "--request-queue-size", BACKLOG, "--timeout", "75"),
        *_threads("--threads", launch),
        launch.app,
    )


def compile_floor(scratch: Path) -> None:
    """Compile floor.c into `scratch`, if there is a compiler."""
    if compiler := shutil.which("cc"):
        source = Path(__file__).with_name("floor.c")
        subprocess.run([compiler, "-O2", "-o", scratch / "floor", source], check=True)


def _floor_version() -> str | None:
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    answer = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
    return answer.stdout.splitlines()[0]


def _our_version() -> str | None:
    if importlib.util.find_spec("wsgiserve.cli") is None:
        return None
    return str(importlib.import_module("wsgiserve").__version__)


def _uwsgi_binary() -> str | None:
    return shutil.which("uwsgi", path=str(Path(sys.executable).parent)) or shutil.which("uwsgi")


def _uwsgi_version() -> str | None:
    binary = _uwsgi_binary()
    if binary is None:
        return None
    answer = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def _installed(distribution: str) -> Callable[[], str | None]:
    def version() -> str | None:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            return None

    return version


CONTENDERS = [
    Contender(FLOOR, _floor, _floor_version, logs=False),
    Contender(OURS, _wsgiserve, _our_version, threads=64, forks=True),
    Contender("bjoern", _bjoern, _installed("bjoern"), logs=False),
    Contender("fastpysgi", _fastpysgi, _installed("fastpysgi"), logs=False),
    Contender("granian", _granian, _installed("granian"), forks=True),
    Contender("granian-64", _granian, _installed("granian"), threads=64, forks=True),
    Contender("uwsgi", _uwsgi, _uwsgi_version, forks=True),
    Contender("uwsgi-64", _uwsgi, _uwsgi_version, threads=64, forks=True),
    Contender("gunicorn-sync", _gunicorn("sync"), _installed("gunicorn"), forks=True),
    Contender("gunicorn-gthread", _gunicorn("gthread"), _installed("gunicorn"), forks=True),
    Contender(
        "gunicorn-gthread-64",
        _gunicorn("gthread"),
        _installed("gunicorn"),
        threads=64,
        forks=True,
    ),
    Contender("waitress", _waitress, _installed("waitress"), logs=False),
    Contender("waitress-64", _waitress, _installed("waitress"), threads=64, logs=False),
    Contender("cheroot", _cheroot, _installed("cheroot"), logs=False),
    Contender("cheroot-64", _cheroot, _installed("cheroot"), threads=64, logs=False),
]
