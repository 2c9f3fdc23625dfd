"""Apps that spoil what all code of a process shares: the server serves, logs, reloads and stops all the same.

``wsgiserve.processes.command`` imports all that it needs before the app.
"""

from __future__ import annotations

import signal

import pytest

from tests.program import LOG_LINE, serving_program
from tests.server.client import Client, get, wait_until

APP = """
import os, sys

def spoil():
{statements}

if {at_import}:
    spoil()

def application(environ, start_response):
    if environ["PATH_INFO"] == "/spoil" and not {at_import}:
        spoil()
    if environ["PATH_INFO"] == "/raise":
        raise RuntimeError("their bug")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
"""
REPLACE_HANDLERS = (
    "import signal, threading\n"
    "if threading.current_thread() is threading.main_thread():\n"
    "    for name in ({names}):\n"
    "        signal.signal(getattr(signal, name), {handler})"
)
SPOILS = {
    "chdir": "os.chdir('/')",
    "umask": "os.umask(0o777)",
    "environ": "os.environ.clear()",
    "PATH": "os.environ['PATH'] = '/nowhere'",
    "signals are ignored": REPLACE_HANDLERS.format(
        names="'SIGTERM', 'SIGINT', 'SIGCHLD', 'SIGHUP'", handler="signal.SIG_IGN"
    ),
    "signals have handlers": REPLACE_HANDLERS.format(
        names="'SIGTERM', 'SIGINT', 'SIGCHLD', 'SIGHUP'", handler="lambda number, frame: None"
    ),
    "wake-up descriptor": (
        "import signal, threading\n"
        "if threading.current_thread() is threading.main_thread():\n"
        "    _, write = os.pipe()\n"
        "    os.set_blocking(write, False)\n"
        "    signal.set_wakeup_fd(write)"
    ),
    "blocked signals": (
        "import signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])"
    ),
    "faulthandler": "import faulthandler\nfaulthandler.enable()",
    "switch interval": "sys.setswitchinterval(10)",
    "warnings are errors": "import warnings\nwarnings.simplefilter('error')",
    "no output": "sys.stdout = sys.stderr = None",
    "closed output": "import io\nsys.stdout = io.StringIO()\nsys.stdout.close()",
    "open": "import builtins\nbuiltins.open = None",
    "print": "import builtins, functools\nbuiltins.print = functools.partial(print, flush=True)",
    "clocks": "import time\ntime.time = time.monotonic = time.perf_counter = lambda: 0.0",
    "sleep": "import time\ntime.sleep = None",
    "random": "import random\nrandom.seed(1)\nrandom.random = None",
    "collector": "import gc\ngc.disable()\ngc.set_threshold(0)\ngc.freeze()",
    "recursion": "sys.setrecursionlimit(150)",
    "trace of threads": "import threading\nthreading.settrace(None)\nthreading.setprofile(None)",
    "excepthook": "import threading\nsys.excepthook = threading.excepthook = lambda *error: None",
    "stack size": "import threading\nthreading.stack_size(262144)",
    "threads": (
        "import threading\n"
        "threading.Lock = threading.RLock\n"
        "threading._start_new_thread = threading._start_joinable_thread = None\n"
        "threading.Thread.start = None"
    ),
    "queues": "import queue\nqueue.SimpleQueue = queue.Queue = queue.Empty = None",
    "sockets": "import socket\nsocket.socket = socket.socketpair = None",
    "default timeout": "import socket\nsocket.setdefaulttimeout(0.001)",
    "select": (
        "import select, selectors\n"
        "del select.epoll, select.poll, select.select\n"
        "selectors.DefaultSelector = None"
    ),
    "fork": "os.fork = os.waitpid = None",
    "logging is silent in errors": "import logging\nlogging.raiseExceptions = False",
    "logger class": "import logging\nclass Their(logging.Logger): pass\nlogging.setLoggerClass(Their)",
    "json": "import json\njson.dumps = json.loads = None",
    "decimal": "import decimal\ndecimal.getcontext().prec = 1",
    "locale": "import locale\nlocale.setlocale(locale.LC_ALL, 'C')",
    "limit of files": "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))",
    "event loop policy": "import asyncio\nasyncio.set_event_loop(asyncio.new_event_loop())\n"
    "asyncio.get_event_loop().close()",
    "start method": "import multiprocessing\nmultiprocessing.set_start_method('spawn', force=True)",
    "at fork": "os.register_at_fork(before=list, after_in_child=lambda: 1 / 1, after_in_parent=list)",
    "path": "sys.path.clear()\nsys.path_importer_cache.clear()",
    "modules": "for name in ('signal', 'email', 'ssl', 'subprocess'):\n    sys.modules.pop(name, None)",
}


def write_app(folder, spoil, *, at_import):
    statements = "\n".join(f"    {line}" for line in SPOILS[spoil].splitlines())
    (folder / "spoils.py").write_text(APP.format(statements=statements, at_import=at_import))


def case(spoil, mode, at_import):
    quick = (spoil, mode, at_import) in QUICK
    return pytest.param(
        spoil,
        mode,
        at_import,
        id=f"{spoil} {mode} {'at import' if at_import else 'in a view'}",
        marks=[] if quick else pytest.mark.slow,
    )


QUICK = {("threads", "--workers=0", True), ("clocks", "--preload", True)}
CASES = [
    *(case(spoil, mode, True) for spoil in SPOILS for mode in ("--workers=0", "--preload")),
    *(case(spoil, "--workers=1", False) for spoil in SPOILS),
]


@pytest.mark.parametrize(("spoil", "mode", "at_import"), CASES)
def test_an_app_that_spoils_what_it_shares_is_served(tmp_path, spoil, mode, at_import):
    write_app(tmp_path, spoil, at_import=at_import)
    with serving_program(tmp_path, "spoils", mode, "--graceful-timeout", "5") as (program, port):
        out = program.process.stdout
        paths = ["/", "/spoil", "/again"]
        for path in paths:
            with Client(port=port) as client:
                assert client.ask(get(path)).body == b"hello"
        lines = [LOG_LINE.fullmatch(out.readline()) for _ in paths]
        assert {line["request"] for line in lines} == {f"GET {path} HTTP/1.1" for path in paths}
        with Client(port=port) as client:
            assert client.ask(get("/raise")).status == 500
        assert LOG_LINE.fullmatch(out.readline())["status"] == "500"
        if mode != "--workers=0":
            (tmp_path / "spoils.py").write_text(
                (tmp_path / "spoils.py").read_text().replace("hello", "again")
            )
            program.process.send_signal(signal.SIGHUP)
            wait_until(lambda: ask(port) == b"again")
        code, _, err = program.stop()
    assert code == 0, err
    expected = [] if spoil == "no output" else ["RuntimeError: their bug"]
    lines = [line for line in err.splitlines() if " INFO reload: " not in line]
    assert [line for line in lines if line in expected] == expected, err
    assert [line for line in lines if not is_of_the_traceback(line)] == [], err


def ask(port):
    with Client(port=port) as client:
        return client.ask(get()).body


def is_of_the_traceback(line):
    return line.startswith(("Traceback ", "  ", "RuntimeError: their bug")) or line.endswith(
        " ERROR GET /raise raised"
    )
