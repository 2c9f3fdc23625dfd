"""``/metrics`` and the access log agree to the last request, whatever happens to the workers."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from contextlib import ExitStack, contextmanager, suppress

import pytest

import wsgiserve.processes.ops.metrics  # noqa: F401 - what a supervisor serves
from tests.processes.ops.scrape import metrics, observed, page, requests
from tests.processes.programs import is_alive
from tests.program import LOG_LINE
from tests.server.agreement import ends, of_log
from tests.server.client import Client, get, wait_until

pytestmark = pytest.mark.slow

APP = """
import os, signal, time

def application(environ, start_response):
    _, kind, *_ = environ["PATH_INFO"].split("/")
    entered = os.open("entered", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(entered, f"{environ['PATH_INFO']}\\n".encode())
    os.close(entered)
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "exit":
        os._exit(3)
    elif kind == "slow":
        time.sleep(0.2)
    elif kind == "hang":
        time.sleep(3)
    elif kind == "wait":
        while not os.path.exists("go"):
            time.sleep(0.01)
    elif kind == "raise":
        raise OSError("no database")
    status = "404 Not Found" if kind == "missing" else "200 OK"
    body = bytes(3_000_000 if kind == "large" else 5)
    length = len(body) + (kind == "short")
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(length))])
    return iter([body]) if kind == "stream" else [body]
"""


HELD = """
import os, time

while os.path.exists("hold"):
    time.sleep(0.005)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def records(folder):
    return [json.loads(line) for line in (folder / "log").read_text().splitlines()]


def unless_cut(ask, *arguments, **options):
    """Return what the endpoint says; None if an exec came into the way."""
    try:
        return ask(*arguments, **options)
    except (ConnectionError, EOFError):
        return None


def counted(ops):
    """Return what ``/metrics`` says, as ``agreement`` has it; None if an exec came into the way."""
    values = unless_cut(metrics, ops)
    if values is None:
        return None
    by_class = {
        (method, 0 if status == "none" else int(status[0])): number
        for (method, status), number in requests(values).items()
    }

    def get(name):
        kind, _, label = name.partition(" ")
        return values[
            {
                "clients_left": "wsgiserve_clients_left_total",
                "shed": "wsgiserve_shed_total",
                "cut": "wsgiserve_requests_cut_total",
                "timeout": f'wsgiserve_timeouts_total{{kind="{label}"}}',
                "refused": f'wsgiserve_refusals_total{{reason="{label}"}}',
            }[kind]
        ]

    return by_class, ends(get)


def workers(ops, **wanted):
    """Return the process ids of the workers that are like this; [] if an exec came into the way."""
    try:
        found = json.loads(page(ops, "/status.json")[1])["workers"]
    except (ConnectionError, EOFError):
        return []
    return [one["pid"] for one in found if all(one[name] == value for name, value in wanted.items())]


def entered(folder):
    """Return the paths of all calls that began."""
    path = folder / "entered"
    return path.read_text().split() if path.exists() else []


# -- a worker that is killed

UNFINISHED = ("/wait/a?b=c", "/wait/b", "/wait/c")
CUT = ({("GET", 0): 3}, {"cut": 3})
FORMATS = {"json": "json", "combined": "combined", "logfmt": "logfmt", "template": "{method} {path} {end}"}


@contextmanager
def unfinished(folder, *options, format="json"):
    """Serve with two requests in the app, and one that waits for a thread."""
    arguments = ["--threads", "2", "--access-log", "log", "--log-format", format, "--pid-file", "pid"]
    with observed(folder, *arguments, *options) as (program, port, ops), ExitStack() as stack:
        for path in UNFINISHED:
            stack.enter_context(Client(port=port)).send(get(path))
        wait_until(lambda: len(entered(folder)) == 2)
        wait_until(lambda: metrics(ops)["wsgiserve_requests_waiting"] == 1)
        yield program, ops


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork", "preload"])
@pytest.mark.parametrize("format", FORMATS)
def test_unfinished_requests_of_a_killed_worker_are_counted_and_have_a_line(folder, options, format):
    with unfinished(folder, *options, format=FORMATS[format]) as (program, ops):
        os.kill(*workers(ops), signal.SIGKILL)
        wait_until(lambda: counted(ops) == CUT)
        program.stop()
    lines = (folder / "log").read_text().splitlines(keepends=True)
    assert len(lines) == 3
    for asked in UNFINISHED:
        path = asked.partition("?")[0]
        (line,) = [line for line in lines if path in line]
        if format == "json":
            record = json.loads(line)
            assert (record["url.path"], record["wsgiserve.end"]) == (path, "cut")
        elif format == "combined":
            assert LOG_LINE.fullmatch(line)["request"] == f"GET {asked} HTTP/1.1"
        else:
            assert "cut" in line


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork", "preload"])
def test_so_are_those_of_a_worker_that_another_program_has_adopted(folder, options):
    with unfinished(folder, *options) as (program, ops):
        (old,) = workers(ops)
        program.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: unless_cut(workers, ops, state="retiring") == [old])
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: counted(ops) == CUT)
        program.stop()
    assert of_log(records(folder)) == CUT


def parent_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_so_are_those_of_a_worker_that_has_ended_but_is_not_reaped_at_a_reexec(folder):
    """Its template, which reaps it, is late."""
    with unfinished(folder, "--preload") as (program, ops):
        (old,) = workers(ops)
        template = parent_of(old)
        os.kill(template, signal.SIGSTOP)
        os.kill(old, signal.SIGKILL)
        try:
            program.process.send_signal(signal.SIGUSR2)
            wait_until(lambda: old not in (unless_cut(workers, ops) or [old]))
        finally:
            os.kill(template, signal.SIGCONT)
        wait_until(lambda: workers(ops, state="serving"))
        assert counted(ops) == CUT
        program.stop()
    assert of_log(records(folder)) == CUT


def test_those_of_a_worker_that_was_adopted_go_where_it_writes(folder):
    """The new program's configuration has another log."""
    file = folder / "wsgiserve.toml"
    file.write_text("access_log = 'log'\nlog_format = 'json'\nlog_skip = ['/health']\n")
    with observed(folder) as (program, port, ops), Client(port=port) as client:
        (old,) = workers(ops)
        client.send(get("/wait"))
        wait_until(lambda: entered(folder))
        file.write_text("access_log = 'another log'\n")
        for generation in (2, 3):
            program.process.send_signal(signal.SIGUSR2)
            wait_until(
                lambda generation=generation: unless_cut(workers, ops, state="serving", generation=generation)
            )
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: old not in workers(ops))
        program.stop()
    (record,) = records(folder)
    assert (record["url.path"], record["wsgiserve.end"]) == ("/wait", "cut")
    assert not (folder / "another log").read_text()


def balance(values):
    """Return how many workers were started and have not ended, and how many there are."""
    ends = sum(number for key, number in values.items() if key.startswith("wsgiserve_worker_ends_total"))
    alive = sum(number for key, number in values.items() if key.startswith("wsgiserve_workers{"))
    return values["wsgiserve_worker_starts_total"] - ends, alive


def test_a_reexec_is_the_end_of_a_worker_that_starts(folder):
    (folder / "app.py").write_text(HELD + APP)
    with observed(folder, "--no-access-log") as (program, _, ops):
        (folder / "hold").touch()
        program.process.send_signal(signal.SIGTTIN)
        wait_until(lambda: workers(ops, state="starting", generation=1))
        assert balance(metrics(ops)) == (2, 2)
        program.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: unless_cut(workers, ops, state="starting", generation=2))
        started, alive = balance(metrics(ops))
        assert started == alive > 2
        (folder / "hold").unlink()
        program.stop()


def test_why_a_worker_retires_is_known_behind_a_reexec(folder):
    """It finishes a request while another program takes over."""
    with observed(folder, "--no-access-log") as (program, port, ops), Client(port=port) as client:
        (old,) = workers(ops)
        client.send(get("/wait"))
        wait_until(lambda: entered(folder))
        os.kill(old, signal.SIGTERM)
        wait_until(lambda: workers(ops, state="retiring") == [old])
        program.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: unless_cut(workers, ops, state="serving", generation=2))
        (folder / "go").touch()
        assert client.response().status == 200
        wait_until(lambda: old not in workers(ops))
        assert metrics(ops)['wsgiserve_worker_ends_total{cause="SIGTERM"}'] == 1
        program.stop()


def test_a_worker_that_does_not_end_in_time_counts_and_writes_them_itself(folder):
    with unfinished(folder, "--graceful-timeout", "0.5s") as (program, ops):
        (old,) = workers(ops)
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: counted(ops)[1].total() == 3)
        wait_until(lambda: not is_alive(old))
        found = counted(ops)
        program.stop()
    assert of_log(records(folder)) == found == ({("GET", 0): 2, ("GET", 5): 1}, {"cut": 2, "shed": 1})


# -- a load


class Load:
    """Clients that send requests of all kinds, each with a path of its own, and note what came of them."""

    KINDS = (
        ["fast"] * 40 + ["missing", "stream", "slow"] * 4 + ["raise", "short", "large", "bad", "leave"] * 2
    ) + ["hang"]

    def __init__(self, port, clients, count):
        self.port = port
        self.outcomes = {}  # by path: a status, or "none"
        self._chance = random.Random(1)
        self._threads = [
            threading.Thread(target=self._run, args=(self._requests(number, count),))
            for number in range(clients)
        ]

    def _requests(self, number, count):
        return [f"/{self._chance.choice(self.KINDS)}/{number}-{each}" for each in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        for thread in self._threads:
            thread.join()

    def _run(self, paths):
        paths = paths[::-1]
        while paths:
            with suppress(OSError, EOFError), Client(port=self.port) as client:
                while paths and self.ask(client, paths.pop()):
                    pass

    def ask(self, client, path):
        """Send a request; return whether its connection can be used again."""
        self.outcomes[path] = "none"
        kind = path.split("/")[1]
        client.send(get(path, *(["A b"] if kind == "bad" else [])))
        if kind == "leave":
            client.reset()
            return False
        if kind == "short":
            return not client.rest()
        response = client.response()
        self.outcomes[path] = response.status
        return "connection" not in response.headers

    @property
    def done(self):
        return len(self.outcomes)


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork", "preload"])
def test_a_load_of_known_size_is_counted_and_logged_to_the_last_request(folder, options):
    """Several workers, reloads, kills, crashes, timeouts, shed and refused requests, all at once."""
    arguments = ["--workers", "3", "--threads", "3", "--max-queue", "1", "--request-timeout", "1s"]
    arguments += ["--health-path", "/health", "--graceful-timeout", "5s", "--access-log", "log"]
    count, clients = 120, 8
    with observed(folder, *arguments, "--log-format", "json", *options, stderr=subprocess.DEVNULL) as (
        program,
        port,
        ops,
    ):
        seen = []
        with Load(port, clients, count) as load:
            for turn, trouble in enumerate(["kill", "reload", "exit", "kill", "reload", "kill"], 1):
                wait_until(lambda turn=turn: load.done > turn * clients * count // 8)
                if trouble == "reload":
                    program.process.send_signal(signal.SIGHUP)
                else:
                    with suppress(OSError, EOFError), Client(port=port) as client:
                        load.ask(client, f"/{trouble}/{turn}")
                seen.append(counted(ops)[0])
                with suppress(OSError, EOFError), Client(port=port) as client:
                    load.ask(client, f"/health?{turn}")
        wait_until(lambda: len(workers(ops, state="serving")) == 3 == len(workers(ops)))
        wait_until(lambda: metrics(ops)["http_server_active_requests"] == 0)
        seen.append(counted(ops)[0])
        found = counted(ops)
        program.stop()
    for before, after in itertools.pairwise(seen):
        assert all(number <= after[key] for key, number in before.items())
    lines = records(folder)
    assert of_log(lines) == found
    assert set(found[1]) == {"client left", "cut", "refused", "shed", "timeout"}
    by_path = defaultdict(list)
    for record in lines:
        query = f"?{record['url.query']}" if "url.query" in record else ""
        by_path[record["url.path"] + query].append(record.get("http.response.status_code", 0))
    calls = set(entered(folder))
    assert by_path.keys() <= load.outcomes.keys()
    for path, status in load.outcomes.items():
        if status != "none":
            assert by_path[path] == [status], path
        else:
            # The worker was killed before it read the request, or it was cut.
            assert len(by_path[path]) == 1 or (not by_path[path] and path not in calls), path
    missing = [path for path in load.outcomes if not by_path[path]]
    assert len(missing) <= 4 * clients + sum(path.startswith("/leave/") for path in load.outcomes)
