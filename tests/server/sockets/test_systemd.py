"""The protocols of the service manager, with a fake one: a datagram socket, and sockets that it opens."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from tests.authority import Authority
from tests.lacking import lacking
from tests.program import APP, ROOT, Program, serving_program
from tests.server.apps import answer, checked
from tests.server.client import SECONDS, Client, get, wait_until
from tests.server.sockets.test_unix import ask
from wsgiserve.server.sockets.systemd import Manager, inherited_descriptors, watchdog_seconds

UNITS = ROOT / "deploy" / "systemd"
HELLO = checked(answer(b"hello"))

# As a manager does between fork and exec: sockets from descriptor 3 on, and the process id of the child.
EXEC = """
import fcntl, os, sys
fds = [int(fd) for fd in sys.argv[1].split(",")]
copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in fds]
for number, fd in enumerate(copies, 3):
    os.dup2(fd, number)
os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "wsgiserve", *sys.argv[2:]])
"""


class FakeManager:
    """Receives the notifications of a service."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.settimeout(SECONDS)
        self.sock.bind(address.replace("@", "\0", 1))
        self.address = address
        self.env = {"NOTIFY_SOCKET": address}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.sock.close()

    def next(self):
        return self.sock.recv(65536).decode().split("\n")

    def until(self, line):
        """Return the first message that has this line."""
        while line not in (message := self.next()):
            pass
        return message


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


@pytest.fixture
def manager(tmp_path):
    with FakeManager(str(tmp_path / "notify")) as manager:
        yield manager


# -- notifications


@pytest.mark.parametrize("address", ["notify", pytest.param("@wsgiserve-test", marks=pytest.mark.slow)])
def test_ready_and_stopping(folder, address):
    address = f"{address}-{os.getpid()}" if address[0] == "@" else str(folder / address)
    with (
        FakeManager(address) as manager,
        serving_program(folder, "app", env=manager.env) as (program, port),
    ):
        assert manager.next() == ["READY=1", f"STATUS=Serving on http://127.0.0.1:{port}"]
        with Client(port=port) as client:
            assert client.ask(get()).body == b"hello"
        assert program.stop()[0] == 0
        assert manager.next() == ["STOPPING=1", "STATUS=Stopping"]


@pytest.mark.slow
def test_a_reload_and_its_outcome_are_notified(folder, manager):
    with serving_program(folder, "app", env=manager.env) as (program, _):
        manager.until("READY=1")
        program.process.send_signal(signal.SIGHUP)
        first, stamp, _ = manager.next()
        assert (first, stamp.partition("=")[0]) == ("RELOADING=1", "MONOTONIC_USEC")
        assert not manager.next()[1].endswith("failed")
        (folder / "app.py").write_text("1 / 0\n")
        program.process.send_signal(signal.SIGHUP)
        manager.until("RELOADING=1")
        assert manager.next()[1].endswith("; the last reload failed")
        assert program.stop()[0] == 0


@pytest.mark.slow
def test_a_program_after_a_re_exec_keeps_the_passed_sockets(folder, manager):
    """Of the same process id, it finds the manager's sockets and a Unix socket of its own again."""
    path = str(folder / "s")
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        port = tcp.getsockname()[1]
        bind = ["--bind", f"unix:{path}"]
        with activated(folder, [tcp], "app", *bind, env=manager.env) as program:
            announced = program.announcement()
            manager.until("READY=1")
            program.process.send_signal(signal.SIGUSR2)
            manager.until("RELOADING=1")
            assert announced == f"{manager.until('READY=1')[1].removeprefix('STATUS=')} (Ctrl+C to stop)\n"
            with Client(port=port) as client:
                assert client.ask(get()).body == b"hello"
            assert ask(path).endswith(b"\r\n\r\nhello")
            assert program.stop()[0] == 0
    assert not os.path.exists(path)


@pytest.mark.slow
def test_a_bad_start_is_never_ready(folder, manager):
    with Program(folder, "app:missing", env=manager.env) as program:
        assert program.end()[0] == 3
    manager.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.until("READY=1")


@pytest.mark.parametrize("address", ["/no/such/socket", "@nobody", "relative", "vsock:2:1"])
def test_a_manager_that_is_not_there_is_no_harm(address):
    with closing(Manager({"NOTIFY_SOCKET": address})) as manager:
        manager.ready("Serving")
        manager.alive()


@pytest.mark.slow
def test_a_service_without_its_manager_serves(folder):
    with serving_program(folder, "app", env={"NOTIFY_SOCKET": "/no/such/socket"}) as (program, port):
        with Client(port=port) as client:
            assert client.ask(get()).body == b"hello"
        assert program.stop()[0] == 0


def test_reloading_has_the_time_that_notify_reload_wants(manager):
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    with closing(Manager(manager.env)) as ours:
        ours.reloading()
    first, stamp, status = manager.next()
    assert (first, status) == ("RELOADING=1", "STATUS=Reloading")
    assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def test_a_status_is_one_line(manager):
    with closing(Manager(manager.env)) as ours:
        ours.ready("two\nlines")
    assert manager.next() == ["READY=1", "STATUS=two lines"]


def test_a_state_that_could_not_be_told_is_told_later(tmp_path):
    address = str(tmp_path / "late")
    with closing(Manager({"NOTIFY_SOCKET": address})) as ours:
        ours.follow("serving", "Serving")
        with FakeManager(address) as manager:
            for _ in range(2):
                ours.follow("serving", "Serving")
            ours.follow("stopping", "")
            assert manager.next() == ["READY=1", "STATUS=Serving"]
            assert manager.next() == ["STOPPING=1", "STATUS=Stopping"]


# -- the watchdog


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, math.inf),
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}, math.inf),
        ({"WATCHDOG_USEC": "0"}, math.inf),
        ({"WATCHDOG_USEC": "soon"}, math.inf),
        ({"WATCHDOG_USEC": "9" * 5000}, math.inf),
    ],
)
def test_how_often_the_watchdog_wants_to_hear(environ, seconds):
    assert watchdog_seconds(environ, 7) == seconds


@pytest.mark.slow
def test_a_server_without_work_is_alive(folder, manager):
    with serving_program(folder, "app", env={**manager.env, "WATCHDOG_USEC": "200000"}) as (program, _):
        manager.until("READY=1")
        times = []
        for _ in range(4):
            manager.until("WATCHDOG=1")
            times.append(time.monotonic())
        assert times[-1] - times[0] < 5
        assert program.stop()[0] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_server_without_descriptors_is_alive(folder, manager, workers):
    import resource

    env = {**manager.env, "WATCHDOG_USEC": "100000"}
    with serving_program(folder, "app", "--workers", str(workers), env=env) as (program, _):
        manager.until("READY=1")
        limit = resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, (3, limit[1]))
        manager.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.until("what is never said")
        manager.sock.settimeout(SECONDS)
        for _ in range(2):
            manager.until("WATCHDOG=1")
        resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, limit)
        assert program.stop()[0] == 0


@pytest.mark.slow
def test_a_worker_that_hangs_is_missed(folder, manager):
    """Stopped by a signal, its loop does not turn; the supervisor, which is well, does not speak for it."""
    env = {**manager.env, "WATCHDOG_USEC": "400000"}
    with serving_program(folder, "app", "--pid-file", "pid", "--workers", "2", env=env) as (program, _):
        manager.until("WATCHDOG=1")
        workers = json.loads((folder / "pid.status").read_text())["workers"]
        os.kill(workers[0]["pid"], signal.SIGSTOP)
        try:
            manager.sock.settimeout(1.5)
            with pytest.raises(TimeoutError):
                manager.until("what is never said")
        finally:
            os.kill(workers[0]["pid"], signal.SIGCONT)
        manager.sock.settimeout(SECONDS)
        manager.until("WATCHDOG=1")
        assert program.stop()[0] == 0


def test_a_server_whose_every_call_hangs_is_alive(serving, gate):
    """All threads are in the app: the loop turns, so restarting the service would help nobody."""
    beats = threading.Semaphore(0)
    server = serving(checked(gate), threads=1)
    server.beat(beats.release, 0.02)
    with server, Client(server) as client:
        client.send(get("/slow"))
        wait_until(lambda: gate.inside)
        for _ in range(5):
            assert beats.acquire(timeout=SECONDS)
        gate.opened.set()
        assert client.response().body == b"/slow"


def test_a_loop_that_hangs_is_not_alive(serving):
    beats = []
    freed = threading.Event()
    hangs = threading.Event()

    def beat():
        beats.append(time.monotonic())
        if len(beats) == 3:
            hangs.set()
            freed.wait(SECONDS)  # On the loop's own thread: nothing turns.

    server = serving(HELLO)
    server.beat(beat, 0.01)
    with server:
        assert hangs.wait(SECONDS)
        assert not freed.wait(0.1)
        assert len(beats) == 3
        freed.set()
        wait_until(lambda: len(beats) > 3)


# -- the units


@pytest.fixture(scope="module")
def analyze():
    """Return ``analyze(*arguments)``: systemd-analyze's exit code and all that it says."""
    if shutil.which("systemd-analyze") is None:
        lacking("systemd-analyze is not installed (apt-get install systemd)")

    def analyze(*arguments):
        done = subprocess.run(
            ["systemd-analyze", *arguments], capture_output=True, text=True, env={"PATH": os.environ["PATH"]}
        )
        return done.returncode, done.stdout + done.stderr

    return analyze


def unit_files(tmp_path):
    """Copy the units with a command that exists here: verify looks for it."""
    for unit in UNITS.iterdir():
        text = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", unit.read_text("utf-8"), flags=re.M)
        (tmp_path / unit.name).write_text(text)
    (tmp_path / "wsgiserve@.service").rename(tmp_path / "wsgiserve@shop.service")
    (tmp_path / "wsgiserve@.socket").rename(tmp_path / "wsgiserve@shop.socket")
    return sorted(map(str, tmp_path.iterdir()))


def test_systemd_finds_nothing_wrong_with_the_units(analyze, tmp_path):
    assert analyze("verify", "--man=no", *unit_files(tmp_path)) == (0, "")


def test_the_services_are_hardened(analyze, tmp_path):
    """Exposure below 2.0 of 10, in systemd's own reckoning, which it calls OK."""
    services = [path for path in unit_files(tmp_path) if path.endswith(".service")]
    assert len(services) == 3
    for path in services:
        code, said = analyze("security", "--offline=true", "--no-pager", "--threshold=20", path)
        assert code == 0, said
        assert re.search(r"Overall exposure level for .*: [01]\.\d OK", said), said


@pytest.mark.slow
def test_the_units_use_options_that_there_are(folder):
    """The command lines of the units, without the paths and ports that only a server's machine has."""
    pair = Authority(folder).pair()
    for unit in UNITS.glob("*.service"):
        (line,) = re.findall(r"^ExecStart=\S+ (.*)$", unit.read_text("utf-8"), re.MULTILINE)
        arguments = line.replace("shop.wsgi:application", "app:application")
        for there, here in (
            ("/etc/ssl/private/shop.pem", pair),
            ("//:443", "//127.0.0.1:0"),
            (" :80", " :0"),
        ):
            arguments = arguments.replace(there, here)
        with Program(folder, *arguments.split(), env={"WSGISERVE_BIND": "127.0.0.1:0"}) as program:
            assert re.match(r"Serving on https?://127\.0\.0\.1:", program.announcement())
            assert program.stop()[0] == 0


# -- sockets that it opened


@pytest.mark.parametrize(
    ("environ", "descriptors"),
    [
        ({}, []),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "2"}, [3, 4]),
        ({"LISTEN_PID": "8", "LISTEN_FDS": "2"}, []),
        ({"LISTEN_FDS": "2"}, []),
        ({"LISTEN_PID": "7"}, []),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "-1"}, []),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "x"}, []),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "9" * 5000}, []),
    ],
)
def test_which_descriptors_are_ours(environ, descriptors):
    assert inherited_descriptors(environ, 7) == descriptors


def activated(folder, socks, *arguments, **options):
    fds = [sock.fileno() for sock in socks]
    command = ("-c", EXEC, ",".join(map(str, fds)))
    return Program(folder, *arguments, command=command, pass_fds=fds, **options)


@pytest.mark.slow
def test_passed_sockets_take_the_place_of_the_default_address(folder):
    path = str(folder / "s")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path)
        unix.listen()
        port = tcp.getsockname()[1]
        with Client(port=port) as early:  # before the service is started
            early.send(get())
            with activated(folder, [tcp, unix], "app", "--no-access-log") as program:
                where = f"http://127.0.0.1:{port}, unix:{path}"
                assert program.announcement() == f"Serving on {where} (Ctrl+C to stop)\n"
                assert early.response().body == b"hello"
                assert ask(path).endswith(b"\r\n\r\nhello")
                assert program.stop()[0] == 0
    assert os.path.exists(path)


@pytest.mark.slow
def test_an_address_that_is_asked_for_is_served_besides(folder):
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        activated(folder, [tcp], "app", "--bind", "127.0.0.2:0") as program,
    ):
        port = tcp.getsockname()[1]
        line = program.announcement()
        assert re.match(rf"Serving on http://127\.0\.0\.1:{port}, http://127\.0\.0\.2:\d+ ", line), line
        assert program.stop()[0] == 0


@pytest.mark.slow
def test_app_run_is_activated_too(folder):
    (folder / "own.py").write_text("from wsgiserve import App\nApp().run()\n")
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        port = tcp.getsockname()[1]
        code = EXEC.replace('"-m", "wsgiserve", *sys.argv[2:]', '"own.py"')
        command = ("-c", code, str(tcp.fileno()))
        with Program(folder, command=command, pass_fds=[tcp.fileno()]) as program:
            assert program.announcement() == f"Serving on http://127.0.0.1:{port} (Ctrl+C to stop)\n"
            assert program.stop()[0] == 0


@pytest.mark.slow
def test_a_passed_socket_of_another_kind_is_one_plain_line(folder):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        with activated(folder, [udp], "app") as program:
            code, out, err = program.end()
    assert (code, out) == (4, "")
    assert err.startswith("wsgiserve: cannot listen on fd://3: this socket does not listen for connections")
    assert err.count("\n") == 1
