"""The benchmarks' tables are well-formed, and their readers of foreign text read it right.

What they measure is no test's business: no figure is judged here.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.validate import validator

import pytest
from click.testing import CliRunner

from bench import apps, crowd, measure, proc, report, server, wrk
from bench.__main__ import main
from bench.contenders import CONTENDERS, ROOT, Contender
from bench.scenarios import BROWSER, SCENARIOS, Load, Request, Scenario

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")

SCENARIO_NAMES = [scenario.name for scenario in SCENARIOS]
RESULT = (
    '{"requests":3000,"microseconds":1500000,"p50":120,"p99":4500,'
    '"status":%d,"connect":0,"read":%d,"write":0,"timeout":0}\n'
)
STAT = (
    "4242 (a) b (c) S 17 4242 4242 0 -1 4194560 1163 900 0 0 "
    "120 30 7 3 20 0 5 0 12345 104857600 2560 18446744073709551615"
)


class SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(app: WSGIApplication) -> Iterator[int]:
    with make_server("127.0.0.1", 0, validator(app), handler_class=SilentHandler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield httpd.server_port
        finally:
            httpd.shutdown()
            thread.join()


@pytest.fixture
def hello_port() -> Iterator[int]:
    with served(apps.application) as port:
        yield port


# --- the tables ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([contender.name for contender in CONTENDERS], id="contenders"),
        pytest.param(SCENARIO_NAMES, id="scenarios"),
    ],
)
def test_names_are_unique_and_fit_the_command_line(names: list[str]) -> None:
    assert len(set(names)) == len(names)
    assert not [name for name in names if "," in name or " " in name]


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_command_names_the_port_in_every_scenario(contender: Contender) -> None:
    lines = [measure.command(contender, scenario, port=54321) for scenario in SCENARIOS]
    assert all("54321" in " ".join(line) for line in lines)


def test_wsgiserve_is_started_with_default_options() -> None:
    ours = next(contender for contender in CONTENDERS if contender.name == "wsgiserve")
    line = measure.command(ours, SCENARIOS[0], port=54321)
    assert line[1:] == (
        *("-m", "wsgiserve", "bench.apps:application"),
        *("--bind", "127.0.0.1:54321", "--no-access-log"),
    )


@pytest.mark.parametrize(
    ("name", "threads"),
    [("wsgiserve", "512"), ("waitress-64", "--threads=512"), ("waitress", None)],
)
def test_scenario_sets_the_threads_of_those_that_have_a_number(name: str, threads: str | None) -> None:
    contender = next(contender for contender in CONTENDERS if contender.name == name)
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == "sleep-512")
    line = measure.command(contender, scenario)
    assert [word for word in line if "512" in word] == ([threads] if threads else [])


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario_is_compared_with_one_that_runs_before_it(scenario: Scenario) -> None:
    place = SCENARIO_NAMES.index(scenario.name)
    assert scenario.against is None or scenario.against in SCENARIO_NAMES[:place]


def test_browser_sends_twelve_headers_with_host() -> None:
    assert len({name.lower() for name, _ in BROWSER} | {"host"}) == 12


# --- the apps -----------------------------------------------------------------------------------

LOADS = [
    (scenario.name, load)
    for scenario in SCENARIOS
    if scenario.app == "bench.apps:application"
    for load in scenario.loads
]


@pytest.mark.parametrize("load", [load for _, load in LOADS], ids=[name for name, _ in LOADS])
def test_app_gives_the_answer_that_the_scenario_expects(hello_port: int, load: Load) -> None:
    server.check(hello_port, load.request, closes=False)
    assert load.request.answer


# --- /proc --------------------------------------------------------------------------------------


def test_stat_is_read_although_the_command_holds_brackets_and_blanks() -> None:
    assert proc.parse_stat(STAT) == proc.Stat(pid=4242, parent=17, ticks=160, pages=2560)


def test_tree_holds_a_grandchild() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as child:
        try:
            assert _reached(lambda: len(proc.tree(child.pid)) == 2)
            assert child.pid in [stat.pid for stat in proc.tree(os.getpid())]
        finally:
            child.communicate(b"\n")  # ends both: the grandchild reads the same pipe


def test_usage_grows_with_the_work_done() -> None:
    before = proc.usage(os.getpid())
    end = time.thread_time() + 10 / proc.TICKS_PER_SECOND
    while time.thread_time() < end:
        pass
    after = proc.usage(os.getpid())
    assert after.cpu - before.cpu >= 5 / proc.TICKS_PER_SECOND  # each part is rounded down
    assert after.rss > proc.PAGE_BYTES


def test_usage_of_a_process_that_is_gone_is_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert proc.usage(child.pid) == proc.Usage(cpu=0, rss=0)


# --- wrk ----------------------------------------------------------------------------------------


def test_result_of_wrk_is_read() -> None:
    text = "Running 2s test @ http://127.0.0.1:8000/\n  2 threads\n" + RESULT % (0, 0)
    assert wrk.parse(text) == wrk.Result(requests=3000, rate=2000.0, p50=0.12, p99=4.5, faults="")


def test_faults_are_told_in_words() -> None:
    assert wrk.parse(RESULT % (7, 2)).faults == "7 non-2xx, 2 broken reads"


def test_run_without_an_answer_has_no_latency() -> None:
    result = wrk.parse((RESULT % (0, 0)).replace("3000", "0"))
    assert (result.rate, result.p50, result.p99, result.faults) == (0, None, None, "no answer")


def test_output_without_a_result_is_refused() -> None:
    with pytest.raises(ValueError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1\n")


SEEN = ("REQUEST_METHOD", "PATH_INFO", "CONTENT_LENGTH", "HTTP_X_KEY")


@pytest.mark.skipif(wrk.find() is None, reason="wrk is not installed")
def test_wrk_sends_what_the_load_says() -> None:
    seen: set[tuple[str, ...]] = set()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.add(tuple(environ[key] for key in SEEN))
        return apps.application(environ, start_response)

    request = Request("/post", "POST", headers=(("X-Key", "a b"),), body=1000, answer=b"1000")
    with served(app) as port:
        (result,) = wrk.run([Load(request, clients=1)], port, seconds=1)
    assert seen == {("POST", "/post", "1000", "a b")}
    assert result.requests > 0
    assert "non-2xx" not in result.faults


# --- the server's child process and the crowd ---------------------------------------------------


def test_check_accepts_the_right_answer(hello_port: int) -> None:
    server.check(hello_port, Request(), closes=True)
    with pytest.raises(server.UnfitError):
        server.check(hello_port, Request(answer=apps.HELLO[:-1]), closes=True)


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        pytest.param(Request(answer=b"other"), "wrong body", id="wrong-body"),
        pytest.param(Request("/nowhere"), "answered 404", id="wrong-status"),
    ],
)
def test_check_refuses(hello_port: int, request_: Request, complaint: str) -> None:
    with pytest.raises(server.UnfitError, match=complaint):
        server.check(hello_port, request_, closes=False)


def test_check_refuses_a_server_that_keeps_what_should_close() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(apps.HELLO) + apps.HELLO
        thread = threading.Thread(target=lambda: _answer_one(listener, answer))
        thread.start()
        with pytest.raises(server.UnfitError, match="does not say that it closes"):
            server.check(listener.getsockname()[1], Request(), closes=True)
        thread.join()


def test_check_refuses_a_closed_port() -> None:
    with pytest.raises(server.UnfitError, match="ConnectionRefusedError"):
        server.check(server.free_port(), Request(), closes=False)


def test_contender_that_cannot_start_says_why(tmp_path: Path) -> None:
    line = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    starting = server.running(line, server.free_port(), 0, tmp_path, tmp_path / "log")
    with pytest.raises(server.UnfitError, match="no such thing"), starting:
        pass


def test_contender_is_gone_after_its_turn(tmp_path: Path) -> None:
    port = server.free_port()
    line = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    core = min(os.sched_getaffinity(0))
    with server.running(line, port, core, tmp_path, tmp_path / "log") as running:
        assert os.sched_getaffinity(running.pid) == {core}
    assert proc.tree(running.pid) == []


def test_crowd_counts_those_that_the_server_keeps() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with crowd.slowloris(listener.getsockname(), 3) as sockets:
            held = [listener.accept()[0] for _ in range(3)]
            assert crowd.alive(sockets) == 3
            assert all(sock.recv(1024).startswith(b"GET / HTTP/1.1\r\n") for sock in held)
            held[0].shutdown(socket.SHUT_WR)
            assert _reached(lambda: crowd.alive(sockets) == 2)
        for sock in held:
            sock.close()


# --- the report and the command -----------------------------------------------------------------


@pytest.fixture
def finished() -> report.Run:
    contenders = [contender for contender in CONTENDERS if contender.name in TABLE["minimal"]]
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in TABLE]
    return report.Run(contenders, scenarios, 1, 1, measure.Cores(server=1, load=0), TABLE, ["--rounds", "1"])


UWSGI = (sys.executable, "/somewhere/bin/uwsgi", "--home", sys.prefix, "--pythonpath", str(ROOT))
TABLE: measure.Table = {
    "minimal": {
        "uwsgi": measure.Cell(cpu=30.0, rate=9_000.0, command=UWSGI),
        "floor": measure.Cell(cpu=5.0, rate=100_000.0),
        "wsgiserve": measure.Cell(cpu=8.0, rate=90_000.0),
        "bjoern": measure.Cell(cpu=1.0, rate=200_000.0, note="9 non-2xx"),
        "fastpysgi": measure.Cell(cpu=10.0, rate=60_000.0),
        "waitress": measure.Cell(note="not installed"),
    },
}
TABLE["mix"] = TABLE["minimal"] | {"wsgiserve": measure.Cell(cpu=8.0, rate=81_000.0)}


def _row(text: str, name: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(name))
    return [part for part in line.split("  ") if part]


def test_ratios_are_to_the_floor_and_to_the_best_peer_without_fault(finished: report.Run) -> None:
    row = [part.strip() for part in _row(report.terminal(finished), "wsgiserve")]
    assert row[1:6] == ["8.0", "1.60", "0.80", "90,000", "1.50"]


def test_missing_peer_is_a_row(finished: report.Run) -> None:
    assert _row(report.terminal(finished), "waitress")[-1] == "not installed"


def test_scenario_is_compared_with_its_quiet_form(finished: report.Run) -> None:
    assert "against minimal: 0.90 of its answers/s" in report.terminal(finished)


def test_page_names_no_path_of_this_machine(finished: report.Run) -> None:
    page = report.markdown(finished, {"minimal": "a.svg", "mix": "b.svg"})
    assert "![Minimal GET, keep-alive](a.svg)" in page
    assert "python uwsgi --home VIRTUAL_ENV --pythonpath ." in page
    assert sys.prefix not in page


def test_list_shows_every_name() -> None:
    result = CliRunner().invoke(main, ["--list"])
    assert result.exit_code == 0
    listed = {line.split(" ")[0] for line in result.output.splitlines() if line}
    assert listed == {contender.name for contender in CONTENDERS} | set(SCENARIO_NAMES)


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    result = CliRunner().invoke(main, ["--contenders", "nobody"])
    assert result.exit_code == 2
    assert "unknown: nobody; known: floor, wsgiserve" in result.output


def _answer_one(listener: socket.socket, answer: bytes) -> None:
    with listener.accept()[0] as sock:
        sock.recv(65536)
        sock.sendall(answer)


def _reached(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False
