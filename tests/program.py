"""``python -m wsgiserve`` as a process, for tests that need its signals, output and exit code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from tests.server.client import SECONDS

ROOT = Path(__file__).parent.parent
FREE_PORT = {"WSGISERVE_BIND": "127.0.0.1:0"}
FORK_WARNING = "ignore:This process:DeprecationWarning"  # From Python 3.12, of apps that fork beside threads.

# How a program ends that had to cut ``GET /slow``.
CUT = (
    " ERROR stopped; 1 unfinished request was cut: GET /slow\n"
    "wsgiserve: stopped with requests still running; they were cut\n"
)

STILL_RUNNING = re.compile(r"Stopping: \d+ requests? (is|are) running; there are .*\n")

LOG_LINE = re.compile(
    r"127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
    r'"(?P<request>.*)" (?P<status>\d{3}) (?P<size>\d+) "(?P<referer>.*)" "(?P<agent>.*)" \d+\n'
)

APP = """
import os, sys, time
from wsgiref.validate import validator

@validator
def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        open("entered", "w").close()
        while not os.path.exists("go"):
            time.sleep(0.005)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]

def create_app():
    return application

def broken():
    raise RuntimeError("no database")

class namespace:
    app = application

number = 5
"""


def without_coverage() -> dict[str, str]:
    """Return an environment where coverage is not measured: it imports modules, and handles SIGTERM."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


class Program:
    """``python -m wsgiserve ARGUMENTS`` in ``folder``."""

    def __init__(self, folder, *arguments, env=(), command=("-m", "wsgiserve"), **popen):
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", *command, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": FORK_WARNING, **dict(env)},
            text=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **popen},
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.communicate()

    def announcement(self):
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        return line

    def port(self):
        return int(re.search(r"https?://\S+:(\d+)", self.announcement())[1])

    def end(self):
        """Wait for the end; return (exit code, the rest of stdout, stderr)."""
        out, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out, err

    def stop(self, number=signal.SIGTERM):
        """Send the signal and wait for the end; leave the line about running requests out of stderr.

        A client has its answer a moment before the request is over: a test that stops then may meet it.
        """
        self.process.send_signal(number)
        code, out, err = self.end()
        return code, out, err and STILL_RUNNING.sub("", err)

    def entered(self):
        """Whether ``/slow`` is in the app."""
        return (self.folder / "entered").exists()

    def let_go(self):
        (self.folder / "go").touch()


@contextmanager
def serving_program(folder, *arguments, **options):
    with Program(folder, "--bind", "127.0.0.1:0", *arguments, **options) as program:
        yield program, program.port()


def run(folder, *arguments, env=(), given=None):
    """Run a command that ends by itself; return (exit code, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-m", "wsgiserve", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **dict(env)},
        input=given,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
