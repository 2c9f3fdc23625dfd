"""Unix sockets and inherited descriptors: creating, serving and removing them, and files in the way."""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

import wsgiserve
from tests.program import Program
from tests.server.apps import TEXT, answer, checked
from tests.server.client import SECONDS, get, wait_until
from wsgiserve.cli import main
from wsgiserve.config import ConfigError, make_config
from wsgiserve.server import ListenError
from wsgiserve.server.sockets import unix
from wsgiserve.server.sockets.listener import open_listeners

ROOT = Path(__file__).parents[3]
HELLO = checked(answer(b"hello"))
KEYS = ("SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT")
APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


@checked
def show(environ, start_response):
    start_response("200 OK", [TEXT])
    return [repr([environ.get(key) for key in KEYS]).encode()]


def ask(name, request=None):
    """Send a request to a Unix socket and return the whole answer."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(SECONDS)
        sock.connect(name)
        sock.sendall(request or get("/", minor=0))
        pieces = []
        while piece := sock.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


def leave_behind(path, kind=socket.SOCK_STREAM):
    """Make a socket file that nobody answers on."""
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(path)


# -- serving


def test_a_unix_socket_is_served_and_removed(tmp_path):
    path = str(tmp_path / "s")
    with wsgiserve.Server(HELLO, bind=f"unix:{path}") as server:
        assert (server.url, server.port) == (f"unix:{path}", 80)
        assert ask(path).endswith(b"\r\n\r\nhello")
    assert not os.path.lexists(path)


def test_a_relative_path_is_removed_though_the_app_goes_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with wsgiserve.Server(HELLO, bind="unix:s") as server:
        assert server.url == f"unix:{tmp_path}/s"
        monkeypatch.chdir("/")
    assert not (tmp_path / "s").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract names")
def test_an_abstract_name_is_served_and_ends_with_the_server():
    name = f"wsgiserve-test-{os.getpid()}"
    with wsgiserve.Server(HELLO, bind=f"unix:@{name}") as server:
        assert server.url == f"unix:@{name}"
        assert ask(f"\0{name}").endswith(b"\r\n\r\nhello")
    with pytest.raises(ConnectionRefusedError):
        ask(f"\0{name}")


def test_the_environ_of_a_client_without_an_address(tmp_path):
    path = str(tmp_path / "s")
    with wsgiserve.Server(show, bind=f"unix:{path}"):
        assert ask(path).endswith(b"\r\n\r\n['localhost', '80', '', None]")


def test_large_bodies_pass_both_ways(tmp_path):
    path = str(tmp_path / "s")
    body = os.urandom(3 << 20)

    @checked
    def echo(environ, start_response):
        data = environ["wsgi.input"].read(len(body))
        start_response("200 OK", [TEXT, ("Content-Length", str(len(data)))])
        return [data]

    with wsgiserve.Server(echo, bind=f"unix:{path}"), socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(SECONDS)
        sock.connect(path)
        sock.sendall(get("/", "Connection: close", method="POST", body=body))
        received = bytearray()
        while piece := sock.recv(1 << 20):
            received += piece
    assert received.endswith(b"\r\n\r\n" + body)


@pytest.mark.slow
def test_a_name_is_there_as_long_as_clients_may_come(folder):
    path = str(folder / "s")
    with Program(folder, "app", "--bind", f"unix:{path}", "--drain-delay", "1") as program:
        program.announcement()
        program.process.send_signal(signal.SIGTERM)
        assert program.process.stderr.readline().startswith("Stopping: ")
        assert ask(path).endswith(b"\r\n\r\nhello")
        assert program.end()[0] == 0
    assert not os.path.lexists(path)


@pytest.mark.slow
@pytest.mark.parametrize("taken", [False, True], ids=["gone", "taken"])
def test_a_re_exec_when_the_name_is_ours_no_more(folder, taken):
    path = str(folder / "s")
    with Program(folder, "app", "--bind", f"unix:{path}") as program:
        program.announcement()
        os.unlink(path)
        if taken:
            leave_behind(path)
        program.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: "generation 2 serves" in program.process.stderr.readline())
        assert program.stop()[0] == 0
    assert os.path.lexists(path) == taken


@pytest.mark.slow
def test_the_program_announces_it_and_logs_no_address_for_the_client(folder):
    path = str(folder / "s")
    with Program(folder, "app", "--bind", f"unix:{path}", "--socket-mode", "620") as program:
        assert program.announcement() == f"Serving on unix:{path} (Ctrl+C to stop)\n"
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o620
        assert ask(path, b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        assert ask(path).endswith(b"\r\n\r\nhello")
        code, out, err = program.stop()
    assert code == 0
    lines = [r'"nonsense" 400 \d+ "-" "-" \d+', r'"GET / HTTP/1.0" 200 5 "-" "-" \d+']
    assert re.fullmatch("".join(rf"unix - - \[[^]]+\] {line}\n" for line in lines), out), out
    assert re.search(r"^\S+ \S+ \w+ unix: 400, ", err), err
    assert not os.path.exists(path)


# -- mode and owner


def test_mode_and_owner(tmp_path):
    path = str(tmp_path / "s")
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    for owner in (f"{user}:{group}", user, f":{group}", f"{os.getuid()}:{os.getgid()}"):
        with wsgiserve.Server(HELLO, bind=f"unix:{path}", socket_mode="600", socket_owner=owner):
            status = os.stat(path)
            assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o600, os.getuid())
            assert status.st_gid == os.getgid()


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a socket away")
def test_it_can_be_given_to_another_user(tmp_path):
    path = str(tmp_path / "s")
    with wsgiserve.Server(HELLO, bind=f"unix:{path}", socket_owner="12345:12346"):
        status = os.stat(path)
        assert (status.st_uid, status.st_gid) == (12345, 12346)


def test_only_the_process_that_made_the_socket_removes_it(tmp_path, monkeypatch):
    path = str(tmp_path / "s")
    sock, file = unix.listen(path, 5, "600", "")
    with sock:
        monkeypatch.setattr("os.getpid", lambda: 1)
        file.remove()
        assert os.path.exists(path)
        monkeypatch.undo()
        file.remove()
        assert not os.path.lexists(path)


def test_a_socket_whose_mode_cannot_be_set_is_not_left_behind(tmp_path, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.chmod", refuse)
    with pytest.raises(PermissionError):
        unix.listen(str(tmp_path / "s"), 5, "600", "")
    assert not (tmp_path / "s").exists()


# -- files in the way


def test_a_socket_that_nobody_answers_on_is_replaced(tmp_path):
    path = str(tmp_path / "s")
    leave_behind(path)
    with wsgiserve.Server(HELLO, bind=f"unix:{path}"):
        assert ask(path).endswith(b"\r\n\r\nhello")


def test_a_socket_in_use_is_left_alone(tmp_path):
    path = str(tmp_path / "s")
    with wsgiserve.Server(HELLO, bind=f"unix:{path}"):
        with pytest.raises(ListenError, match="already in use; stop the other server"):
            wsgiserve.Server(HELLO, bind=f"unix:{path}").open()
        assert ask(path).endswith(b"\r\n\r\nhello")


def test_a_socket_whose_backlog_is_full_is_in_use(tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as taken, socket.socket(socket.AF_UNIX) as first:
        taken.bind(path)
        taken.listen(0)
        first.connect(path)
        with pytest.raises(ListenError, match="already in use"):
            wsgiserve.Server(HELLO, bind=f"unix:{path}").open()
        assert os.path.exists(path)


# -- servers that start and end at once


class Meeting:
    """Another server that starts at one exact moment of the first: ``come`` has it end, or wait."""

    def __init__(self, path, pool, monkeypatch):
        self.path = path
        self.pool = pool
        self.outcome = None
        self._waits = threading.Event()
        sleep = time.sleep
        monkeypatch.setattr("time.sleep", lambda seconds: (self._waits.set(), sleep(seconds)))

    def come(self):
        self.outcome = self.pool.submit(unix.listen, self.path, 5, "", "")
        self.outcome.add_done_callback(lambda _: self._waits.set())
        assert self._waits.wait(SECONDS)


@pytest.fixture
def meeting(tmp_path, monkeypatch):
    with ThreadPoolExecutor(1) as pool:
        yield Meeting(str(tmp_path / "s"), pool, monkeypatch)


def test_a_server_that_starts_as_another_is_about_to_listen_finds_the_name_in_use(meeting, monkeypatch):
    hand_over = unix._hand_over

    def late(*arguments):
        monkeypatch.setattr(unix, "_hand_over", hand_over)
        meeting.come()

    monkeypatch.setattr(unix, "_hand_over", late)
    sock, file = unix.listen(meeting.path, 5, "", "")
    with sock, socket.socket(socket.AF_UNIX) as client:
        with pytest.raises(ListenError, match="already in use"):
            meeting.outcome.result(SECONDS)
        client.connect(meeting.path)
        file.remove()


def test_a_server_that_starts_as_another_removes_its_name_keeps_it(meeting, monkeypatch):
    sock, file = unix.listen(meeting.path, 5, "", "")
    sock.close()
    unlink = os.unlink

    def late(path):
        monkeypatch.setattr(os, "unlink", unlink)
        meeting.come()
        unlink(path)

    monkeypatch.setattr(os, "unlink", late)
    file.remove()
    sock, file = meeting.outcome.result(SECONDS)
    with sock, socket.socket(socket.AF_UNIX) as client:
        client.connect(meeting.path)
        file.remove()


@pytest.mark.slow
@pytest.mark.parametrize("stale", [False, True], ids=["free", "stale"])
def test_one_of_many_servers_that_start_at_once_wins(folder, stale):
    path = str(folder / "s")
    if stale:
        leave_behind(path)
    arguments = ("app", "--bind", f"unix:{path}", "--workers", "0", "--no-access-log")
    with ExitStack() as stack:
        programs = [stack.enter_context(Program(folder, *arguments)) for _ in range(8)]
        first = [program.process.stdout.readline() for program in programs]
        [winner] = [program for program, line in zip(programs, first, strict=True) if line]
        for program in programs:
            if program is not winner:
                code, _, err = program.end()
                assert (code, "already in use; stop the other server" in err) == (4, True), err
        assert ask(path).endswith(b"\r\n\r\nhello")
        assert winner.stop()[0] == 0
    assert sorted(file.name for file in folder.iterdir() if file.name != "__pycache__") == ["app.py"]


def test_a_folder_that_others_have_locked_delays_the_start_only(tmp_path, monkeypatch):
    monkeypatch.setattr(unix, "LOCK_SECONDS", 0.01)
    path = str(tmp_path / "s")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        with wsgiserve.Server(HELLO, bind=f"unix:{path}"):
            assert ask(path).endswith(b"\r\n\r\nhello")
        assert not os.path.lexists(path)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_what_is_no_socket_is_not_removed(tmp_path, kind):
    path = tmp_path / "s"
    {"file": path.touch, "folder": path.mkdir, "dangling link": lambda: path.symlink_to("nowhere")}[kind]()
    with pytest.raises(ListenError, match="something that is no socket has this name"):
        wsgiserve.Server(HELLO, bind=f"unix:{path}").open()
    assert os.path.lexists(path)


def test_a_socket_that_has_taken_our_name_is_left_at_the_end(tmp_path):
    path = str(tmp_path / "s")
    with wsgiserve.Server(HELLO, bind=f"unix:{path}"):
        os.rename(path, tmp_path / "moved")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(path)
    assert os.path.exists(path)


def test_a_child_does_not_remove_the_socket(tmp_path):
    path = str(tmp_path / "s")
    code = f"""
import os
from wsgiserve import Server
server = Server(lambda environ, start_response: [], bind="unix:{path}")
server.open()
if os.fork() == 0:
    os._exit(0)
os.wait()
print(os.path.exists({path!r}))
"""
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
    assert shown.stdout == b"True\n", shown.stderr


@pytest.mark.slow
def test_a_killed_server_leaves_a_socket_that_the_next_one_replaces(folder):
    path = str(folder / "s")
    for _ in range(2):
        with Program(folder, "app", "--bind", f"unix:{path}") as program:
            program.announcement()
            assert ask(path).endswith(b"\r\n\r\nhello")
            program.stop(signal.SIGKILL)
        assert os.path.exists(path)


# -- inherited descriptors


def test_an_inherited_socket_is_served(folder):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.set_inheritable(True)
        name, port = sock.getsockname()
        with Program(folder, "app", "--bind", f"fd://{sock.fileno()}", pass_fds=[sock.fileno()]) as program:
            assert program.announcement() == f"Serving on http://{name}:{port} (Ctrl+C to stop)\n"
            with socket.create_connection((name, port), timeout=SECONDS) as client:
                client.sendall(get("/", minor=0))
                wait_until(lambda: b"hello" in client.recv(65536))
            assert program.stop()[0] == 0


@pytest.mark.slow
def test_an_inherited_unix_socket_is_served_and_not_removed(folder):
    path = str(folder / "s")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()
        with Program(folder, "app", "--bind", f"fd://{sock.fileno()}", pass_fds=[sock.fileno()]) as program:
            assert program.announcement() == f"Serving on unix:{path} (Ctrl+C to stop)\n"
            assert ask(path).endswith(b"\r\n\r\nhello")
            assert program.stop()[0] == 0
    assert os.path.exists(path)


# -- one plain line for each failure


LONG = "x" * 200
NO_SOCKET = "names no socket; write unix:/path or unix:@name."
BAD_BINDS = [
    (["unix:"], f"--bind: 'unix:' {NO_SOCKET}"),
    (["unix:@"], f"--bind: 'unix:@' {NO_SOCKET}"),
    (["fd://x"], "--bind: 'fd://x' names no descriptor; write fd://3."),
    (["fd://"], "--bind: 'fd://' names no descriptor; write fd://3."),
    (["unix:s", "--socket-mode", "9"], "--socket-mode: '9' is not a mode in octal digits, such as 660."),
    (["unix:s", "--socket-mode", "77"], "--socket-mode: '77' is not a mode in octal digits"),
    (["unix:s", "--socket-owner", "not-here"], "--socket-owner: there is no user 'not-here' here."),
    (["unix:s", "--socket-owner", ":not-here"], "--socket-owner: there is no group 'not-here' here."),
    ([":0", "--socket-mode", "600"], "--socket-mode: there is no socket to set it for; name one"),
]


@pytest.mark.parametrize(("arguments", "line"), BAD_BINDS, ids=[" ".join(row[0]) for row in BAD_BINDS])
def test_bad_binds_are_one_plain_line(monkeypatch, capsys, arguments, line):
    monkeypatch.setattr("sys.argv", ["wsgiserve", "app", "--bind", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    assert (end.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"wsgiserve: {line}"), err


NO_PLACES = [
    (f"unix:{LONG}", "the path is too long for a socket"),
    (f"unix:@{LONG}", "the path is too long for a socket"),
    ("unix:no/where", "there is no folder "),
    ("unix:app.py/s", "there is no folder "),
    ("fd://99", "no such descriptor; whoever starts the server has to leave it"),
]


@pytest.mark.parametrize(("bind", "reason"), NO_PLACES, ids=[bind[:20] for bind, _ in NO_PLACES])
def test_addresses_that_cannot_be_listened_on(folder, monkeypatch, bind, reason):
    monkeypatch.chdir(folder)
    with pytest.raises(ListenError) as refusal:
        open_listeners(make_config(bind=bind))
    assert str(refusal.value).startswith(f"cannot listen on {bind}: {reason}")
    assert "\n" not in str(refusal.value)


def test_a_descriptor_that_is_no_socket(folder):
    with open(folder / "app.py") as file:
        bind = f"fd://{file.fileno()}"
        with pytest.raises(ListenError, match=f"cannot listen on {bind}: this descriptor is no socket"):
            open_listeners(make_config(bind=bind))
        assert file.read() == APP, "it is left open"


def test_the_program_ends_with_4_where_it_cannot_listen(folder):
    with Program(folder, "app", "--bind", "unix:no/where") as program:
        exit_code, out, err = program.end()
    assert (exit_code, out, err.count("\n")) == (4, "", 1)
    assert err.startswith("wsgiserve: cannot listen on unix:no/where: there is no folder "), err


def test_a_folder_that_may_not_be_written_is_one_plain_line():
    """Root may write everywhere, so the process becomes another user."""
    with tempfile.TemporaryDirectory() as folder:  # not below pytest's own, which are for their owner alone
        os.chmod(folder, 0o555)
        code = f"""
import os
from wsgiserve import Server
server = Server(lambda environ, start_response: [], bind="unix:{folder}/s")
os.getuid() or os.setuid(65534)
try:
    server.open()
except OSError as error:
    print(error)
"""
        command = [sys.executable, "-c", code]
        shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    said = f"not permitted; the folder {folder} has to be writable for the user that the server runs as\n"
    assert shown.stdout == f"cannot listen on unix:{folder}/s: {said}", shown.stderr


def test_a_socket_that_does_not_listen_is_refused_and_left_open():
    left, right = socket.socketpair()
    with left, right:
        with pytest.raises(ListenError, match="this socket does not listen for connections"):
            wsgiserve.Server(HELLO, bind=f"fd://{left.fileno()}").open()
        right.sendall(b"x")
        assert left.recv(1) == b"x"


def test_wrong_options_of_the_library():
    with pytest.raises(ConfigError, match="socket_mode: '888' is not a mode"):
        wsgiserve.Server(HELLO, bind="unix:s", socket_mode="888")
    with pytest.raises(ConfigError, match="socket_owner: there is no socket to set it for"):
        wsgiserve.Server(HELLO, socket_owner="root")
