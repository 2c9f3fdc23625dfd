"""From start to end: the command line as a process of its own, then ``Server`` and ``serve`` in this one."""

from __future__ import annotations

import configparser
import io
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import wsgiserve
from tests.server.apps import TEXT, Gate, answer, checked
from tests.server.client import SECONDS, Client, get, refuses, wait_until
from wsgiserve.config import ConfigError
from wsgiserve.server import ListenError

ROOT = Path(__file__).parents[2]

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


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "only_app.py").write_text("from app import application as app\n")
    (tmp_path / "neither.py").write_text("from app import create_app\n")
    (tmp_path / "syntax.py").write_text("def application(:\n")
    (tmp_path / "needs.py").write_text("import does_not_exist_anywhere\n")
    (tmp_path / "raises.py").write_text("def inner():\n    raise ValueError('their bug')\n\ninner()\n")
    (tmp_path / "exits.py").write_text("import sys\nsys.exit('goodbye')\n")
    return tmp_path


class Program:
    """``python -m wsgiserve ARGUMENTS`` in ``folder``; ``announced`` is its first line."""

    def __init__(self, folder, *arguments, env=(), command=("-m", "wsgiserve"), **popen):
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", *command, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **dict(env)},
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
        return int(re.search(r"http://\S+:(\d+)", self.announcement())[1])

    def end(self):
        """Wait for the end; return (exit code, the rest of stdout, stderr)."""
        out, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out, err

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.end()

    def entered(self):
        """Whether ``/slow`` is in the app."""
        return (self.folder / "entered").exists()

    def let_go(self):
        (self.folder / "go").touch()


@contextmanager
def serving_program(folder, *arguments, **options):
    with Program(folder, "--bind", "127.0.0.1:0", *arguments, **options) as program:
        yield program, program.port()


# -- what is announced and served


@pytest.mark.parametrize(
    "target", ["app:application", "app", "only_app", "app:create_app()", "app:namespace.app"]
)
def test_target_is_served(folder, target):
    with Program(folder, target, "--bind", "127.0.0.1:0") as program:
        line = program.announcement()
        match = re.fullmatch(r"Serving on http://127\.0\.0\.1:(\d+) \(Ctrl\+C to stop\)\n", line)
        assert match, line
        with Client(port=int(match[1])) as client:
            assert client.ask(get()).body == b"hello"
        code, _, err = program.stop()
        assert (code, err) == (0, "")


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


def test_environment_variables(folder):
    env = {"WSGISERVE_BIND": "127.0.0.1:0 127.0.0.2:0", "WSGISERVE_ACCESS_LOG": "false"}
    with Program(folder, "app", env=env) as program:
        line = program.announcement()
        assert re.fullmatch(
            r"Serving on http://127.0.0.1:\d+, http://127.0.0.2:\d+ \(Ctrl.C to stop\)\n", line
        )
        with Client(port=int(re.search(r":(\d+),", line)[1])) as client:
            assert client.ask(get()).body == b"hello"
        assert program.stop() == (0, "", "")


def test_option_wins_over_the_environment(folder):
    with serving_program(folder, "app", env={"WSGISERVE_BIND": "300.0.0.1:0"}) as (program, port):
        with Client(port=port) as client:
            assert client.ask(get()).body == b"hello"
        assert program.stop()[0] == 0


def test_the_command_is_the_module(folder):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["options.entry_points"]["console_scripts"].strip() == "wsgiserve = wsgiserve.cli:main"
    for argument in ("--version", "--help"):
        outcomes = []
        for command in (["-m", "wsgiserve"], ["-c", "from wsgiserve.cli import main; main()"]):
            with Program(folder, argument, command=command) as program:
                outcomes.append(program.end())
        assert outcomes[0] == outcomes[1]
        assert outcomes[0][0] == 0
        assert "wsgiserve" in outcomes[0][1]
    assert wsgiserve.__version__ in subprocess.check_output(
        [sys.executable, "-m", "wsgiserve", "-V"], cwd=ROOT, text=True
    )


# -- the end

CUT = (
    " ERROR stopped; 1 unfinished request was cut: GET /slow\n"
    "wsgiserve: stopped with requests still running; they were cut\n"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_lets_a_running_request_finish(folder, number):
    with serving_program(folder, "app") as (program, port), Client(port=port) as client:
        client.send(get("/slow"))
        wait_until(program.entered)
        program.process.send_signal(number)
        wait_until(lambda: refuses(port))
        assert program.process.poll() is None
        program.let_go()
        response = client.response()
        assert (response.body, response.headers["connection"]) == (b"hello", "close")
        code, _, err = program.end()
        assert code == 0
        said = "Stopping: 1 request is running; there are 30 s to finish (the same signal again "
        assert err in ("", f"{said}cuts what runs)\n")


def test_idle_server_ends_at_once(folder):
    with serving_program(folder, "app") as (program, port), Client(port=port) as idle:
        assert idle.ask(get()).body == b"hello"
        started = time.monotonic()
        assert program.stop(signal.SIGINT)[0] == 0
        assert time.monotonic() - started < 3
        assert idle.rest() == b""


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


# -- bad starts: an exit code each, one line


FREE_PORT = {"WSGISERVE_BIND": "127.0.0.1:0"}
BAD_STARTS = [
    (3, ["missing:app"], "no module named 'missing' here; looked in this folder and in sys.path"),
    (3, ["app.sub:app"], "no module named 'app.sub' here; looked in this folder and in sys.path"),
    (3, ["app:missing"], "the module 'app' has no 'missing'"),
    (3, ["app:number"], "'app:number' is of type int and cannot be called; a WSGI app is a callable"),
    (3, ["app:number()"], "'app:number()': 'number' cannot be called, so it is no factory"),
    (3, ["app.py"], "'app.py' is a file; name the module: app:application"),
    (3, [":app"], "':app' names no app; write it as module:name, such as app:application"),
    (
        3,
        ["neither"],
        "the module 'neither' has neither application nor app; "
        "name the app as neither:NAME, where NAME may be create_app",
    ),
    (2, ["app", "--wat"], "--wat: no such option. See wsgiserve --help."),
    (
        2,
        ["app", "--port", "80"],
        "--port: no such option; did you mean --bind HOST:PORT? See wsgiserve --help.",
    ),
    (2, ["app", "--reload"], "--reload: no such option; did you mean --dev? See wsgiserve --help."),
    (2, ["reload"], "--pid-file PATH is missing. See wsgiserve reload --help."),
    (2, ["app", "--bind"], "--bind: requires an argument. See wsgiserve --help."),
    (2, [], "MODULE:NAME is missing. See wsgiserve --help."),
    (2, ["app", "--threads", "0"], "--threads: 0 is not a whole number of at least 1. See wsgiserve --help."),
    (
        2,
        ["app", "--threads", "x"],
        "--threads: 'x' is not a whole number of at least 1. See wsgiserve --help.",
    ),
    (2, ["app", "--keep-alive", "-1"], "--keep-alive: -1.0 is not a number of at least 0"),
    (2, ["app", "--head-timeout", "nan"], "--head-timeout: nan is not a number of at least 1"),
    (2, ["app", "--bind", "8000"], "--bind: '8000' is not HOST:PORT, such as 127.0.0.1:8000."),
    (2, ["app", "--bind", "127.0.0.1:70000"], "--bind: '127.0.0.1:70000' is not HOST:PORT"),
    (
        2,
        ["app", "--bind", "::1:8000"],
        "--bind: write the IPv6 address of '::1:8000' in brackets, as [::1]:8000.",
    ),
    (3, ["neither:create_app"], "'neither:create_app' cannot be called as app(environ, start_response)"),
    (3, ["app:application.nope"], "'application' has no 'nope'"),
    (4, ["app", "--bind", "256.0.0.1:0"], "cannot listen on 256.0.0.1:0: "),
    (4, ["app", "--bind", "192.0.2.1:0"], "cannot listen on 192.0.2.1:0: not an address of this machine"),
]


@pytest.mark.parametrize(("code", "arguments", "line"), BAD_STARTS, ids=[" ".join(r[1]) for r in BAD_STARTS])
def test_bad_start_is_one_plain_line(folder, code, arguments, line):
    with Program(folder, *arguments, env=FREE_PORT) as program:
        exit_code, out, err = program.end()
    assert (exit_code, out) == (code, "")
    assert err.startswith(f"wsgiserve: {line}"), err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("WSGISERVE_THREADS", "many", "'many' is not a whole number of at least 1."),
        ("WSGISERVE_THREADS", "0", "0 is not a whole number of at least 1."),
        ("WSGISERVE_BIND", "nowhere", "'nowhere' is not HOST:PORT, such as 127.0.0.1:8000."),
        ("WSGISERVE_STRICT", "perhaps", "'perhaps' is not a valid boolean."),
    ],
)
def test_a_bad_value_in_the_environment_is_told_by_the_variable_s_name(folder, variable, value, text):
    with Program(folder, "app", env={variable: value}) as program:
        code, out, err = program.end()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"wsgiserve: {variable}: {text} ")
    assert err.endswith(" See wsgiserve --help.\n")


def test_a_bad_option_beside_a_variable_is_told_by_its_own_name(folder):
    with Program(folder, "app", "--threads", "0", env={"WSGISERVE_THREADS": "5"}) as program:
        assert program.end()[2].startswith("wsgiserve: --threads: 0 is not")


def test_a_misspelt_variable_is_told_and_ignored(folder):
    env = {
        "WSGISERVE_THREAD": "5",
        "WSGISERVE_ROUTES_JSON": "1",
        "WSGISERVE_THREADS": "5",
        "WSGISERVE_QUITE_ELSE": "",
    }
    with serving_program(folder, "app", env=env) as (program, port):
        with Client(port=port) as client:
            assert client.ask(get()).body == b"hello"
        code, _, err = program.stop()
    assert (code, err.splitlines()) == (
        0,
        [
            "wsgiserve: WSGISERVE_QUITE_ELSE is no option, and ignored",
            "wsgiserve: WSGISERVE_THREAD is no option, and ignored; did you mean WSGISERVE_THREADS?",
        ],
    )


def test_port_in_use_by_a_program_is_told_in_the_words_of_a_program(folder):
    (folder / "own.py").write_text("import sys, wsgiserve\nwsgiserve.App().run(bind=sys.argv[1])\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, "own.py", bind]
        env = {"PYTHONPATH": str(ROOT)}
        ended = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 4
    assert ended.stderr.endswith('choose another port with bind="HOST:PORT"\n')


def test_port_in_use(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with Program(folder, "app", "--bind", bind) as program:
            code, out, err = program.end()
    said = "address already in use; stop the other server or choose another port with --bind HOST:PORT"
    assert (code, out, err) == (4, "", f"wsgiserve: cannot listen on {bind}: {said}\n")


@pytest.mark.parametrize(
    ("target", "place", "error"),
    [
        ("needs", "needs.py", "ModuleNotFoundError: No module named 'does_not_exist_anywhere'"),
        ("raises", "raises.py", "ValueError: their bug"),
        ("syntax", "syntax.py", "SyntaxError: "),
        ("app:broken()", "app.py", "RuntimeError: no database"),
        ("exits", "exits.py", "SystemExit: goodbye"),
    ],
)
def test_error_in_their_code_shows_their_traceback(folder, target, place, error):
    with Program(folder, target, env=FREE_PORT) as program:
        code, out, err = program.end()
    assert (code, out) == (3, "")
    assert err.splitlines()[-1].startswith(error)
    assert place in err
    assert str(ROOT / "wsgiserve") not in err
    assert "importlib" not in err


# -- standard output


LOG_LINE = re.compile(
    r"127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
    r'"(?P<request>.*)" (?P<status>\d{3}) (?P<size>\d+) "(?P<referer>.*)" "(?P<agent>.*)" \d+\n'
)


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


def test_no_access_log(folder):
    with serving_program(folder, "app", "--no-access-log") as (program, port):
        with Client(port=port) as client:
            client.ask(get())
        assert program.stop() == (0, "", "")


def test_reader_of_standard_output_leaves(folder):
    with serving_program(folder, "app") as (program, port), Client(port=port) as client:
        program.process.stdout.close()
        for _ in range(10):
            assert client.ask(get()).body == b"hello"
        program.process.stdout = None
        assert program.stop() == (0, None, "")


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


# -- as a library


HELLO = checked(answer(b"hello"))


def test_context_manager(serving):
    with serving(HELLO) as server:
        port = server.port
        assert server.url == f"http://127.0.0.1:{port}"
        assert server.urls == [server.url]
        with Client(port=port) as client:
            assert client.ask(get()).body == b"hello"
    assert server.urls == []
    assert refuses(port)


def test_server_can_serve_again(serving):
    server = serving(HELLO)
    for _ in range(3):
        with server, Client(server) as client:
            assert client.ask(get()).body == b"hello"


def test_several_addresses(serving):
    class Environ:
        def __call__(self, environ, start_response):
            start_response("200 OK", [TEXT])
            return [f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}".encode()]

    server = wsgiserve.Server(checked(Environ()), bind=["127.0.0.1:0", "localhost:0"])
    with server:
        names = ["127.0.0.1", "localhost"]
        ports = [int(url.rpartition(":")[2]) for url in server.urls]
        for name, port in zip(names, ports, strict=True):
            with Client(port=port) as client:
                assert client.ask(get()).body == f"{name}:{port}".encode()


def test_serve_outside_the_main_thread():
    server = wsgiserve.Server(HELLO, port=0)
    outcome = []
    ready = threading.Event()
    thread = threading.Thread(target=lambda: outcome.append(server.serve(ready=ready.set)))
    thread.start()
    assert ready.wait(SECONDS)
    with Client(server) as client:
        assert client.ask(get()).body == b"hello"
    server.stop()
    thread.join(SECONDS)
    assert outcome == [True]


def test_serve_on_the_main_thread_heeds_signals_and_puts_them_back():
    """SIGTERM of this very process, sent by the app's client."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    server = wsgiserve.Server(HELLO, port=0)
    server.open()
    port = server.port
    bodies = []

    def visit():
        with Client(port=port) as client:
            bodies.append(client.ask(get()).body)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=visit)
    assert server.serve(ready=thread.start) is True
    thread.join(SECONDS)
    assert bodies == [b"hello"]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_requests_that_had_to_be_cut_are_told():
    gate = Gate()
    server = wsgiserve.Server(checked(gate), port=0, graceful_timeout=0)
    outcome = []
    ready = threading.Event()
    thread = threading.Thread(target=lambda: outcome.append(server.serve(ready=ready.set)))
    thread.start()
    assert ready.wait(SECONDS)
    with Client(server) as client:
        client.send(get("/slow"))
        wait_until(lambda: gate.inside)
        server.stop()
        thread.join(SECONDS)
        assert outcome == [False]
        gate.opened.set()
        assert client.response().body == b"/slow"  # The thread in the app is still its client's.
        assert client.rest() == b""


def test_wrong_options():
    with pytest.raises(ConfigError, match=r"bind: 8000 is not HOST:PORT"):
        wsgiserve.Server(HELLO, bind=8000)
    with pytest.raises(ConfigError, match="unknown option thread; the options are access_log, backlog"):
        wsgiserve.Server(HELLO, thread=5)
    with pytest.raises(ConfigError, match="threads: 0 is not a whole number of at least 1"):
        wsgiserve.Server(HELLO, threads=0)
    for value in (2.5, True, float("inf"), "4"):
        with pytest.raises(ConfigError, match="is not a whole number"):
            wsgiserve.Server(HELLO, threads=value)
    with pytest.raises(ConfigError, match="name at least one"):
        wsgiserve.Server(HELLO, bind=[])
    with pytest.raises(ConfigError, match="'nowhere' is not HOST:PORT"):
        wsgiserve.Server(HELLO, bind="nowhere")
    with pytest.raises(TypeError, match="a WSGI app is a callable"):
        wsgiserve.Server("app")
    with pytest.raises(RuntimeError, match="the server does not listen"):
        _ = wsgiserve.Server(HELLO).url


def test_all_addresses_or_none():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        binds = ["127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}"]
        server = wsgiserve.Server(HELLO, bind=binds)
        with pytest.raises(ListenError, match="address already in use"):
            server.open()
    assert server.urls == []


def test_library_is_silent(serving, capsys, caplog):
    caplog.set_level(logging.INFO)
    with serving(HELLO) as server, Client(server) as client:
        client.ask(get())
    assert capsys.readouterr() == ("", "")
    assert not caplog.records


def test_access_log_of_the_library_goes_to_standard_output(serving, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with serving(HELLO, access_log=True) as server, Client(server) as client:
        for number in range(5):
            client.ask(get(f"/{number}"))
    matches = [LOG_LINE.fullmatch(line) for line in stream.getvalue().splitlines(keepends=True)]
    assert [match["request"] for match in matches] == [f"GET /{number} HTTP/1.1" for number in range(5)]


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


FORKING = """
import os, socket, sys
from wsgiserve import Server
server = Server(lambda environ, start_response: [], port=0)
server.open()
port = server.port
begun, begin = os.pipe()
reader, writer = os.pipe()
if os.fork() == 0:
    os.close(writer)
    os.write(begin, b".")
    os.read(reader, 1)
    os._exit(0)
os.read(begun, 1)
server.listeners[0].close()
again = Server(server.app, port=port)
again.open()
print(again.port == port)
"""


def test_child_does_not_keep_the_port():
    shown = subprocess.run(
        [sys.executable, "-c", FORKING], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.stdout == "True\n", shown.stderr
