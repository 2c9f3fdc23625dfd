"""The soft limit of open files, in a program of ours and in those that its app starts."""

from __future__ import annotations

import json
import math
import resource
from contextlib import ExitStack

import pytest

from tests.program import Program
from tests.server.client import Client, get
from wsgiserve.server.sockets import descriptors

LIMIT = 128
LIMITED = (
    "import resource, runpy\n"
    f"resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
    "runpy.run_module('wsgiserve', run_name='__main__')"
)
APP = """
import json, os, resource, subprocess, sys

def soft():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

def forked():
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, str(soft()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    with open(read) as file:
        return int(file.read())

def application(environ, start_response):
    program = int(subprocess.check_output(["sh", "-c", "ulimit -Sn"]))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [json.dumps([soft(), forked(), program]).encode()]
"""


@pytest.mark.slow
@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 4 * LIMIT, reason="the hard limit cannot be raised"
)
@pytest.mark.parametrize("option", ["--workers=0", "--workers=1", "--preload"])
def test_programs_that_the_app_starts_have_the_limit_of_the_start(tmp_path, option):
    (tmp_path / "app.py").write_text(APP)
    arguments = ("app", option, "--bind", "127.0.0.1:0", "--no-access-log")
    env = {"PYTHONWARNINGS": "ignore"}
    with Program(tmp_path, *arguments, command=("-c", LIMITED), env=env) as program, ExitStack() as crowd:
        port = program.port()
        with Client(port=port) as client:
            assert json.loads(client.ask(get()).body) == [LIMIT, LIMIT, LIMIT]
        clients = [crowd.enter_context(Client(port=port)) for _ in range(2 * LIMIT)]
        for client in clients[::16]:
            soft, forked, _ = json.loads(client.ask(get()).body)
            assert forked == LIMIT
        assert soft == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        assert all(client.ask(get()).status == 200 for client in clients[1::32])
        assert program.stop()[0] == 0


def test_a_library_raises_no_limit(monkeypatch):
    monkeypatch.setattr(descriptors, "_may_raise", False)
    assert descriptors.ample_below() == math.inf
    assert not descriptors.raise_limit()


def test_a_limit_that_the_system_does_not_grant_is_left(monkeypatch):
    def refuse(*arguments):
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(descriptors, "_may_raise", True)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (100, 200))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert descriptors.ample_below() == 50
    assert not descriptors.raise_limit()
    assert descriptors.ample_below() == math.inf
