"""A deploy, a crash or a limit of the system never takes the service down: real processes and real limits."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from bench.harness.child import free_port
from tests.processes import no_memory
from tests.processes.ops.scrape import metrics, observed, page, requests
from tests.processes.programs import APP, all_workers, descriptors, is_alive, serving, who, workers
from tests.program import ROOT, Program, run, serving_program
from tests.server.client import SECONDS, Client, get, refuses, wait_until
from wsgiserve.processes.fleet import STABLE
from wsgiserve.processes.pid_file import read_status
from wsgiserve.server.log_pages import PAIRS

LINUX_ONLY = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux kills a process when its channel ends"
)
PRELOAD = pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork", "preload"])


def children(pid):
    """Return the process ids of all descendants of a process."""
    try:
        tasks = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return []  # It has ended.
    direct = [int(child) for text in tasks for child in text.split()]
    return [*direct, *(child for each in direct for child in children(each))]


def outcome(path, generation):
    """Wait for the end of a reload; return its status."""
    wait_until(lambda: read_status(path)["latest"] == generation and read_status(path)["outcome"])
    return read_status(path)


def replace_app(folder, code):
    (folder / "app.py").write_text(code + "# " + "x" * len(code) + "\n")


# -- limits of the system

SIMPLE = """
import os

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {os.getppid()} v1".encode()]
"""
NO_DESCRIPTORS = """
import resource
taken = [open("/dev/null") for _ in range(10)]
resource.setrlimit(resource.RLIMIT_NOFILE, (max(file.fileno() for file in taken) + 1,) * 2)
"""
NO_THREADS = """
import os, resource
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
"""


@PRELOAD
@pytest.mark.parametrize("limit", [NO_DESCRIPTORS, NO_THREADS], ids=["descriptors", "threads"])
def test_new_workers_that_lack_what_serving_takes_replace_nobody(folder, limit, options):
    if limit is NO_THREADS and os.getuid() != 0:
        pytest.skip("the limit of processes counts those of the user: a user without any is needed")
    replace_app(folder, SIMPLE)
    pid_file = str(folder / "pid")
    with serving(folder, "app", "--workers", "2", "--pid-file", pid_file, *options) as (program, port):
        before = all_workers(port, 2)
        replace_app(folder, SIMPLE + limit)
        program.process.send_signal(signal.SIGHUP)
        status = outcome(pid_file, 2)
        assert status["outcome"] == "failed", status
        assert "the system refuses" in status["reason"]
        assert status["generation"] == 1
        assert workers(port) <= before
        replace_app(folder, SIMPLE.replace("v1", "v2"))
        program.process.send_signal(signal.SIGHUP)
        assert outcome(pid_file, 3)["outcome"] == "serving"
        wait_until(lambda: who(port)[2] == "v2")
        assert program.stop()[0] == 0


def test_a_first_start_without_descriptors_says_so(folder):
    replace_app(folder, SIMPLE + NO_DESCRIPTORS)
    code, _, err = run(folder, "app", "--bind", "127.0.0.1:0")
    assert code == 3
    assert "wsgiserve: the system refuses what serving takes: [Errno 24] Too many open files" in err
    assert "Traceback" not in err


@PRELOAD
def test_a_supervisor_without_descriptors_supervises_on(folder, options):
    with serving(folder, "app", "--workers", "2", *options) as (program, port):
        first = all_workers(port, 2)
        limit = leave_free(program.process.pid, 0)
        for number in (signal.SIGTTIN, signal.SIGHUP, signal.SIGUSR2):
            program.process.send_signal(number)
        victim = min(first)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: not is_alive(victim))
        assert who(port)[0] in first
        resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, limit)
        wait_until(lambda: len(workers(port)) == 3)
        code, _, err = program.stop()
    assert code == 0
    assert "Traceback" not in err


@PRELOAD
def test_a_request_that_is_cut_as_there_are_no_descriptors_has_its_line(folder, options):
    arguments = ["--access-log", "log", "--log-format", "{path} {end}", "--ops-bind", "unix:ops", *options]
    with serving_program(folder, "app", *arguments) as (program, port), Client(port=port) as client:
        victim = who(port)[0]
        # A client may have its answer before there is the line.
        wait_until(lambda: (folder / "log").read_text() == "/ done\n")
        client.send(get("/slow"))
        wait_until((folder / "entered").exists)
        limit = resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, (3, limit[1]))
        os.kill(victim, signal.SIGKILL)
        for line in iter(program.process.stderr.readline, ""):
            assert "supervising failed" not in line
            if "the last lines of a worker cannot be logged, which is tried again" in line:
                break
        resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, limit)
        wait_until(lambda: (folder / "log").read_text() == "/ done\n/slow cut\n")
        code, _, err = program.stop()
    assert code == 0
    assert "Traceback" not in err


def leave_free(pid, count):
    """Let a process open so many descriptors and no more; return its limit of before."""
    limit = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = set(map(int, os.listdir(f"/proc/{pid}/fd")))
    free = [number for number in range(len(used) + count + 1) if number not in used]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free[count], limit[1]))
    return limit


def test_a_template_that_lacks_one_of_two_descriptors_keeps_none(folder):
    with observed(folder, "--preload") as (program, port, _):
        template = template_of(program.process.pid)
        before = descriptors(template)
        limit = leave_free(template, 1)
        os.kill(who(port)[0], signal.SIGKILL)
        assert any("a worker cannot start" in line for line in iter(program.process.stderr.readline, ""))
        assert descriptors(template) == before
        resource.prlimit(template, resource.RLIMIT_NOFILE, limit)
        assert who(port)[1] == template
        assert program.stop()[0] == 0


DYING = """
import os, signal

def application(environ, start_response):
    if environ["PATH_INFO"] == "/dies":
        os.kill(os.getpid(), signal.SIGKILL)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {os.getppid()} v1".encode()]
"""


@PRELOAD
def test_workers_that_cannot_start_leave_the_others_the_memory_for_their_last_lines(folder, options):
    replace_app(folder, DYING)
    arguments = ["--access-log", "log", "--log-format", "{path} {end}", "--pid-file", "pid", *options]
    with observed(folder, *arguments) as (program, port, _):
        pid_file, pid = str(folder / "pid"), program.process.pid
        served = who(port)[0]
        limit = leave_free(pid, 3 if options else 2)  # for channels; not for the file for stacks
        for generation in range(2, PAIRS + 3):
            program.process.send_signal(signal.SIGHUP)
            assert outcome(pid_file, generation)["outcome"] == "failed"
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
        program.process.send_signal(signal.SIGHUP)
        assert outcome(pid_file, generation + 1)["outcome"] == "serving"
        wait_until(lambda: who(port)[0] != served)
        with Client(port=port) as client:
            client.send(get("/one") + get("/dies"))
        wait_until(lambda: (folder / "log").read_text().endswith("/one done\n/dies cut\n"))
        assert program.stop()[0] == 0


@pytest.mark.slow
def test_a_worker_that_ends_while_there_is_no_memory_is_replaced_and_has_its_lines(folder):
    pytest.importorskip("_testcapi", reason="a test module of Python's makes allocations fail")
    replace_app(folder, DYING)
    (folder / "control").write_text("0")
    arguments = ["--access-log", "log", "--log-format", "{path} {end}", "--ops-bind", "unix:ops"]
    command = (no_memory.__file__, "control")
    with serving_program(folder, "app", "--workers", "2", *arguments, command=command) as (program, port):
        before, expected = descriptors(program.process.pid), ""
        for number in [2**power for power in range(14)]:
            stable = time.monotonic() + STABLE
            wait_until(lambda stable=stable: time.monotonic() > stable)
            (folder / "control").write_text(str(number))
            with Client(port=port) as client:
                client.send(get("/one") + get("/dies"))
                expected += "/one done\n/dies cut\n"
                wait_until(lambda expected=expected: (folder / "log").read_text() == expected)
            assert (folder / "control").read_text() == "0"
            wait_until(lambda: len(children(program.process.pid)) == 2)
        wait_until(lambda: len(descriptors(program.process.pid)) == len(before))
        code, _, err = program.stop()
    assert code == 0
    assert "Traceback" not in err


@pytest.mark.slow
@PRELOAD
def test_a_supervisor_without_memory_supervises_on(folder, options):
    with serving(folder, "app", "--workers", "2", "--pid-file", "pid", *options) as (program, port):
        pid = program.process.pid
        limit = resource.prlimit(pid, resource.RLIMIT_AS)
        for more in (0, 256 << 10, 1 << 20):
            resource.prlimit(pid, resource.RLIMIT_AS, (size_of(pid) + more, limit[1]))
            victim = who(port)[0]
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda victim=victim: not is_alive(victim))
            for number in (signal.SIGTTIN, signal.SIGHUP, signal.SIGUSR2, signal.SIGTTOU):
                program.process.send_signal(number)
                who(port)
            resource.prlimit(pid, resource.RLIMIT_AS, limit)
            before = workers(port)
            program.process.send_signal(signal.SIGHUP)  # Their memory was limited too.
            wait_until(lambda before=before: (now := workers(port)) and len(now) == 2 and not now & before)
        code, _, err = program.stop()
    assert code == 0
    assert "supervising failed" not in err


@pytest.mark.slow  # Coverage, which the quick tests measure, lacks memory too, with a traceback of its own.
@PRELOAD
def test_a_worker_that_lacks_memory_to_start_says_so_in_a_line(folder, options):
    with serving(folder, "app", "--workers", "2", *options) as (program, port):
        pid = program.process.pid
        source = template_of(pid) if options else pid
        limit = resource.prlimit(source, resource.RLIMIT_AS)
        resource.prlimit(source, resource.RLIMIT_AS, (size_of(source), limit[1]))
        os.kill(who(port)[0], signal.SIGKILL)
        lines = []
        while not any("the system refuses" in line for line in lines):
            lines.append(program.process.stderr.readline())
        resource.prlimit(source, resource.RLIMIT_AS, limit)
        wait_until(lambda: len(workers(port)) == 2)
        code, _, err = program.stop()
    assert code == 0
    assert "ulimit -v" in lines[-1]
    assert "Traceback" not in "".join([*lines, err])


@pytest.mark.slow
def test_stacks_are_shown_by_a_supervisor_with_little_memory(folder):
    with observed(folder) as (program, _, ops):
        pid = program.process.pid
        limit = resource.prlimit(pid, resource.RLIMIT_AS)
        resource.prlimit(pid, resource.RLIMIT_AS, (size_of(pid) + (1 << 20), limit[1]))
        status, text = page(ops, "/stacks")
        resource.prlimit(pid, resource.RLIMIT_AS, limit)
        assert (status, text.split()[0]) == (200, "worker")
        assert "_obey" in text
        assert program.stop()[0] == 0


def template_of(pid):
    """Return the process id of a supervisor's template, the parent of its workers."""
    return next(child for child in children(pid) if children(child))


TRIAL_WAITS = """
import os, time
if '"kind": "trial"' in os.environ.get("_WSGISERVE_HANDOVER", "") and not os.path.exists("go"):
    open("waits", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.005)
"""


def size_of(pid):
    """Return the bytes of a process's address space."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


@PRELOAD
@pytest.mark.parametrize("lacks", ["descriptors", "most descriptors", "memory"])
def test_a_re_exec_that_lacks_what_a_program_takes_changes_nothing(folder, lacks, options):
    """The trial found nothing wrong; the shortage began as it ran."""
    (folder / "sitecustomize.py").write_text(TRIAL_WAITS)
    with serving(folder, "app", *options, env={"PYTHONPATH": f"{folder}:{ROOT}"}) as (program, port):
        before, pid = who(port), program.process.pid
        program.process.send_signal(signal.SIGUSR2)
        wait_until((folder / "waits").exists)
        number = resource.RLIMIT_AS if lacks == "memory" else resource.RLIMIT_NOFILE
        limit = resource.prlimit(pid, number)
        least = {"descriptors": 3, "most descriptors": len(os.listdir(f"/proc/{pid}/fd")) + 1}
        resource.prlimit(pid, number, (least.get(lacks) or size_of(pid), limit[1]))
        (folder / "go").touch()
        lines = iter(program.process.stderr.readline, "")
        assert any(
            "re-exec failed, everything goes on as it was: the system lacks what" in line for line in lines
        )
        assert who(port) == before
        resource.prlimit(pid, number, limit)
        program.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: who(port)[0] != before[0])
        code, _, err = program.stop()
    assert code == 0
    assert "Traceback" not in err


@PRELOAD
def test_a_re_exec_that_lacks_descriptors_keeps_the_last_lines_of_workers(folder, options):
    (folder / "sitecustomize.py").write_text(TRIAL_WAITS)
    replace_app(folder, DYING)
    arguments = ["--access-log", "log", "--log-format", "{path} {end}", *options]
    env = {"PYTHONPATH": f"{folder}:{ROOT}"}
    with serving_program(folder, "app", *arguments, env=env) as (program, port), Client(port=port) as client:
        pid, lines = program.process.pid, iter(program.process.stderr.readline, "")
        program.process.send_signal(signal.SIGUSR2)
        wait_until((folder / "waits").exists)
        limit = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limit[1]))
        client.send(get("/one") + get("/dies"))
        assert any("the last lines of a worker cannot be logged" in line for line in lines)
        (folder / "go").touch()
        assert any("re-exec failed, everything goes on as it was: the system lacks" in line for line in lines)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
        wait_until(lambda: (folder / "log").read_text() == "/one done\n")
        code, _, err = program.stop()
    assert code == 0
    assert "could not be written" not in err


def test_a_worker_whose_end_its_template_has_not_told_before_the_re_exec_is_counted(folder):
    (folder / "sitecustomize.py").write_text(TRIAL_WAITS)
    replace_app(folder, DYING)
    arguments = ["--preload", "--access-log", "log", "--log-format", "{path} {end}"]
    env = {"PYTHONPATH": f"{folder}:{ROOT}"}
    with observed(folder, *arguments, env=env) as (program, port, ops), Client(port=port) as client:
        pid, worker = program.process.pid, who(port)[0]
        program.process.send_signal(signal.SIGUSR2)
        wait_until((folder / "waits").exists)
        template = next(child for child in children(pid) if worker in children(child))
        os.kill(template, signal.SIGSTOP)
        before = len(descriptors(pid))
        client.send(get("/one") + get("/dies"))
        wait_until(lambda: len(descriptors(pid)) < before)  # It has hung up.
        (folder / "go").touch()
        wait_until(lambda: (folder / "log").read_text() == "/ done\n/one done\n/dies cut\n")
        assert requests(metrics(ops)) == {("GET", "2xx"): 2, ("GET", "none"): 1}
        os.kill(template, signal.SIGCONT)
        wait_until(lambda: who(port)[0] != worker)
        assert program.stop()[0] == 0


@pytest.mark.parametrize("option", ["--max-lifetime", "--graceful-timeout", "--drain-delay", "--keep-alive"])
def test_a_time_of_thirty_days_is_one_like_any_other(folder, option):
    pid_file = str(folder / "pid")
    with serving(folder, "app", option, str(30 * 86400), "--pid-file", pid_file) as (program, port):
        first = who(port)[0]
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: who(port)[0] != first)
        program.process.send_signal(signal.SIGTERM)
        wait_until(lambda: read_status(pid_file).get("state") in ("stopping", None))
        code, _, err = program.stop()  # The second one ends it at once.
    assert code == 0
    assert "Traceback" not in err


# -- every order of ends


@PRELOAD
def test_a_worker_that_is_killed_around_the_stop_does_not_hang_it(folder, options):
    for milliseconds in (0, 1, 2, 4, 8):
        with serving(folder, "app", "--workers", "2", *options) as (program, port):
            os.kill(who(port)[0], signal.SIGKILL)
            began = time.monotonic()
            while time.monotonic() < began + milliseconds / 1000:
                pass
            program.stop()


@pytest.mark.parametrize("order", ["worker first", "template first", "both stopped first"])
def test_killing_a_worker_and_its_template_is_no_outage(folder, order):
    pid_file = str(folder / "pid")
    with serving(folder, "app", "--workers", "2", "--preload", "--pid-file", pid_file) as (program, port):
        worker, template = who(port)[:2]
        victims = [template, worker] if order == "template first" else [worker, template]
        if order.startswith("both"):
            for pid in victims:
                os.kill(pid, signal.SIGSTOP)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(workers(port) - {worker}) == 2)
        wait_until(lambda: [each["state"] for each in read_status(pid_file)["workers"]] == ["serving"] * 2)
        assert program.stop()[0] == 0


def test_nothing_is_left_of_templates(folder):
    with serving(folder, "app", "--workers", "2", "--preload") as (program, port):
        before = children(program.process.pid)
        assert len(before) == 3
        first = who(port)[1]
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: who(port)[1] != first)
        wait_until(lambda: not any(map(is_alive, before)))
        now = children(program.process.pid)
        assert program.stop()[0] == 0
        assert not any(map(is_alive, now)), "all have ended before the supervisor"


# -- a supervisor that is killed

HANGING = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
open("hangs", "w").write(str(os.getpid()))
while True:
    pass
"""
HANGING_HOOK = HANGING.replace("\n", "\n    ")


@LINUX_ONLY
@PRELOAD
@pytest.mark.parametrize("where", ["import", "hook"])
def test_a_worker_that_hangs_before_it_serves_ends_with_its_supervisor(folder, where, options):
    with serving(folder, "app", *options) as (program, port):
        served = who(port)[0]
        hook = APP.replace('note("startup")', "hang()") + f"\ndef hang():{HANGING_HOOK}\n"
        replace_app(folder, APP + HANGING if where == "import" else hook)
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: (folder / "hangs").exists() and (folder / "hangs").read_text())
        below = children(program.process.pid)
        assert int((folder / "hangs").read_text()) in below
        program.process.kill()
        wait_until(lambda: not any(map(is_alive, below)))
        assert served in below
        wait_until(lambda: refuses(port))


@pytest.mark.slow
def test_a_worker_that_does_not_end_without_its_supervisor_is_ended(folder):
    replace_app(folder, APP.replace('note("shutdown")', "time.sleep(1000)"))
    with serving(folder, "app", "--graceful-timeout", "1") as (program, port):
        worker = who(port)[0]
        program.process.kill()
        wait_until(lambda: not is_alive(worker), 30)
        program.process.stdout.close()
        assert "its shutdown hooks run" in program.process.stderr.read(), "and says where it was"


@pytest.mark.slow
@pytest.mark.parametrize("bind", ["tcp", "unix"])
def test_the_next_server_gets_the_address_of_one_that_was_killed(folder, bind):
    where = f"unix:{folder}/s" if bind == "unix" else f"127.0.0.1:{free_port()}"
    for _ in range(2):
        with Program(folder, "app", "--bind", where, "--workers", "2", "--no-access-log") as program:
            program.announcement()
            with connect(where) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 200 ")
            below = children(program.process.pid)
            program.process.kill()
            wait_until(lambda below=below: not any(map(is_alive, below)))
            assert b"supervisor is gone" in program.process.stderr.read().encode()


def connect(where):
    if where.startswith("unix:"):
        client = socket.socket(socket.AF_UNIX)
        client.connect(where.removeprefix("unix:"))
        return client
    return socket.create_connection(("127.0.0.1", int(where.rpartition(":")[2])))


# -- re-exec


@pytest.mark.slow
@PRELOAD
def test_a_re_exec_while_no_worker_is_left_ends_nothing(folder, options):
    """The code is broken by then: a first start would end the server."""
    pid_file = str(folder / "pid")
    with serving(folder, "app", "--pid-file", pid_file, *options) as (program, port):
        first = who(port)[0]
        replace_app(folder, "raise RuntimeError('broken')\n")
        if options:
            os.kill(who(port)[1], signal.SIGKILL)  # The template has imported the sound code.
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: read_status(pid_file)["workers"] == [])
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            program.process.send_signal(signal.SIGUSR2)
            assert outcome(pid_file, 2)["outcome"] == "failed"
            assert read_status(pid_file)["state"] == "serving"
            replace_app(folder, SIMPLE)
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert program.stop()[0] == 0


def test_a_re_exec_whose_pid_file_cannot_be_written_changes_nothing(folder):
    away = folder / "run"
    away.mkdir()
    with serving(folder, "app", "--pid-file", str(away / "pid")) as (program, port):
        before = who(port)
        away.rename(folder / "gone")
        program.process.send_signal(signal.SIGUSR2)
        said = program.process.stderr.readline()
        while "re-exec failed" not in said:
            said = program.process.stderr.readline()
            assert said, "it has ended"
        assert who(port) == before
        assert program.stop()[0] == 0


def test_a_pid_file_that_cannot_be_written_after_the_re_exec_ends_nothing(folder):
    """The trial said that all was well."""
    away = folder / "run"
    away.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os\n"
        "if 'inheritance' in os.environ.get('_WSGISERVE_HANDOVER', ''):\n"
        f"    os.rename({str(away)!r}, {str(away) + '2'!r})\n"
    )
    environment = {"PYTHONPATH": f"{folder}{os.pathsep}{Path(__file__).parents[2]}"}
    with serving(folder, "app", "--pid-file", str(away / "pid"), env=environment) as (program, port):
        first = who(port)[0]
        program.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: who(port)[0] != first)
        code, _, err = program.stop()
    assert code == 0
    assert "after the re-exec" in err


NEW_PROGRAM_WAITS = TRIAL_WAITS.replace('"trial"', '"inheritance"')


def test_an_access_log_that_cannot_be_opened_after_the_re_exec_ends_nothing(folder):
    """The trial could; the file is there again a moment later."""
    (folder / "sitecustomize.py").write_text(NEW_PROGRAM_WAITS)
    log, environment = folder / "access.log", {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    with serving_program(folder, "app", "--access-log", str(log), env=environment) as (program, port):
        first = who(port)[0]
        program.process.send_signal(signal.SIGUSR2)
        wait_until((folder / "waits").exists)
        log.rename(folder / "moved.log")
        log.mkdir()
        (folder / "go").touch()
        lines = iter(program.process.stderr.readline, "")
        assert any("this is tried again" in line for line in lines)
        log.rmdir()
        wait_until(lambda: who(port)[0] != first)
        assert program.stop()[0] == 0
