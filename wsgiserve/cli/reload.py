"""``wsgiserve reload --pid-file PATH``: reload a running server and wait for the outcome."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import click

from wsgiserve.cli.commands import HELP
from wsgiserve.cli.values import TIME
from wsgiserve.processes.pid_file import read_pid, read_status
from wsgiserve.server.console import EXIT_USAGE, fail

EXIT_NOT_RELOADED = 1
LOOK_SECONDS = 0.05


@click.command("reload", context_settings=HELP)
@click.option("--pid-file", required=True, metavar="PATH", help="The --pid-file of the server.")
@click.option(
    "--wait", type=TIME, default=60.0, show_default="60s", metavar="SECONDS", help="Wait at most this long."
)
def command(pid_file: str, wait: float) -> None:
    """Load new code and configuration into a running server, without losing a request.

    The exit code is 0 once new workers serve. It is 1 if the new code fails: the reason is printed, and the
    old workers go on.
    """
    before = read_status(pid_file).get("latest", 0)
    try:
        pid = read_pid(pid_file)
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        fail(f"no server to reload: the process that {pid_file} names has ended", EXIT_USAGE)
    except ValueError:
        fail(f"no server to reload: {pid_file} names no process", EXIT_USAGE)
    except OSError as error:
        fail(f"no server to reload: {pid_file}: {error.strerror}", EXIT_USAGE)
    status = _outcome(pid_file, before, time.monotonic() + wait)
    if status.get("outcome") == "serving":
        click.echo(f"Generation {status['generation']} serves")
        for text in status.get("unchanged", ()):
            sys.stderr.write(f"wsgiserve: {text}\n")
        return
    reason = status.get("reason") or f"there was no outcome in {wait:g} s"
    sys.stderr.write(f"{reason}\n")
    goes_on = status.get("generation", 0)
    fail(f"not reloaded; generation {goes_on} goes on serving", EXIT_NOT_RELOADED)


def _outcome(pid_file: str, before: int, until: float) -> dict[str, Any]:
    """Wait until a generation after ``before`` has an outcome; return the status, without one if too late."""
    while True:
        status = read_status(pid_file)
        if status.get("latest", 0) > before and status.get("outcome"):
            return status
        if time.monotonic() >= until:
            return {**status, "outcome": ""}
        time.sleep(LOOK_SECONDS)
