"""How a process starts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest

from tests.server.client import SECONDS
from wsgiserve.config import make_config
from wsgiserve.processes import spawn
from wsgiserve.processes.handover import VARIABLE, environment
from wsgiserve.processes.spawn import Birth, Forked
from wsgiserve.server.scoreboard import Scoreboard
from wsgiserve.server.sockets.listener import Listener

# Threads of other tests may be about to end; the forked children here run a few lines only.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture
def socks():
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def listener():
    listener = Listener(socket.create_server(("127.0.0.1", 0)), "127.0.0.1")
    yield listener
    listener.close()


def as_command(monkeypatch, code):
    """Have this process started by ``python -c code``."""
    monkeypatch.setattr(sys, "orig_argv", ["python", "-S", "-c", code, "argument"])


# -- by fork


def test_a_forked_child_gets_its_birth_by_an_exception(socks, listener):
    ours, theirs = socks
    birth = Birth(theirs, [listener], Scoreboard(), 7)
    try:
        pid = spawn.fork((ours,), birth)
    except Forked as child:
        sound = child.birth is birth and ours.fileno() == -1 and listener.sock.fileno() >= 0
        theirs.sendall(b"sound" if sound else b"not sound")
        os._exit(0)
    theirs.close()
    assert ours.recv(100) == b"sound"
    assert os.waitpid(pid, 0)[1] == 0
    assert listener.sock.fileno() >= 0


def test_a_forked_child_does_not_repeat_unwritten_output(tmp_path):
    code = (
        "import os, sys\n"
        "from wsgiserve.processes.spawn import Birth, Forked, fork\n"
        "sys.stdout.write('once ')\n"
        "try:\n"
        "    os.waitpid(fork((), Birth(None, [], None)), 0)\n"
        "except Forked:\n"
        "    sys.stdout.write('child ')\n"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "once child "


# -- by the command


def test_the_command_is_that_of_this_process():
    assert spawn.command() == [sys.executable, *sys.orig_argv[1:]]


def test_a_child_finds_its_facts_and_descriptors(monkeypatch, socks):
    ours, theirs = socks
    as_command(
        monkeypatch,
        f"import json, os, sys; fd, = json.loads(os.environ[{VARIABLE!r}])['facts']; "
        "os.write(fd, (os.getcwd() + ' ' + sys.argv[1]).encode())",
    )
    monkeypatch.setattr(sys, "path", ["/", *sys.path])
    process = spawn.run_again("worker", [theirs.fileno()], [theirs.fileno()])
    theirs.close()
    assert process.wait(SECONDS) == 0
    assert ours.recv(100) == b"/ argument"


def test_a_worker_without_fork_finds_its_birth_in_the_environment(monkeypatch, socks, listener):
    ours, theirs = socks
    as_command(monkeypatch, f"import os; print(os.environ[{VARIABLE!r}])")
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **options: options)
    options = spawn.spawn(Birth(theirs, [listener], Scoreboard(), 7))
    assert options["pass_fds"] == [theirs.fileno(), listener.fd]
    facts = json.loads(options["env"][VARIABLE])["facts"]
    # It has copies of the descriptors, of the same numbers; here they are other ones.
    copies = {"channel": os.dup(facts["channel"]), "listeners": [[os.dup(listener.fd), "127.0.0.1", True]]}
    monkeypatch.setenv(VARIABLE, environment("worker", copies)[VARIABLE])
    birth = spawn.spawned(make_config())
    with birth.sock:
        birth.sock.sendall(b"ready")
    assert ours.recv(100) == b"ready"
    assert [(its.host, its.port) for its in birth.listeners] == [("127.0.0.1", listener.port)]
    assert not birth.listeners[0].sock.get_inheritable()
    assert birth.listeners[0].foreign, "another program may go on with it"
    birth.listeners[0].close()


def test_a_process_that_nobody_spawned_has_no_birth(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert spawn.spawned(make_config()) is None


# -- the app


def test_an_app_is_imported_from_its_folder_as_it_is_now(monkeypatch, tmp_path):
    """A link may lead to another release by now."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    current = tmp_path / "current"
    current.symlink_to("one")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(current), *sys.path])
    assert spawn.folder() == str(current)
    assert spawn.imported(os.getcwd) == str(tmp_path / "one")
    current.unlink()
    current.symlink_to("two")
    assert spawn.imported(os.getcwd) == str(tmp_path / "two")


def test_a_path_that_is_no_folder_is_none(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "app.zip"), *sys.path])
    assert spawn.folder() is None
    assert spawn.imported(os.getcwd) == str(tmp_path)
