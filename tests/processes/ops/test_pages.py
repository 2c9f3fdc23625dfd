"""The pages of the ops endpoint, of a real server."""

from __future__ import annotations

import re
import signal
import socket
import sys
import time

import pytest

import wsgiserve.processes.ops.pages  # noqa: F401 - what a supervisor serves
from bench.harness.proc import switches
from tests.processes.ops.scrape import observed, page
from tests.processes.programs import serving, who
from tests.program import Program, run
from tests.server.client import Client, get, refuses, wait_until

pytestmark = pytest.mark.slow


def test_live_and_ready_of_a_server_that_serves(folder):
    with observed(folder) as (program, port, ops):
        assert page(ops, "/live") == (200, "live\n")
        assert page(ops, "/ready") == (200, "ready\n")
        assert page(ops, "/none")[0] == 404
        assert page(port, "/live")[0] == 200  # the app's
        code, _, err = program.stop()
    assert (code, err) == (0, "")
    assert refuses(ops)


def test_it_is_not_ready_before_a_generation_serves_and_while_it_stops(folder):
    (folder / "app.py").write_text(
        "import os, time\nwhile not os.path.exists('imported'): time.sleep(0.005)\n"
        + (folder / "app.py").read_text()
    )
    with Program(
        folder, "app", "--bind", "127.0.0.1:0", "--ops-bind", "unix:ops", "--no-access-log"
    ) as program:
        wait_until(lambda: (folder / "ops").exists())
        wait_until(lambda: "503" in asked(folder / "ops", "/ready"))
        assert asked(folder / "ops", "/ready").endswith("starting\n")
        assert "200 OK" in asked(folder / "ops", "/live")
        (folder / "imported").touch()
        with Client(port=program.port()) as client:
            assert asked(folder / "ops", "/ready").endswith("ready\n")
            client.send(get("/slow"))
            wait_until(program.entered)
            program.process.send_signal(signal.SIGTERM)
            wait_until(lambda: asked(folder / "ops", "/ready").endswith("stopping\n"))
            assert "503" in asked(folder / "ops", "/ready")
            program.let_go()
            assert client.response().status == 200
        assert program.end()[0] == 0
    assert not (folder / "ops").exists()


def asked(path, page):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        try:
            sock.connect(str(path))
        except ConnectionRefusedError:  # It is bound, and does not listen yet.
            return ""
        sock.sendall(get(page))
        data = b""
        while piece := sock.recv(65536):
            data += piece
        return data.decode()


def test_it_answers_while_the_only_worker_hangs(folder):
    with observed(folder, "--threads", "1") as (program, port, ops), Client(port=port) as client:
        client.send(get("/slow"))
        wait_until(program.entered)
        assert page(ops, "/live") == (200, "live\n")
        program.let_go()
        assert client.response().status == 200


def test_no_worker_and_no_command_keeps_it_open(folder):
    """Else a worker that outlives the supervisor would keep the port."""
    with observed(folder, "--preload") as (program, port, ops):
        worker = who(port)[0]
        with Client(port=port) as client:
            client.send(get("/slow"))
            wait_until(program.entered)
            program.process.kill()
            program.process.wait()
            assert refuses(ops)
            program.let_go()
            assert client.response().body.split()[0] == str(worker).encode()


def test_it_stays_open_through_a_reexec(folder):
    with observed(folder, "--pid-file", "pid") as (program, port, ops):
        before = who(port)[0]
        with Client(port=ops) as client:
            program.process.send_signal(signal.SIGUSR2)
            wait_until(lambda: who(port)[0] != before)
            assert client.rest() == b""
        assert page(ops, "/ready") == (200, "ready\n")
        code, _, _ = program.stop()
    assert code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork", "preload"])
def test_without_a_reader_nobody_is_woken(folder, options):
    """For three seconds at once: whatever looks at something once a second would be seen."""
    with observed(folder, "--workers", "2", *options) as (program, port, ops):
        for _ in range(20):
            who(port)
        for path in ("/metrics", "/status.json", "/stacks"):
            assert page(ops, path)[0] == 200
        before, since = switches(program.process.pid), time.monotonic()
        assert len(before) > 3

        def quiet():
            nonlocal before, since
            now = switches(program.process.pid)
            if now != before:
                before, since = now, time.monotonic()
            return time.monotonic() - since > 3

        wait_until(quiet)
        program.stop()


def test_an_address_in_use_is_one_line(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, out, err = run(folder, "app", "--bind", "127.0.0.1:0", "--ops-bind", address)
    assert (code, out) == (4, "")
    assert err == (
        f"wsgiserve: --ops-bind: cannot listen on {address}: address already in use; "
        "stop the other server or choose another port\n"
    )


@pytest.mark.parametrize("option", [("--workers", "0"), ("--dev",)])
def test_it_needs_workers(folder, option):
    code, out, err = run(folder, "app", "--ops-bind", ":0", *option)
    assert (code, out) == (2, "")
    assert err == (
        f"wsgiserve: --ops-bind: the supervisor of workers answers there, and {' '.join(option)} has none; "
        "leave one of them out. See wsgiserve --help.\n"
    )


def test_a_reload_that_changes_it_says_that_it_takes_a_restart(folder):
    (folder / "wsgiserve.toml").write_text('ops_bind = "127.0.0.1:0"\n')
    with serving(folder, "app") as (program, port):
        ops = int(re.search(r":(\d+)", program.announcement())[1])
        (folder / "wsgiserve.toml").write_text('ops_bind = "unix:ops"\n')
        before = who(port)[0]
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: who(port)[0] != before)
        assert page(ops, "/ready") == (200, "ready\n")
        _, _, err = program.stop()
    assert "reload: ops_bind stays '127.0.0.1:0' until a restart, which makes it 'unix:ops'" in err
