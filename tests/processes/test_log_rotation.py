"""The access log of a running server: rotated by the real logrotate, on a full disk, read by nobody.

And a load of known size: each request has one line, whatever ends it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections import Counter
from contextlib import suppress

import pytest

from tests.lacking import lacking
from tests.program import run, serving_program
from tests.server.client import Client, get, wait_until

LOGROTATE = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")

pytestmark = pytest.mark.slow


def ask(port, count, path="/"):
    with Client(port=port) as client:
        for _ in range(count):
            assert client.ask(get(path)).status == 200


def count(*paths):
    return sum(len(path.read_text().splitlines()) for path in paths if path.exists())


@pytest.mark.parametrize("told", [True, False], ids=["SIGUSR1", "by itself"])
def test_logrotate_without_copytruncate_loses_no_line(folder, tmp_path, told):
    if LOGROTATE is None:
        lacking("logrotate is not installed")
    log, pid = folder / "access.log", folder / "pid"
    script = f"postrotate\nkill -USR1 $(cat {pid})\nendscript" if told else ""
    (folder / "rotate.conf").write_text(f"{log} {{\nrotate 3\nsize 1\ncreate 0640\n{script}\n}}\n")
    (folder / "rotate.conf").chmod(0o644)
    folder.chmod(0o755)
    arguments = ["--workers", "2", "--access-log", "access.log", "--pid-file", "pid"]
    with serving_program(folder, "app", *arguments) as (program, port):
        asked = 0
        for _ in range(3):
            ask(port, 50)
            asked += 50
            wait_until(lambda: count(*folder.glob("access.log*")) == asked)  # noqa: B023 - called here
            command = [LOGROTATE, "--force", "--state", str(folder / "state"), str(folder / "rotate.conf")]
            subprocess.run(command, check=True, capture_output=True)

            def anew():
                """Ask until a worker writes to the new file."""
                nonlocal asked
                ask(port, 1)
                asked += 1
                return log.stat().st_size > 0

            wait_until(anew)
        code, out, err = program.stop()
    assert (code, err) == (0, "")
    assert out == ""
    assert len(list(folder.glob("access.log*"))) == 4
    assert count(*folder.glob("access.log*")) == asked


def test_sigusr1_opens_the_log_of_a_single_process_anew(folder):
    with serving_program(folder, "app", "--workers", "0", "--access-log", "log") as (program, port):
        ask(port, 1)
        wait_until(lambda: count(folder / "log") == 1)
        (folder / "log").rename(folder / "old")
        program.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: ask(port, 1) or (folder / "log").exists())
        assert program.stop()[0] == 0


def test_a_log_that_cannot_be_written_is_told_at_the_start(folder):
    for workers in ("0", "1"):
        for destination, why in [
            ("no/log", "there is no folder no; make it, or choose another one"),
            ("syslog:app.py", "it is no socket"),
            ("syslog:no/log", "No such file or directory"),
            (".", "Is a directory"),
        ]:
            code, out, err = run(folder, "app", "--workers", workers, "--access-log", destination)
            assert (code, out) == (2, "")
            assert (
                err == f"wsgiserve: --access-log: cannot write {destination}: {why}. See wsgiserve --help.\n"
            )


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_a_full_disk_loses_lines_of_the_log_and_nothing_else(folder):
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=True)
    try:
        (disk / "other").write_bytes(bytes(56 * 1024))
        with serving_program(folder, "app", "--access-log", "disk/log") as (program, port):
            ask(port, 300)
            wait_until(lambda: (disk / "log").stat().st_size)
            (disk / "other").unlink()
            wait_until(lambda: ask(port, 1, "/again") or "/again" in (disk / "log").read_text())
            code, _, err = program.stop()
    finally:
        subprocess.run(["umount", disk], check=True)
    assert code == 0
    assert "lines of the access log could not be written" in err


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_workers_that_fill_a_disk_together_write_whole_lines_or_none(folder):
    """There is a page of room again and again, which somebody's line fills in part."""
    disk, asked = folder / "disk", 0
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=True)
    try:
        (disk / "other").write_bytes(bytes(192 * 1024))
        arguments = ["--workers", "3", "--log-format", "json", "--access-log", "disk/log"]
        with serving_program(folder, "app", *arguments) as (program, port):
            while size := (disk / "other").stat().st_size:
                os.truncate(disk / "other", size - 4096)
                for _ in range(6):  # Connections, which several workers take.
                    ask(port, 10)
                    asked += 10
            code, _, err = program.stop()
        text = (disk / "log").read_text()
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
    lines = [line for line in text.splitlines() if line.strip()]
    assert all(json.loads(line)["http.response.status_code"] == 200 for line in lines)
    lost = re.findall(r"(\d+) lines of the access log could not be written", err)
    assert code == 0
    assert len(lines) + sum(map(int, lost)) == asked


def test_a_pipe_whose_reader_hangs_holds_up_no_request(folder):
    """Standard output and standard error are the same pipe, as below many service managers."""
    with serving_program(folder, "app", "--log-format", "json", stderr=subprocess.STDOUT) as (program, port):
        ask(port, 22000)  # 11 MB of lines
        with Client(port=port) as client:  # And the server's log has lines too.
            client.send(b"nonsense\r\n\r\n")
            assert b" 400 " in client.rest()
        ask(port, 1, "/hello")
        code, out, _ = program.stop()
    assert code == 0
    lines = [line for line in out.splitlines() if line.startswith("{")]
    assert all(json.loads(line) for line in lines)
    assert len(lines) < 22000
    assert "lines of the access log could not be written" in out


def test_journald_and_syslog_get_the_lines_of_a_server(folder):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(folder / "socket"))
        daemon.settimeout(20)
        arguments = ["--access-log", "journald:socket", "--log-format", "json"]
        with serving_program(folder, "app", *arguments) as (program, port):
            ask(port, 1)
            fields = dict(line.split(b"=", 1) for line in daemon.recv(65536).splitlines())
            assert program.stop()[0] == 0
    assert {*fields} == {b"PRIORITY", b"SYSLOG_IDENTIFIER", b"MESSAGE"}
    assert json.loads(fields[b"MESSAGE"])["http.response.status_code"] == 200


KILLED = """
import os, signal

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    if environ["PATH_INFO"] == "/kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return [b"hello"]
"""


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork", "preload"])
@pytest.mark.parametrize("kind", ["combined", "json"])
def test_the_lines_of_a_worker_that_is_killed_are_written(folder, options, kind):
    """Its last requests come together, and are answered, before a line of them is written.

    Some are equal, and so their lines are made in the shorter way.
    """
    (folder / "killed.py").write_text(KILLED)
    arguments = ["killed", "--access-log", "log", "--log-format", kind, "--workers", "1", *options]
    log, asked = folder / "log", 0
    with serving_program(folder, *arguments) as (program, port):
        for number in range(3):
            with Client(port=port) as client:
                requests = [*(get(f"/{number}/{one}") for one in range(14)), *[get(f"/{number}/same")] * 30]
                client.send(b"".join(requests) + get("/kill"))
                for _ in requests:
                    assert client.response().status == 200
                asked += len(requests)
                with suppress(ConnectionResetError):
                    assert client.rest() == b""
            wait_until(lambda: log.exists() and count(log) == asked)  # noqa: B023 - called here
        with Client(port=port) as client:  # The next worker serves, so that a stop cuts nothing.
            assert client.ask(get("/last")).status == 200
        asked += 1
        assert program.stop()[0] == 0
    assert count(log) == asked
    text = log.read_text()
    assert all(f"/{number}/{one}" in text for number in range(3) for one in range(14))
    assert [text.count(f"/{number}/same") for number in range(3)] == [30] * 3


HELD = """
import os, time

open(f"importing-{os.getpid()}", "w").close()
while os.path.exists("hold"):
    time.sleep(0.005)
"""


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork", "preload"])
def test_the_lines_of_a_worker_of_the_program_before_a_reexec_are_written(folder, options):
    """It serves until the new program's worker has imported the app, and is killed before."""
    (folder / "killed.py").write_text(HELD + KILLED)
    arguments = ["killed", "--access-log", "log", "--workers", "1", *options]
    with serving_program(folder, *arguments, stderr=subprocess.DEVNULL) as (program, port):
        for times in (1, 2):  # The second time it is a program that has taken the pages over itself.
            (folder / "hold").touch()
            program.process.send_signal(signal.SIGUSR2)
            wait_until(lambda: len([*folder.glob("importing-*")]) == 1 + times)  # noqa: B023 - called here
            with Client(port=port) as client:
                client.send(b"".join(get(f"/{times}/{count}") for count in range(14)) + get("/kill"))
                for _ in range(14):
                    assert client.response().status == 200
                with suppress(ConnectionResetError):
                    assert client.rest() == b""
            wait_until(lambda: (folder / "log").exists() and count(folder / "log") == 15 * times - 1)  # noqa: B023
            (folder / "hold").unlink()
            ask(port, 1)
        assert program.stop()[0] == 0
    text = (folder / "log").read_text()
    assert all(text.count(f"/{times}/{number} ") == 1 for times in (1, 2) for number in range(14))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full disk")
def test_lines_that_a_killed_worker_could_not_write_are_counted(folder):
    (folder / "killed.py").write_text(KILLED)
    arguments = ["killed", "--access-log", "/dev/full", "--workers", "1"]
    errors = folder / "errors"
    with (
        errors.open("w") as stderr,
        serving_program(folder, *arguments, stderr=stderr) as (program, port),
        Client(port=port) as client,
    ):
        for number in range(5):
            assert client.ask(get(f"/{number}")).status == 200
        client.send(get("/kill"))
        with suppress(ConnectionResetError):
            assert client.rest() == b""
        wait_until(lambda: "5 lines of the access log could not be written" in errors.read_text())
        program.stop()


LOAD = """
import time

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(0.5)
    if path == "/hang":
        time.sleep(4)
    if path == "/raise":
        raise OSError("no database")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hell"] if path == "/short" else [b"hello"]
"""


def test_each_request_of_a_load_has_one_line_that_says_why_it_ended(folder):
    (folder / "load.py").write_text(LOAD)
    arguments = ["--workers", "2", "--threads", "2", "--max-queue", "1", "--request-timeout", "1"]
    arguments += ["--head-timeout", "1", "--health-path", "/health", "--access-log", "log"]
    arguments += ["--log-format", "json", "--graceful-timeout", "5"]
    with serving_program(folder, "load", *arguments, stderr=subprocess.DEVNULL) as (program, port):
        for _ in range(3):
            ask(port, 40)
            ask(port, 5, "/health")
            for data in (b"nonsense\r\n\r\n", get("/raise"), get("/short"), get("/x", "Expect: tea")):
                with Client(port=port) as client:
                    client.send(data)
                    client.half_close()
                    client.rest()
            with Client(port=port) as client:
                client.send(b"GET /left HTTP/1.1\r\n")
                client.half_close()
                client.rest()
            program.process.send_signal(signal.SIGHUP)
        late = Client(port=port)
        late.send(b"GET /late HTTP/1.1\r\n")
        clients = [Client(port=port) for _ in range(30)]
        for number, client in enumerate(clients):
            client.send(get("/hang" if number % 3 == 0 else "/slow"))
        answers = [client.response().status for client in clients]
        assert late.response().status == 408
        for client in (late, *clients):
            client.close()
        code, out, _ = program.stop()
    assert (code, out) == (0, "")
    records = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    found = Counter(
        (one.get("url.path", ""), one["http.response.status_code"], one["wsgiserve.end"]) for one in records
    )
    hung = Counter((status, path) for path, status, _ in found.elements() if path in ("/hang", "/slow"))
    assert sorted(status for status, _ in hung.elements()) == sorted(answers)
    assert {end for (path, status, end) in found if status == 503} <= {"shed"}
    assert {end for (path, status, end) in found if status == 504} <= {"timeout"}
    assert 503 in answers
    assert {key: number for key, number in found.items() if key[0] not in ("/hang", "/slow")} == {
        ("/", 200, "done"): 120,
        ("/health", 200, "done"): 15,
        ("", 400, "refused"): 3,
        ("/raise", 500, "done"): 3,
        ("/short", 200, "cut"): 3,
        ("/x", 417, "refused"): 3,
        ("/left", 400, "client left"): 3,
        ("/late", 408, "timeout"): 1,
    }
