"""The benchmarks' tables are well-formed, and their readers of foreign text read it right.

What they measure is no test's business: no figure is judged here.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.validate import validator

import pytest
from click.testing import CliRunner

from bench import ahead, apps, crowd, drain, measure, proc, quiet, report, server, targets, wrk
from bench.__main__ import main
from bench.contenders import CONTENDERS, ROOT, Contender
from bench.scenarios import BROWSER, SCENARIOS, Load, Request, Scenario

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")

SCENARIO_NAMES = [scenario.name for scenario in SCENARIOS]
RESULT = (
    '{"requests":3000,"microseconds":1500000,"mean":2000,"p50":120,"p99":4500,'
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
    assert proc.parse_stat(STAT) == proc.Stat(pid=4242, parent=17, ticks=150, reaped=10, pages=2560)


def test_tree_holds_a_grandchild() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as child:
        try:
            assert _reached(lambda: len(proc.tree(child.pid)) == 2)
            assert child.pid in [stat.pid for stat in proc.tree(os.getpid())]
        finally:
            child.communicate(b"\n")  # ends both: the grandchild reads the same pipe


def test_usage_is_finer_than_a_tick_of_the_kernel() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        try:
            assert _reached(lambda: proc.usage(child.pid).rss > proc.PAGE_BYTES)
            assert _reached(lambda: 0.001 < proc.usage(child.pid).cpu * proc.TICKS_PER_SECOND % 1 < 0.999)
        finally:
            child.communicate(b"\n")


def test_usage_grows_with_the_work_done() -> None:
    before, began = proc.usage(os.getpid()), time.process_time()
    while time.process_time() < began + 0.05:
        pass
    assert proc.usage(os.getpid()).cpu - before.cpu >= 0.05


def test_usage_holds_the_time_of_children_that_ended() -> None:
    code = "import time\nwhile time.process_time() < 0.2: pass"
    before = proc.usage(os.getpid())
    subprocess.run([sys.executable, "-c", code], check=True)
    assert proc.usage(os.getpid()).cpu - before.cpu >= 0.15  # user and system time are rounded down


def test_sleeping_thread_is_seen_to_wake() -> None:
    code = "import sys, time; sys.stdin.readline(); [time.sleep(0.001) for _ in range(50)]; print(); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        before = proc.switches(child.pid)
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        assert proc.wake_ups(before, proc.switches(child.pid)) >= 50
        child.communicate(b"\n")


def test_wake_ups_are_those_of_threads_old_new_and_ended() -> None:
    assert proc.wake_ups({1: 10, 2: 20}, {1: 13, 3: 4}) == 3 + 4 + 1


def test_usage_of_a_process_that_is_gone_is_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert proc.usage(child.pid) == proc.Usage(cpu=0, rss=0)


# --- wrk ----------------------------------------------------------------------------------------


def test_result_of_wrk_is_read() -> None:
    text = "Running 2s test @ http://127.0.0.1:8000/\n  2 threads\n" + RESULT % (0, 0)
    assert wrk.parse(text) == wrk.Result(requests=3000, rate=2000.0, busy=4.0, p50=0.12, p99=4.5, faults="")


def test_faults_are_told_in_words() -> None:
    assert wrk.parse(RESULT % (7, 2)).faults == "7 non-2xx, 2 broken reads"


def test_run_without_an_answer_has_no_latency() -> None:
    result = wrk.parse((RESULT % (0, 0)).replace("3000", "0"))
    assert (result.rate, result.p50, result.p99, result.faults) == (0, None, None, "")


def test_output_without_a_result_is_refused() -> None:
    with pytest.raises(ValueError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1\n")


@pytest.mark.parametrize(
    ("name", "results", "faults"),
    [
        pytest.param("minimal", [(9, 16.0, "")], [], id="sound"),
        pytest.param(
            "minimal", [(9, 1.2, "")], ["leaves clients waiting: serves 1 of 16 at a time"], id="kept-out"
        ),
        pytest.param("connect", [(9, 1.2, "")], [], id="connecting-is-not-counted"),
        pytest.param("mix", [(9, 16.0, ""), (0, 0.0, "")], ["no answer for /sleep in 2 s"], id="no-answer"),
        pytest.param("minimal", [(9, 16.0, "9 non-2xx")], ["9 non-2xx"], id="told-by-wrk"),
    ],
)
def test_what_went_wrong_is_told(name: str, results: list[tuple[int, float, str]], faults: list[str]) -> None:
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == name)
    given = [wrk.Result(count, 100.0, busy, 1.0, 2.0, words) for count, busy, words in results]
    assert list(measure._faults(scenario, given, seconds=2)) == faults


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


def test_crowd_that_is_not_answered_costs_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server takes each connection, and answers one after the other, slowly."""
    monkeypatch.setattr(crowd, "BATCH_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()
        thread = threading.Thread(target=_answer_slowly, args=(listener, stop))
        thread.start()
        began = time.monotonic()
        with crowd.idle(listener.getsockname(), 100) as sockets:
            assert time.monotonic() - began < 5
            assert len(sockets) == 100
        stop.set()
        thread.join()


def _answer_slowly(listener: socket.socket, stop: threading.Event) -> None:
    listener.settimeout(0.2)
    while not stop.wait(0.2):
        try:
            with listener.accept()[0] as sock:
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except OSError:
            pass  # Nobody came, or left.


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
    return run_of(TABLE)


def run_of(table: measure.Table) -> report.Run:
    return report.Run(
        contenders=[contender for contender in CONTENDERS if contender.name in table["minimal"]],
        scenarios=[scenario for scenario in SCENARIOS if scenario.name in table],
        rounds=1,
        more_rounds=0,
        seconds=1,
        quiet_seconds=60,
        cores=measure.Cores(server=1, load=0),
        table=table,
        quiet=QUIET,
        arguments=["--rounds", "1"],
    )


UWSGI = (sys.executable, "/somewhere/bin/uwsgi", "--home", sys.prefix, "--pythonpath", str(ROOT))
TABLE: measure.Table = {
    "minimal": {
        "uwsgi": measure.Cell(cpu=30.0, rate=9_000.0, command=UWSGI),
        "floor": measure.Cell(cpu=5.0, rate=100_000.0),
        "wsgiserve": measure.Cell(cpu=8.0, rate=90_000.0, p99=0.5),
        "bjoern": measure.Cell(cpu=1.0, rate=200_000.0, p99=0.1, note="9 non-2xx"),
        "fastpysgi": measure.Cell(cpu=10.0, rate=60_000.0, p99=0.25),
        "gunicorn-sync": measure.Cell(cpu=2.0, rate=5_000.0, p99=0.1),
        "waitress": measure.Cell(note="not installed"),
    },
}
TABLE["mix"] = TABLE["minimal"] | {"wsgiserve": measure.Cell(cpu=8.0, rate=81_000.0, p99=1.5)}
QUIET = {
    "floor": quiet.Quiet(wakes=0.0, rss=1 << 20, start=2.0),
    "wsgiserve": quiet.Quiet(wakes=0.0, rss=20 << 20, start=95.0),
    "bjoern": quiet.Quiet(wakes=600.0, rss=10 << 20, start=25.0),
    "waitress": quiet.Quiet(note="not installed"),
}


def _row(text: str, name: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(name))
    return [part.strip() for part in line.split("  ") if part]


def test_ratios_are_to_the_floor_and_to_the_best_peer_that_counts(finished: report.Run) -> None:
    """bjoern made a fault, gunicorn-sync gave next to no answers."""
    row = _row(report.terminal(finished), "wsgiserve")
    assert row[1:6] == ["8.0", "1.60", "0.80", "90,000", "1.50"]


def test_missing_peer_is_a_row(finished: report.Run) -> None:
    assert _row(report.terminal(finished), "waitress")[-1] == "not installed"


def test_scenario_is_compared_with_its_quiet_form(finished: report.Run) -> None:
    assert "against minimal: 0.90 of its answers/s" in report.terminal(finished)


def test_idle_servers_are_a_table(finished: report.Run) -> None:
    text = report.terminal(finished).partition(report.QUIET_TITLE)[2]
    assert _row(text, "wsgiserve")[1:] == ["0.0", "20.0", "95"]
    assert _row(text, "waitress")[-1] == "not installed"


def test_page_names_no_path_of_this_machine(finished: report.Run) -> None:
    page = report.markdown(finished, {"minimal": "a.svg", "mix": "b.svg"})
    assert "![Minimal GET, keep-alive](a.svg)" in page
    assert "python uwsgi --home VIRTUAL_ENV --pythonpath ." in page
    assert "-s bench/wrk.lua http://127.0.0.1:8000/sleep" in page
    assert sys.prefix not in page
    assert str(ROOT) not in page


def test_page_opens_with_targets_and_with_where_a_peer_is_ahead(finished: report.Run) -> None:
    page = report.markdown(finished, {"minimal": "a.svg", "mix": "b.svg"})
    titles = [line for line in page.splitlines() if line.startswith("## ")]
    assert titles[:3] == ["## Targets", "## Where a peer is ahead", "## Minimal GET, keep-alive"]
    ahead_of_us = page.partition(titles[1])[2].partition(titles[2])[0].strip().splitlines()
    assert ahead_of_us == [
        "In 4 of 9 comparisons with the best peer, which is not always the same one.",
        "",
        "- **Minimal GET, keep-alive.** p99: fastpysgi 0.25 ms, wsgiserve 0.50 ms (2.00 times that)",
        "- **16 fast beside 16 in a 50 ms sleep.** p99: fastpysgi 0.25 ms, "
        "wsgiserve 1.50 ms (6.00 times that)",
        "- **Idle.** memory: bjoern 10.0 MiB, wsgiserve 20.0 MiB (2.00 times that); "
        "first answer: bjoern 25 ms, wsgiserve 95 ms (3.80 times that)",
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "better", "leader"),
    [
        (1.0, 2.0, "less", "wsgiserve"),
        (2.0, 1.0, "less", "bjoern"),
        (2.0, 1.0, "more", "wsgiserve"),
        (1.0, 2.0, "more", "bjoern"),
        (1.0, 1.0, "less", ""),
        (1.015, 1.0, "less", ""),
        (0.0, 0.0, "less", ""),
        (0.0, 5.0, "less", "wsgiserve"),
    ],
)
def test_who_leads(ours: float, theirs: float, better: Literal["less", "more"], leader: str) -> None:
    comparison = ahead.Comparison(ahead.Measure("speed", "speed", better), ours, "bjoern", theirs)
    assert comparison.leader == leader
    assert comparison.sentence().startswith(f"speed: {leader or 'wsgiserve'} ")


# --- the targets --------------------------------------------------------------------------------


@pytest.mark.parametrize("target", targets.TARGETS, ids=lambda target: target.what)
def test_target_has_a_figure_when_all_took_part(target: targets.Target) -> None:
    """All figures are 4, so a share of them is 1, and wsgiserve's own are 4, or 4 KiB."""
    cell = measure.Cell(4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4096.0)
    table: measure.Table = {}
    for contender, scenario in itertools.product(CONTENDERS, SCENARIOS):
        if targets.compares(contender, scenario):
            table.setdefault(scenario.name, {})[contender.name] = cell
    at_rest = {contender.name: quiet.Quiet(4.0, 4.0, 4.0) for contender in CONTENDERS}
    judged = targets._judge(target, targets.Figures(table, at_rest))
    assert judged.figure in (1.0, 4.0, 4 / 1280, 4 / 10240)
    assert not judged.note
    assert {judged.first, judged.then} <= {"holds", "does not hold", ""}
    assert judged.first or judged.then


def test_limits_are_a_sign_and_a_number() -> None:
    limits = [limit for target in targets.TARGETS for limit in (target.first, target.then) if limit]
    assert len(limits) == 25
    assert all(sign in targets.SIGNS and float(number) for sign, number in map(str.split, limits))


def judged(table: measure.Table, what: str) -> targets.Judged:
    return next(each for each in targets.judge(table, QUIET) if each.target.what.startswith(what))


def test_target_is_judged_in_both_columns() -> None:
    floor = judged(TABLE, "Minimal: CPU, times the floor")
    assert (floor.figure, floor.first, floor.then) == (1.6, "holds", "does not hold")


def test_best_of_several_is_of_those_without_fault_and_says_so() -> None:
    row = judged(TABLE, "Minimal: CPU, times that of the better")
    assert (row.figure, row.first, row.note) == (0.8, "holds", "without bjoern (9 non-2xx)")


@pytest.mark.parametrize(
    ("table", "what", "note"),
    [
        pytest.param(TABLE, "Browser", "browser was not run", id="no-scenario"),
        pytest.param(
            TABLE, "Beside 16 slow: answers/s, times gr", "granian-64 (did not take part)", id="no-peer"
        ),
        pytest.param(
            TABLE | {"mix": {"wsgiserve": measure.Cell(rate=9.0, p99=0.5, note="9 time-outs")}},
            "Beside 16 slow: p99, ms",
            "wsgiserve (9 time-outs)",
            id="a-fault-of-ours",
        ),
    ],
)
def test_target_without_a_figure_says_why(table: measure.Table, what: str, note: str) -> None:
    row = judged(table, what)
    assert (row.figure, row.note) == (None, note)
    assert "no figure" in (row.first, row.then)


def test_targets_are_summed_up(finished: report.Run) -> None:
    first, then = targets.summary(targets.judge(finished.table, finished.quiet))
    assert first.startswith(
        "First: 5 of 15 targets hold. Do not hold: Beside 16 slow: p99, ms. Without a figure: "
    )
    assert then.startswith(
        "Then: 1 of 10 targets hold. Do not hold: Minimal: CPU, times the floor's; First answer"
    )


def test_idle_servers_are_started_and_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is installed everywhere, and one that does not start."""
    monkeypatch.setattr(quiet, "SETTLE_SECONDS", 0.1)
    broken = Contender("broken", lambda launch: [sys.executable, "-c", "exit(1)"], lambda: "1")
    ours = next(contender for contender in CONTENDERS if contender.name == "wsgiserve")
    core = min(os.sched_getaffinity(0))
    found = quiet.watch([ours, broken], 1, measure.Cores(core, core), tmp_path, lambda line: None)
    assert found["broken"].note.startswith("did not start")
    assert not found["wsgiserve"].note
    assert None not in (found["wsgiserve"].wakes, found["wsgiserve"].rss, found["wsgiserve"].start)


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


def test_stop_is_measured(tmp_path: Path) -> None:
    """Whoever the system has accepted for a server that is told to stop."""
    ours = next(contender for contender in CONTENDERS if contender.name == "wsgiserve")
    seen, end = drain.measure(ours, "held", 0, tmp_path)
    assert (seen, end) == ({"answered": drain.HELD}, "0")


def test_stop_of_a_server_that_loses_requests_is_told() -> None:
    seen = Counter({"answered": 3000, "lost, kept": 2, "refused": 7})
    ends = Counter({"0": 9, "signal 9": 1})
    assert drain._row("x 1", "blue", 10, seen, ends)[3:] == [
        "3,000",
        "2 on kept ones",
        "0 (9 times), signal 9 (1 times)",
    ]
    assert drain._row("x 1", "told", 10, seen, ends)[4] == "2 on kept ones, 7 refused"
