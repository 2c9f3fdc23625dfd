"""``--hooks``: each function is called in its process, and what it raises is told."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback

import pytest

from tests.program import Program, run, serving_program
from tests.server.client import Client, get, wait_until
from wsgiserve.processes.hooks import HookServer, HookWorker, call_logged, post_fork
from wsgiserve.server.errors import StartError

HOOKS = """
import json, os, sys

def note(name, server, *workers):
    row = [name, os.getpid(), server.pid, list(server.address), [[its.pid, its.age] for its in workers]]
    row.append("app" in sys.modules)
    descriptor = os.open("hook-notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, (json.dumps(row) + "\\n").encode())
    os.close(descriptor)
    server.log.info("hook %s", name)

def when_ready(server):
    note("when_ready", server)

def on_reload(server):
    note("on_reload", server)

def post_fork(server, worker):
    note("post_fork", server, worker)

def worker_exit(server, worker):
    note("worker_exit", server, worker)
"""


def notes(folder, name):
    path = folder / "hook-notes"
    lines = path.read_text().splitlines() if path.exists() else []
    return [row[1:] for row in map(json.loads, lines) if row[0] == name]


@pytest.fixture
def folder(folder):
    (folder / "shop_hooks.py").write_text(HOOKS)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
def test_each_hook_is_called_in_its_process(folder, preload):
    more = ["--preload"] if preload else []
    with serving_program(folder, "app", "--workers", "2", "--hooks", "shop_hooks", *more) as (program, port):
        pid = program.process.pid
        wait_until(lambda: notes(folder, "when_ready"))
        forked = notes(folder, "post_fork")
        assert len(forked) == 2
        url = f"http://127.0.0.1:{port}"
        for own, server, address, workers, imported in forked:
            assert (server, address, [worker[0] for worker in workers]) == (pid, [url], [own])
            assert imported == preload
        assert sorted(row[3][0][1] for row in forked) == [1, 2]
        [ready] = notes(folder, "when_ready")
        assert ready[1:] == [pid, [url], [], False]
        assert ready[0] not in (pid, *(row[0] for row in forked))
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(notes(folder, "worker_exit")) == 2)
        wait_until(lambda: notes(folder, "on_reload"))
        [reload] = notes(folder, "on_reload")
        assert reload[1:] == [pid, [url], [], False]
        code, _, err = program.stop()
    assert code == 0
    assert len(notes(folder, "worker_exit")) == 4
    assert len(notes(folder, "when_ready")) == 1
    assert {row[0] for row in notes(folder, "worker_exit")} == {row[0] for row in notes(folder, "post_fork")}
    assert "INFO hook when_ready" in err
    assert "INFO hook worker_exit" in err
    assert err.count("INFO hook post_fork") == 4


@pytest.mark.slow
def test_in_one_process_all_of_them_run_there(folder):
    with serving_program(folder, "app", "--workers", "0", "--hooks", "shop_hooks") as (program, port):
        pid = program.process.pid
        wait_until(lambda: notes(folder, "when_ready"))
        code, _, err = program.stop()
    assert code == 0
    url = f"http://127.0.0.1:{port}"
    for name, address in (("post_fork", "http://127.0.0.1:0"), ("when_ready", url), ("worker_exit", url)):
        assert [(row[0], row[2]) for row in notes(folder, name)] == [(pid, [address])]
        assert f"INFO hook {name}" in err
    assert notes(folder, "on_reload") == []


@pytest.mark.slow
def test_a_hook_that_fails_ends_nothing_that_serves(folder):
    (folder / "shop_hooks.py").write_text(
        "def when_ready(server):\n    1 / 0\ndef worker_exit(*both):\n    1 / 0\n"
    )
    lines = [""]
    with serving_program(folder, "app", "--hooks", "shop_hooks") as (program, port):

        def until(text):
            while text not in lines[-1]:
                lines.append(program.process.stderr.readline())
                assert lines[-1]

        until("ZeroDivisionError")
        with Client(port=port) as client:
            assert client.ask(get()).status == 200
        (folder / "shop_hooks.py").write_text(
            "def post_fork(server, worker):\n    raise RuntimeError('no database')\n"
        )
        program.process.send_signal(signal.SIGHUP)
        until("RuntimeError: no database")
        with Client(port=port) as client:
            assert client.ask(get()).status == 200
        code, _, err = program.stop()
    assert code == 0
    said = "".join(lines) + err
    assert "the hook when_ready of shop_hooks raised\nTraceback" in said
    assert "the hook worker_exit of shop_hooks raised\nTraceback" in said
    assert "generation 1 goes on serving: wsgiserve: --hooks shop_hooks: post_fork failed" in said


@pytest.mark.slow
def test_a_failing_post_fork_or_no_module_is_a_failed_start(folder):
    (folder / "shop_hooks.py").write_text("def post_fork(server, worker):\n    raise SystemExit(5)\n")
    for workers in ("0", "1"):
        code, out, err = run(folder, "app", "--workers", workers, "--hooks", "shop_hooks")
        assert (code, out) == (3, "")
        assert "--hooks shop_hooks: post_fork failed" in err
    code, _, err = run(folder, "app", "--hooks", "no_hooks")
    assert (code, err.count("\n")) == (3, 1)
    assert "--hooks no_hooks: no module named 'no_hooks' here" in err


@pytest.mark.slow
def test_a_hook_that_hangs_ends_with_the_supervisor(folder):
    (folder / "shop_hooks.py").write_text(
        "import os, time\ndef when_ready(server):\n"
        "    open('pid', 'w').write(str(os.getpid()) + '\\n')\n    time.sleep(100)\n"
    )
    with Program(folder, "app", "--bind", "127.0.0.1:0", "--hooks", "shop_hooks") as program:
        program.port()
        wait_until(lambda: (folder / "pid").exists() and (folder / "pid").read_text().endswith("\n"))
        pid = int((folder / "pid").read_text())
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(20) == 0
        wait_until(lambda: not alive(pid))


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


def test_without_a_module_or_a_function_nothing_is_called(tmp_path, monkeypatch, caplog):
    server, worker = HookServer(1, ()), HookWorker(2, 1)
    post_fork("", server, worker)
    (tmp_path / "few_hooks.py").write_text("def when_ready(server):\n    raise ValueError(server.pid)\n")
    monkeypatch.syspath_prepend(tmp_path)
    post_fork("few_hooks", server, worker)
    assert call_logged("few_hooks", "worker_exit", server, worker)
    assert not call_logged("few_hooks", "when_ready", server)
    assert caplog.messages == ["the hook when_ready of few_hooks raised"]
    frames = traceback.extract_tb(caplog.records[0].exc_info[2])
    assert [frame.name for frame in frames] == ["when_ready"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no module named 'shop_hooks' here; looked in this folder and in sys.path"),
        (
            "def post_frok(server, worker): ...",
            "it has no function when_ready, on_reload, post_fork or worker_exit",
        ),
        ("import none_such", "post_fork failed\nTraceback"),
    ],
)
def test_a_module_that_is_none_of_hooks_is_a_failed_start(tmp_path, monkeypatch, text, reason):
    if text is not None:
        (tmp_path / "shop_hooks.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "shop_hooks", raising=False)
    with pytest.raises(StartError) as caught:
        post_fork("shop_hooks", HookServer(1, ()), HookWorker(2, 1))
    assert str(caught.value).startswith(f"wsgiserve: --hooks shop_hooks: {reason}")
