"""/status and /stacks of a real server, also in a browser."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest
from selenium.webdriver.common.by import By

from tests.browsing import contrast, luminance, prefer
from tests.processes.ops.glass import glass
from tests.processes.programs import is_alive
from tests.program import Program
from tests.server.client import Client, get, wait_until
from wsgiserve.processes.ops.looking import CSP, in_app

pytestmark = pytest.mark.slow


def test_each_request_in_flight_is_seen_with_its_phase(tmp_path):
    with glass(tmp_path, "--threads", "1", "--request-id") as seen:
        seen.begin("/slow?token=secret", "Cookie: secret")
        wait_until(lambda: seen.seen(phase="app", path="/slow"))
        seen.begin("/queued")
        seen.begin("/upload", "Content-Length: 900", method="POST")
        seen.send(b"GET /half HTTP/1.1\r\nHost: ")
        wait_until(
            lambda: (
                {each["phase"] for each in seen.status()["requests"]} == {"app", "waiting", "body", "head"}
            )
        )
        status = seen.status()
        by_phase = {each["phase"]: each for each in status["requests"]}
        (worker,) = status["workers"]
        for request in by_phase.values():
            assert (request["client"], request["pid"]) == ("127.0.0.1", worker["pid"])
            assert 0 <= request["age"] < 60
        assert {(each["method"], each["path"]) for each in by_phase.values()} == {
            ("GET", "/slow"),
            ("GET", "/queued"),
            ("POST", "/upload"),
            ("", ""),
        }
        assert by_phase["app"]["thread"]
        assert by_phase["app"]["id"]
        assert by_phase["app"]["id"] != by_phase["waiting"]["id"]
        assert "secret" not in json.dumps(status)
        assert (worker["busy"], worker["threads"], worker["waiting"]) == (1, 1, 1)
        assert (worker["state"], worker["generation"], worker["memory"] > 1 << 20) == ("serving", 1, True)
        seen.let_go()
        wait_until(lambda: not seen.seen(phase="app") and not seen.seen(phase="waiting"))


def test_a_response_that_is_sent_is_seen(tmp_path):
    with glass(tmp_path) as seen:
        seen.send(get("/large"), receive_buffer=4096)
        wait_until(lambda: seen.seen(phase="sending", path="/large", method="GET"))


def test_queries_are_seen_where_that_is_wanted(tmp_path):
    with glass(tmp_path, "--ops-verbose") as seen:
        seen.begin("/slow?a=b")
        wait_until(lambda: seen.seen(phase="app", path="/slow?a=b"))


def told(seen, page):
    """Ask for stacks, again if that is the answer: on a busy machine threads may seem to run in turn."""
    answers = []

    def ask():
        answers.append(seen.page(page).body.decode())
        return "ask again" not in answers[-1]

    wait_until(ask)
    return answers[-1]


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["", "preload"])
def test_a_request_that_holds_the_interpreter_is_found_by_its_stack(tmp_path, options):
    """No Python code runs in its worker meanwhile."""
    with glass(tmp_path, *options) as seen:
        with Client(port=seen.port) as client:
            assert client.ask(get()).status == 200
        seen.begin("/hold")
        wait_until(lambda: seen.seen(phase="app", path="/hold"))
        (request,) = seen.seen(path="/hold")
        stack = told(seen, f"/stacks?pid={request['pid']}&thread={request['thread']}")
        title, innermost, *_ = stack.splitlines()
        assert title.startswith("GET /hold from 127.0.0.1, app, ")
        assert innermost.endswith("in hold_the_interpreter")
        assert "wsgiserve/server" not in stack
        every = told(seen, "/stacks")
        assert every.startswith(f"worker {request['pid']}, generation 1, serving\n\nGET /hold from ")
        assert "in hold_the_interpreter\n" in every
        assert "sentinel.py" in every
        seen.let_go()
        wait_until(lambda: seen.status()["requests"] == [])
        over = seen.page(f"/stacks?pid={request['pid']}&thread={request['thread']}")
        assert over.body == b"the request is over\n"
        assert seen.program.stop()[0] == 0


def test_requests_are_seen_while_all_threads_are_busy_and_some_burn_the_processor(tmp_path):
    with glass(tmp_path, "--threads", "64") as seen:
        clients = [seen.begin("/slow") for _ in range(61)]
        wait_until(lambda: len(seen.seen(phase="app")) == 61)
        clients += [seen.begin("/burn") for _ in range(3)]
        wait_until(lambda: len(seen.seen(phase="app", path="/burn")) == 3)
        clients += [seen.begin("/late") for _ in range(2)]
        wait_until(lambda: len(seen.seen(phase="waiting", path="/late")) == 2)
        (worker,) = seen.status()["workers"]
        assert (worker["busy"], worker["threads"], worker["waiting"]) == (64, 64, 2)
        seen.let_go()
        for client in clients:
            assert client.response().status == 200


def test_a_worker_that_hangs_in_its_import_tells_where_and_goes_on(tmp_path):
    with importing(tmp_path) as program:
        wait_until(lambda: "wait_for_me" in asked(tmp_path, "/stacks"))
        pid = json.loads(asked(tmp_path, "/status.json").partition("\r\n\r\n")[2])["workers"][0]["pid"]
        assert is_alive(pid)
        (tmp_path / "go").touch()
        program.announcement()
        wait_until(lambda: f'"pid": {pid}' in asked(tmp_path, "/status.json"))


@contextmanager
def importing(folder):
    (folder / "app.py").write_text(
        "import os, time\n"
        "def wait_for_me():\n    while not os.path.exists('go'): time.sleep(0.005)\n"
        "wait_for_me()\n"
        "def application(environ, start_response): ...\n"
    )
    arguments = ("app", "--bind", "127.0.0.1:0", "--ops-bind", "unix:ops", "--no-access-log")
    with Program(folder, *arguments) as program:
        wait_until(lambda: (folder / "ops").exists())
        yield program


def asked(folder, path):
    import socket

    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        try:
            sock.connect(str(folder / "ops"))
        except ConnectionRefusedError:
            return ""
        sock.sendall(get(path))
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    return answer.decode()


def test_the_last_ten_minutes_are_kept_without_a_reader_and_across_a_reload(tmp_path):
    with glass(tmp_path, "--pid-file", "pid") as seen:
        with Client(port=seen.port) as client:
            for _ in range(20):
                client.ask(get())
        wait_until(lambda: sum(seen.status()["history"]["requests"]) == 20)
        before = seen.status()["workers"][0]["pid"]
        (worker,) = seen.status()["workers"]
        seen.program.process.send_signal(1)
        wait_until(lambda: [each["generation"] for each in seen.status()["workers"]] == [2])
        assert seen.status()["workers"][0]["pid"] != worker["pid"] == before
        history = seen.status()["history"]
        assert sum(history["requests"]) == 20
        assert {len(values) for name, values in history.items() if name not in ("seconds", "elapsed")} == {60}


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork", "preload"])
def test_many_ask_for_the_stacks_of_many_workers_at_once(tmp_path, options):
    """While their threads begin and end: no answer has a part of another one."""
    with glass(tmp_path, "--workers", "4", *options) as seen:
        for _ in range(12):
            seen.begin("/slow")
        wait_until(lambda: len(seen.seen(phase="app", path="/slow")) == 12)
        pids = [str(worker["pid"]) for worker in seen.status()["workers"]]
        requests = Counter(str(request["pid"]) for request in seen.seen(path="/slow"))
        answers = []

        def ask(number):
            for turn in range(15):
                pid = pids[(number + turn) % 4] if turn % 3 else ""
                answers.append((pid, seen.page(f"/stacks?pid={pid}" if pid else "/stacks")))

        askers = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        seen.let_go()
    assert len(answers) == 90
    for pid, answer in answers:
        parts = re.split(r"^worker (\d+), generation 1, serving$", answer.body.decode(), flags=re.MULTILINE)
        assert parts[1::2] == ([pid] if pid else pids)
        for worker, part in zip(parts[1::2], parts[2::2], strict=True):
            assert part.count("in wait_for_go") == requests[worker]
            threads = re.findall(r"^thread (\w+)$", part, re.MULTILINE)
            assert len(threads) == len(set(threads)) > 0


def test_who_asks_for_nobody_is_told(tmp_path):
    with glass(tmp_path) as seen:
        assert seen.page("/stacks?pid=1").status == 404
        assert seen.page("/stacks?thread=none").status == 400
        assert seen.page("/status", "Accept: application/json").headers["content-type"] == "application/json"
        page = seen.page("/status", "Accept: text/html,application/xhtml+xml,*/*;q=0.8")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["content-security-policy"] == CSP


def test_a_stack_begins_and_ends_in_the_app():
    ours = '  File "/x/wsgiserve/server/http/exchange.py", line 9 in run'
    theirs = '  File "/srv/app.py", line 3 in view'
    assert in_app(f"{theirs}\n{ours}\n{theirs}") == theirs
    assert in_app(f"{ours}\n{theirs}") == f"{ours}\n{theirs}"


def test_the_page_tells_rates_of_seconds_that_have_just_begun_and_reasons_as_they_are(browser, tmp_path):
    def shown(history, reason=""):
        more = {"history": status["history"] | history, "reason": reason}
        return browser.execute_script(
            "show(arguments[0]);"
            "return [...document.querySelectorAll('#graphs b, #problem')].map(e => e.innerText)",
            status | more,
        )

    with glass(tmp_path) as seen:
        browser.get(f"http://127.0.0.1:{seen.ops}/status")
        browser.find_element(By.ID, "pause").click()
        status = seen.status()
        steady = [400.0] * 59
        assert shown({"requests": [*steady, 20.0], "elapsed": 0.5})[1] == "40 now, at most 40"
        assert shown({"requests": [*steady, 200.0], "elapsed": 5})[1] == "40 now, at most 40"
        assert shown({"errors": [*steady, 100.0], "elapsed": 5})[2] == "20 now, at most 40"
        reason = 'Traceback:\n  File "app.py"\n    1 / 0'
        assert shown({}, reason)[0] == f"The last reload failed: {reason}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1200, 900), (390, 844)], ids=["desk", "phone"])
def test_the_page_shows_what_runs_and_the_stack_of_one(browser, tmp_path, scheme, size):
    prefer(browser, scheme)
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def shown(selector):
        return browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector
        )

    with glass(tmp_path, "--threads", "2") as seen:
        seen.begin("/slow/%3Cimg%20src=x%3E")
        seen.begin("/slow")
        wait_until(lambda: seen.seen(path="/slow"))
        browser.get(f"http://127.0.0.1:{seen.ops}/status")
        wait_until(lambda: "GET /slow" in shown("#requests .request"))
        assert shown("#state")[0].startswith("serving, generation 1")
        assert len(shown("#workers tbody tr")) == 1
        assert len(shown("#graphs svg")) == 6
        ages = shown("#requests tbody td:first-child")
        wait_until(lambda: shown("#requests tbody td:first-child") != ages)  # It is live.

        seen.begin("/slow", "X: y")  # a request that begins while somebody looks
        began = time.monotonic()
        wait_until(lambda: len(shown("#requests tbody tr")) >= 2)
        assert time.monotonic() - began < 20
        button = browser.find_element(By.CSS_SELECTOR, "#requests button")
        button.click()
        wait_until(lambda: "in wait_for_go" in shown("#stack-text")[0])

        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= size[0]
        colors = browser.execute_script(
            "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
        )
        assert contrast(*colors) >= 7
        assert (luminance(colors[1]) > 0.5) == (scheme == "light")
        soft = browser.execute_script(
            "const c = e => getComputedStyle(document.querySelector(e));"
            "return [c('#state').color, c('body').backgroundColor]"
        )
        assert contrast(*soft) >= 4.5

        seen.let_go()
        wait_until(lambda: shown("#requests tbody tr") == [])
        assert browser.find_element(By.ID, "none").is_displayed()
        browser.find_element(By.ID, "pause").click()
        assert browser.get_log("browser") == []
        browser.get("about:blank")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
