"""``/metrics`` of real servers: each request is counted, whatever happens to workers, and so says the log."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections import Counter

import pytest

import wsgiserve.processes.ops.metrics  # noqa: F401 - what a supervisor serves
from tests.processes.ops.scrape import metrics, observed, page, promtool, requests
from tests.processes.programs import is_alive, who
from tests.program import LOG_LINE
from tests.server.client import Client, get, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(folder):
    """The app of other tests, and a path that it does not find."""
    text = (folder / "app.py").read_text()
    (folder / "app.py").write_text(
        text.replace(
            '        if path == "/fails":',
            """        if path == "/missing":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"none"]
        if path == "/fails":""",
        )
    )
    return folder


def changed(folder, number):
    """Write another version of the app, of another size; see ``new_version``."""
    path = folder / "app.py"
    path.write_text(path.read_text() + "#" * number + "\n")


class Load:
    """Clients that ask one request after the other, and count the answers by method and status class."""

    def __init__(self, port, clients):
        self.answered = Counter()
        self.lost = 0  # requests whose answer did not come: their worker was killed
        self._port = port
        self._over = False
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self.end()

    def end(self):
        self._over = True
        for thread in self._threads:
            thread.join()

    def _ask(self, number):
        method = ("GET", "POST", "HEAD")[number % 3]
        path = "/missing" if number % 4 == 3 else "/"
        while not self._over:
            try:
                with Client(port=self._port) as client:
                    persists = True
                    while persists and not self._over:
                        response = client.ask(get(path, method=method, body=b"x" * 5 * (method == "POST")))
                        persists = response.headers.get("connection") != "close"
                        with self._lock:
                            self.answered[method, f"{response.status // 100}xx"] += 1
            except (OSError, EOFError):
                with self._lock:
                    self.lost += 1


def test_each_request_is_counted_and_logged(folder):
    with observed(folder, "--workers", "2") as (program, port, ops):
        with Load(port, 8) as load:
            wait_until(lambda: sum(load.answered.values()) > 500)
        values = metrics(ops)
        _, out, _ = program.stop()
    assert load.lost == 0
    assert requests(values) == load.answered
    assert values["wsgiserve_request_wait_seconds_count"] == load.answered.total()
    assert logged(out) == load.answered


def logged(out):
    lines = [LOG_LINE.fullmatch(line) for line in out.splitlines(keepends=True)]
    assert all(lines)
    return Counter((line["request"].partition(" ")[0], f"{line['status'][0]}xx") for line in lines)


def test_nothing_that_was_answered_is_lost_in_reloads_and_killed_workers(folder):
    with observed(folder, "--workers", "2", "--no-access-log") as (program, port, ops):
        with Load(port, 6) as load:
            seen = {}
            for turn in range(6):
                count = sum(load.answered.values())
                wait_until(lambda count=count: sum(load.answered.values()) > count + 200)
                if turn % 2:
                    before = metrics(ops)["wsgiserve_generation"]
                    changed(folder, turn)
                    program.process.send_signal(signal.SIGHUP)
                    wait_until(lambda before=before: metrics(ops)["wsgiserve_generation"] > before)
                else:
                    worker = who(port)[0]
                    load.answered["GET", "2xx"] += 1  # that of ``who``
                    os.kill(worker, signal.SIGKILL)
                    wait_until(lambda worker=worker: not is_alive(worker))
                seen = never_less(seen, metrics(ops))
            load.end()
        wait_until(lambda: alive(metrics(ops)) == 2)
        values = never_less(seen, metrics(ops))
        program.stop()
    answered, counted = load.answered, requests(values)
    assert values["wsgiserve_request_wait_seconds_count"] == sum(counted.values())
    # A request that a kill cut is counted too: as "none" without an answer, else by its status.
    assert answered.keys() <= counted.keys() <= answered.keys() | {(method, "none") for method, _ in answered}
    extra = {key: counted[key] - answered[key] for key in counted}
    assert all(more >= 0 for more in extra.values()), extra
    assert sum(extra.values()) <= load.lost
    assert values['wsgiserve_worker_ends_total{cause="crashed"}'] == 3
    assert values['wsgiserve_reloads_total{outcome="serving"}'] == 3
    ends = sum(value for key, value in values.items() if key.startswith("wsgiserve_worker_ends_total"))
    assert values["wsgiserve_worker_starts_total"] == ends + 2


def alive(values):
    return sum(value for key, value in values.items() if key.startswith("wsgiserve_workers{"))


def never_less(before, after):
    """Return ``after``; no counter in it is less than before, nor a bucket."""
    for key, value in before.items():
        if re.match(r"\w+(_total|_bucket|_count|_sum)\b", key):
            assert after[key] >= value, key
    return after


def test_totals_stay_through_a_reexec(folder):
    with observed(folder, "--no-access-log", "--pid-file", "pid") as (program, port, ops):
        with Client(port=port) as client:
            for _ in range(10):
                client.ask(get())
            client.send(get("/slow"))
            wait_until(program.entered)
            before = metrics(ops)
            assert requests(before) == {("GET", "2xx"): 10}
            program.process.send_signal(signal.SIGUSR2)
            wait_until(lambda: through_a_reexec(ops).get('wsgiserve_workers{state="retiring"}') == 1)
            never_less(before, metrics(ops))
            program.let_go()
            assert client.response().status == 200
        # The worker that the new program has adopted counts it.
        wait_until(lambda: requests(metrics(ops)) == {("GET", "2xx"): 11})
        wait_until(lambda: metrics(ops)['wsgiserve_worker_ends_total{cause="retired"}'] == 1)
        assert requests(metrics(ops)) == {("GET", "2xx"): 11}
        program.stop()


def through_a_reexec(ops):
    """Return the metrics; {} if the exec came between the connection and its request, as it may once."""
    try:
        return metrics(ops)
    except (ConnectionError, EOFError):
        return {}


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork", "preload"])
def test_timeouts_and_shed_requests_are_counted(folder, options):
    arguments = ("--threads", "1", "--max-queue", "0", "--request-timeout", "2s")
    with (
        observed(folder, *arguments, *options) as (program, port, ops),
        Client(port=port) as slow,
        Client(port=port) as shed,
    ):
        slow.send(get("/slow"))
        wait_until(program.entered)
        assert shed.ask(get()).status == 503
        assert slow.response().status == 504
        wait_until(lambda: metrics(ops)['wsgiserve_timeouts_total{kind="call"}'] == 1)
        values = metrics(ops)
        assert requests(values) == {("GET", "5xx"): 2}
        assert values["wsgiserve_shed_total"] == 1
        program.let_go()
        _, out, _ = program.stop()
    assert logged(out) == {("GET", "5xx"): 2}


def test_gauges_tell_what_runs_now(folder):
    names = ("http_server_active_requests", "wsgiserve_threads_busy", "wsgiserve_requests_waiting")
    with (
        observed(folder, "--no-access-log", "--threads", "1") as (program, port, ops),
        Client(port=port) as slow,
        Client(port=port) as waiting,
    ):
        slow.send(get("/slow"))
        wait_until(program.entered)
        waiting.send(get())
        wait_until(lambda: [metrics(ops)[name] for name in names] == [2, 1, 1])
        assert metrics(ops)['wsgiserve_connections{state="running"}'] == 2
        program.let_go()
        assert slow.response().status == waiting.response().status == 200
        wait_until(lambda: [metrics(ops)[name] for name in names] == [0, 0, 0])
        assert metrics(ops)["wsgiserve_request_wait_seconds_sum"] > 0
        program.stop()


def test_a_worker_that_cannot_start_and_a_refused_reload_are_counted(folder):
    (folder / "wsgiserve.toml").write_text("")
    with observed(folder, "--no-access-log") as (program, _, ops):
        (folder / "app.py").write_text("raise RuntimeError")
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: metrics(ops)['wsgiserve_reloads_total{outcome="failed"}'] == 1)
        wait_until(lambda: metrics(ops)['wsgiserve_worker_ends_total{cause="failed"}'] == 1)
        (folder / "wsgiserve.toml").write_text("threads = 0\n")
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: metrics(ops)['wsgiserve_reloads_total{outcome="refused"}'] == 1)
        program.stop()


def test_a_thread_that_comes_back_is_not_lost_any_more_though_no_client_is_there(folder):
    os.mkfifo(folder / "held")
    (folder / "app.py").write_text("def application(environ, start_response): open('held').close()\n")
    with observed(folder, "--no-access-log", "--request-timeout", "0.2s") as (_, port, ops):
        with Client(port=port) as client:
            assert client.ask(get()).status == 504
        wait_until(lambda: metrics(ops)["wsgiserve_threads_lost"] == 1)
        (folder / "held").open("w").close()
        wait_until(lambda: metrics(ops)["wsgiserve_threads_lost"] == 0)


def test_recycled_workers_are_counted_by_limit(folder):
    with observed(folder, "--no-access-log", "--max-requests", "5") as (program, port, ops):
        for _ in range(12):
            who(port)
        wait_until(lambda: metrics(ops)['wsgiserve_worker_ends_total{cause="max-requests"}'] >= 1)
        program.stop()


def test_promtool_has_nothing_to_say(folder):
    with observed(folder, "--no-access-log") as (program, port, ops):
        who(port)
        _, text = page(ops, "/metrics", "Accept: text/plain;version=0.0.4")
        program.stop()
    judged = promtool("check", "metrics", input=text)
    assert (judged.returncode, judged.stdout, judged.stderr) == (0, "", "")


def test_when_certificates_end_is_told(folder):
    arguments = ("--no-access-log", "--tls-self-signed")
    with observed(folder, *arguments) as (program, _, ops):
        values = metrics(ops)
        program.stop()
    ends = [
        value for key, value in values.items() if key.startswith("wsgiserve_certificate_expiry_timestamp")
    ]
    assert len(ends) == 1
    assert ends[0] > values["process_start_time_seconds"]
