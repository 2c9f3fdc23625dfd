"""Serving as a program, with one worker or none: addresses, standard output, signals, the end."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.program import APP, CUT, LOG_LINE, ROOT, Program, serving_program
from tests.server.client import SECONDS, Client, get, refuses, wait_until
from wsgiserve.server.program import listen_where_passed


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


# -- where it listens


@pytest.mark.slow
def test_several_binds(folder):
    binds = ["--bind", "127.0.0.1:0", "--bind", "127.0.0.2:0", "--bind", "localhost:0"]
    with Program(folder, "app", *binds) as program:
        urls = re.findall(r"http://([\w.]+):(\d+)", program.announcement())
        assert [host for host, _ in urls] == ["127.0.0.1", "127.0.0.2", "localhost"]
        for host, port in urls:
            with socket.create_connection((host, int(port)), timeout=SECONDS) as sock:
                sock.sendall(get(minor=0))
                assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert program.stop()[0] == 0


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("bind", ["[::1]:0", "[::]:0", ":0"])
def test_ipv6(folder, bind):
    with Program(folder, "app", "--bind", bind) as program:
        line = program.announcement()
        port = int(re.search(r":(\d+) ", line)[1])
        assert line.startswith("Serving on http://127.0.0.1:" if bind == ":0" else "Serving on http://[::1]:")
        assert line.endswith(" and every other address of this machine (Ctrl+C to stop)\n") == (
            bind != "[::1]:0"
        )
        with socket.create_connection(("::1", port), timeout=SECONDS) as sock:
            sock.sendall(get(minor=0))
            assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert program.stop()[0] == 0


def test_port_in_use(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with Program(folder, "app", "--bind", bind) as program:
            code, out, err = program.end()
    said = "address already in use; stop the other server or choose another port with --bind HOST:PORT"
    assert (code, out, err) == (4, "", f"wsgiserve: cannot listen on {bind}: {said}\n")


@pytest.mark.slow
def test_port_in_use_is_one_line_that_names_the_argument_of_run(folder):
    (folder / "own.py").write_text("import sys, wsgiserve\nwsgiserve.App().run(bind=sys.argv[1])\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, "own.py", bind]
        env = {"PYTHONPATH": str(ROOT)}
        ended = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 4
    assert ended.stderr.endswith('choose another port with bind="HOST:PORT"\n')


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["fd://3", "fd://4"]),
        ({"bind": "127.0.0.1:0"}, ["fd://3", "fd://4", "127.0.0.1:0"]),
        ({"bind": ("127.0.0.1:0", "fd://4")}, ["fd://3", "127.0.0.1:0", "fd://4"]),
        ({"bind": "https://fd://4"}, ["fd://3", "https://fd://4"]),
        ({"redirect_http": ("fd://4",)}, ["fd://3"]),
    ],
    ids=["default", "another", "one of them", "one with a scheme", "one to redirect from"],
)
def test_passed_sockets_come_before_those_asked_for(monkeypatch, given, expected):
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "2")
    listen_where_passed(given)
    assert given["bind"] == expected


def test_without_passed_sockets_the_options_stay(monkeypatch):
    monkeypatch.delenv("LISTEN_PID", raising=False)
    options = {"bind": "127.0.0.1:0"}
    listen_where_passed(options)
    assert options == {"bind": "127.0.0.1:0"}


# -- the end


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_signal_lets_a_running_request_finish(folder, number):
    with serving_program(folder, "app") as (program, port):
        with Client(port=port) as client:
            client.send(get("/slow"))
            wait_until(program.entered)
            program.process.send_signal(number)
            wait_until(lambda: refuses(port))
            assert program.process.poll() is None
            program.let_go()
            response = client.response()
            assert (response.body, response.headers["connection"]) == (b"hello", "close")
        code, _, err = program.end()
        assert code == 0, err
        said = "Stopping: 1 request is running; there are 30 s to finish (the same signal again "
        assert err in ("", f"{said}cuts what runs)\n")


@pytest.mark.slow
def test_idle_server_ends_at_once(folder):
    with serving_program(folder, "app") as (program, port), Client(port=port) as idle:
        assert idle.ask(get()).body == b"hello"
        started = time.monotonic()
        assert program.stop(signal.SIGINT)[0] == 0
        assert time.monotonic() - started < 3
        assert idle.rest() == b""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has signals for a thread of a process")
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_signal_that_comes_without_the_main_thread_is_heeded(folder, workers):
    """As one does that comes just before the main thread begins to wait, which no test can time."""
    with serving_program(folder, "app", "--workers", workers, "--no-access-log") as (program, port):
        with Client(port=port) as client:
            assert client.ask(get()).status == 200  # So there are other threads.
        pid = program.process.pid if workers == "0" else serving_process(program.process.pid)
        wait_until(lambda: sleeps(pid))
        others = [int(thread) for thread in os.listdir(f"/proc/{pid}/task") if int(thread) != pid]
        assert ctypes.CDLL(None).tgkill(pid, others[0], signal.SIGTERM) == 0
        if workers == "1":
            wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
            assert program.stop()[0] == 0
        else:
            assert program.end()[0] == 0


def serving_process(supervisor):
    """Return the process id of the only worker."""
    (child,) = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return int(child)


def sleeps(pid):
    """Whether the main thread, which looks every 5 ms as long as requests come, sleeps until the next one."""
    counts = set()
    until = time.monotonic() + 0.1
    while time.monotonic() < until:
        status = Path(f"/proc/{pid}/task/{pid}/status").read_text()
        counts.add(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.MULTILINE)[1])
    return len(counts) == 1


@pytest.mark.slow
def test_second_signal_ends_at_once(folder):
    with serving_program(folder, "app") as (program, port), Client(port=port) as client:
        client.send(get("/slow"))
        wait_until(program.entered)
        program.process.send_signal(signal.SIGINT)
        wait_until(lambda: refuses(port))
        started = time.monotonic()
        code, _, err = program.stop(signal.SIGINT)
        assert time.monotonic() - started < 5
        assert code == 1
        assert err.endswith(CUT)


@pytest.mark.slow
def test_graceful_timeout(folder):
    with (
        serving_program(folder, "app", "--graceful-timeout", "0.3") as (program, port),
        Client(port=port) as client,
    ):
        client.send(get("/slow"))
        wait_until(program.entered)
        code, _, err = program.stop()
        assert code == 1
        assert err.endswith(CUT)


@pytest.mark.slow
@pytest.mark.parametrize("count", ["0", "1"])
def test_stop_in_good_order_though_nobody_reads_the_output(folder, count):
    options = ("--workers", count, "--drain-delay", "0.1", "--no-access-log")
    with serving_program(folder, "app", *options) as (program, port):
        with Client(port=port) as client:
            client.send(get("/slow"))
            wait_until(program.entered)
            program.process.stderr.close()
            program.process.send_signal(signal.SIGTERM)
            wait_until(lambda: refuses(port))
            program.let_go()
            assert client.response().headers["connection"] == "close"
        assert program.process.wait(SECONDS) == 0


# -- standard output


@pytest.mark.slow
def test_access_log(folder):
    with serving_program(folder, "app") as (program, port), Client(port=port) as client:
        client.ask(get())
        client.ask(get('/a?b="c"\\', 'User-Agent: a "b" \\ \xe9', "Referer: http://x/"))
        client.ask(get("/head", method="HEAD"))
        client.ask(get("/old", minor=0))
        lines = [LOG_LINE.fullmatch(program.process.stdout.readline()) for _ in range(4)]
        assert program.stop() == (0, "", "")
    assert [match.groups() for match in lines] == [
        ("GET / HTTP/1.1", "200", "5", "-", "-"),
        (r"GET /a?b=\"c\"\\ HTTP/1.1", "200", "5", "http://x/", r"a \"b\" \\ \xe9"),
        ("HEAD /head HTTP/1.1", "200", "0", "-", "-"),
        ("GET /old HTTP/1.0", "200", "5", "-", "-"),
    ]


@pytest.mark.slow
def test_no_access_log(folder):
    with serving_program(folder, "app", "--no-access-log") as (program, port):
        with Client(port=port) as client:
            client.ask(get())
        assert program.stop() == (0, "", "")


@pytest.mark.slow
def test_reader_of_standard_output_leaves(folder):
    with serving_program(folder, "app") as (program, port), Client(port=port) as client:
        program.process.stdout.close()
        for _ in range(10):
            assert client.ask(get()).body == b"hello"
        program.process.stdout = None
        assert program.stop() == (0, None, "")


@pytest.mark.slow
def test_standard_output_is_closed_from_the_start(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = f"exec {sys.executable} -m wsgiserve app --bind 127.0.0.1:{port} >&-"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(["sh", "-c", command], cwd=folder, env=env, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: process.poll() is not None or not refuses(port))
        with Client(port=port) as client:
            for _ in range(5):
                assert client.ask(get()).body == b"hello"
        process.terminate()
        assert process.communicate(timeout=SECONDS)[1] == ""
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


# -- limits of the process


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "interval"), [("", b"0.0005"), ("sys.setswitchinterval(0.02)", b"0.02")]
)
def test_program_shortens_the_switch_interval_unless_the_app_has_its_own(folder, statement, interval):
    (folder / "tells.py").write_text(
        f"import sys\n{statement}\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str(sys.getswitchinterval()).encode()]\n"
    )
    with serving_program(folder, "tells:application") as (_, port), Client(port=port) as client:
        assert client.ask(get()).body == interval


@pytest.mark.slow
def test_out_of_descriptors_the_longest_idle_make_room(folder):
    """A new client does not wait for others to give up connections that they do not use."""
    limited = "import resource, runpy; resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48)); "
    command = ("-c", limited + "runpy.run_module('wsgiserve', run_name='__main__')")
    with Program(folder, "app", "--bind", "127.0.0.1:0", command=command) as program:
        port = program.port()
        with ExitStack() as idle:
            for _ in range(80):
                client = idle.enter_context(Client(port=port))
                assert client.ask(get()).status == 200
            code, _, err = program.stop()
    assert (code, err) == (0, "")


@pytest.mark.slow
def test_program_counts_running_requests_and_names_those_that_were_cut(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    arguments = ["--graceful-timeout", "0.2", "--drain-delay", "0.1"]
    with serving_program(tmp_path, "app", *arguments) as (program, port), Client(port=port) as client:
        client.send(get("/slow"))
        wait_until(program.entered)
        with Client(port=port) as other:  # Once it is answered, another thread leads.
            other.ask(get())
        code, _, err = program.stop(signal.SIGTERM)
    said = (
        r"Stopping: 1 request is running; new ones are accepted for 0\.1 s, then there are 0\.2 s to finish "
        r"\(the same signal again cuts what runs\)\n"
    )
    assert code == 1
    assert re.fullmatch(said + r"\S+ \S+" + re.escape(CUT), err), err


@pytest.mark.slow
def test_run_restores_the_handlers_of_signals(tmp_path):
    """A program that goes on after ``app.run()`` can be stopped again."""
    (tmp_path / "goes_on.py").write_text(
        "import signal, time\n"
        "from wsgiserve import App\n"
        "before = signal.getsignal(signal.SIGTERM)\n"
        "App().run('127.0.0.1:0')\n"
        "print('after', signal.getsignal(signal.SIGTERM) is before, flush=True)\n"
        "time.sleep(60)\n"
    )
    with Program(tmp_path, "goes_on.py", command=()) as program:
        program.port()
        program.process.send_signal(signal.SIGTERM)
        assert program.process.stdout.readline() == "after True\n"
        assert program.stop()[0] == -signal.SIGTERM
