"""``--hooks MODULE``: functions that are called as the server starts, reloads and ends.

| function | process | when |
|---|---|---|
| ``when_ready(server)`` | one of its own | all workers serve for the first time |
| ``on_reload(server)`` | one of its own | a reload was asked for, before its workers start |
| ``post_fork(server, worker)`` | each worker | before the app is imported, or is taken from a template |
| ``worker_exit(server, worker)`` | each worker | it has served its last request |

Names and arguments are gunicorn's. The first two run beside the supervisor, which imports no code of users: a
hook that fails, hangs or grows costs nothing but itself. Such a process ends with the supervisor.

An exception of ``post_fork`` is a failed start, as one of the app's own start-up hooks: a worker that is
prepared by half does not serve, and after a reload the workers before go on. Others are logged with their
traceback, and end nothing. With ``--workers 0`` all of them run in the one process.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

from wsgiserve import tracebacks
from wsgiserve.config import Config, make_config
from wsgiserve.forks import ending_children
from wsgiserve.processes.parent_death import die_with
from wsgiserve.processes.spawn import folder
from wsgiserve.server.errors import StartError
from wsgiserve.server.server_log import log_beside
from wsgiserve.server.sinks import at_start

logger = logging.getLogger("wsgiserve")

NAMES = ("when_ready", "on_reload", "post_fork", "worker_exit")
_OPTIONS = ("log_format", "log_level")  # that the process of a hook needs


class HookServer(NamedTuple):
    """The server that hooks see: the process id of its supervisor, its addresses as URLs, and its log."""

    pid: int
    address: tuple[str, ...]
    log: logging.Logger = logger


class HookWorker(NamedTuple):
    """The worker that hooks see: its process id, and its number, counted from the start of the server."""

    pid: int
    age: int
    log: logging.Logger = logger


def post_fork(module: str, server: HookServer, worker: HookWorker) -> None:
    """Call the hook in a worker, if there is one; StartError if it raises or there are no hooks."""
    try:
        _call(module, "post_fork", server, worker)
    except BaseException as error:  # noqa: BLE001 - SystemExit is a reason like any other
        raise StartError(f"wsgiserve: --hooks {module}: {_reason(module, error)}") from None


def _reason(module: str, error: BaseException) -> str:
    if isinstance(error, _NoHooksError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
        return f"no module named {error.name!r} here; looked in this folder and in sys.path"
    return f"post_fork failed\n{tracebacks.text(error)}"


def call_logged(module: str, name: str, *arguments: object) -> bool:
    """Call a hook, if there is one; log its exception and return False."""
    try:
        _call(module, name, *arguments)
    except Exception as error:
        theirs = tracebacks.theirs(error.__traceback__)
        logger.error("the hook %s of %s raised", name, module, exc_info=(type(error), error, theirs))
        return False
    return True


class _NoHooksError(Exception):
    """A module has none of the hooks."""


def _call(module: str, name: str, *arguments: object) -> None:
    if not module:
        return
    its = importlib.import_module(module)
    if not any(hasattr(its, each) for each in NAMES):  # Of a misspelled one nobody would learn otherwise.
        raise _NoHooksError(f"it has no function {', '.join(NAMES[:-1])} or {NAMES[-1]}")
    hook = getattr(its, name, None)
    if hook is not None:
        with ending_children():
            hook(*arguments)


class HookProcess:
    """A process that calls one hook; OSError, MemoryError or SubprocessError if the system refuses it."""

    def __init__(self, config: Config, name: str, server: HookServer) -> None:
        self.name = name
        self._ours, theirs = socket.socketpair()
        facts = {
            "module": config.hooks,
            "name": name,
            "server": {"pid": server.pid, "address": server.address},
            "options": {
                **{option: getattr(config, option) for option in _OPTIONS},
                "log_config": config.log_config and at_start(config.log_config),
            },
        }
        with theirs, ExitStack() as closing:
            closing.callback(self._ours.close)
            self.process = subprocess.Popen(
                [sys.executable, "-m", __name__, json.dumps(facts)],
                cwd=folder(),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()] if os.name == "posix" else (),
                preexec_fn=partial(die_with, theirs) if os.name == "posix" else None,
            )
            closing.pop_all()

    def end(self) -> None:
        """Kill the process, as the supervisor ends; or let go of one that has ended."""
        self._ours.close()
        self.process.kill()  # It looks first whether the process has ended.
        self.process.wait()

    def leave(self) -> None:
        """Let go of the process in a forked child, which must not keep it from ending with the supervisor."""
        self._ours.close()
        self.process.returncode = 0  # As Popen sees it: it is no child of ours.


def main(facts: Mapping[str, Any]) -> int:
    """Be such a process; return the exit code."""
    sys.path.insert(0, os.getcwd())
    log_beside(make_config(**facts["options"]))
    server = HookServer(facts["server"]["pid"], tuple(facts["server"]["address"]))
    return 0 if call_logged(facts["module"], facts["name"], server) else 1


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
