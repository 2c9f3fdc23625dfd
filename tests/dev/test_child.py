"""The process with one version of the code, whose parent is the test."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from tests.dev.project import VISIT
from tests.program import ROOT
from tests.server.client import SECONDS, Client, get
from wsgiserve.dev import child
from wsgiserve.processes.channel import Channel
from wsgiserve.processes.handover import VARIABLE, environment

APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/lazy":
        import package.lazy
    return [b"answer"]
"""
LOCAL_VISIT = "\r\n".join(["GET / HTTP/1.1", "Host: localhost", *VISIT, "", ""]).encode()


class Child:
    """``wsgiserve app --dev`` as the parent starts it."""

    def __init__(self, folder, broken=""):
        ours, theirs = socket.socketpair()
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        ours.settimeout(SECONDS)
        self.channel = Channel(ours)
        descriptors = [theirs.fileno(), listener.fileno()]
        orders = {"channel": descriptors[0], "listeners": descriptors[1:], "version": "1", "broken": broken}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wsgiserve", "app", "--dev"],
            cwd=folder,
            env={**environment("dev child", orders), "PYTHONPATH": str(ROOT)},
            pass_fds=descriptors,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        theirs.close()
        listener.close()

    def ask(self, request):
        with Client(port=self.port) as client:
            return client.ask(request)

    def end(self):
        out, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out, err

    def close(self):
        self.process.kill()
        self.process.communicate()
        self.channel.close()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "lazy.py").touch()
    return tmp_path


@pytest.fixture
def start(folder):
    """Return ``start(**options)``: a child of the folder."""
    started = []

    def start(**options):
        started.append(Child(folder, **options))
        return started[-1]

    yield start
    for each in started:
        each.close()


def test_a_child_serves_and_tells_what_to_watch(start, folder):
    its = start()
    ready = its.channel.wait()
    assert (ready["event"], ready["folders"]) == ("ready", [str(folder)])
    assert len(ready["pin"]) == 11
    assert its.ask(get()).body == b"answer"
    assert its.ask(get("/lazy")).body == b"answer"
    while (grown := its.channel.wait())["folders"] == [str(folder)]:
        pass  # Our own modules grow too.
    assert grown == {"event": "grown", "folders": [str(folder), str(folder / "package")]}
    its.channel.close()
    code, out, _ = its.end()
    assert (code, out.count("GET /")) == (0, 2)


def test_a_child_shows_what_its_parent_says_of_newer_code(start):
    its = start()
    assert its.channel.wait()["event"] == "ready"
    its.channel.send(version="2", broken="SyntaxError: newer")
    while its.ask(get("/.wsgiserve/version")).body != b"2":
        pass
    answer = its.ask(LOCAL_VISIT)
    assert answer.status == 500
    assert b"SyntaxError: newer" in answer.body


@pytest.mark.parametrize("code", ["1 / 0\n", "import package.broken\n", "def application(:\n"])
def test_a_child_whose_code_is_broken_tells_why_and_what_to_watch(start, folder, code):
    (folder / "app.py").write_text(code)
    (folder / "package" / "broken.py").write_text("1 / 0\n")
    its = start()
    failed = its.channel.wait()
    assert failed["event"] == "failed"
    assert failed["reason"].splitlines()[-1].split(":")[0] in ("ZeroDivisionError", "SyntaxError")
    assert str(folder / "package" if "package" in code else folder) in failed["folders"]
    assert its.end() == (3, "", "")


def test_a_child_may_have_the_page_alone(start, folder):
    (folder / "app.py").write_text("1 / 0\n")
    its = start(broken="ZeroDivisionError: division by zero")
    ready = its.channel.wait()
    assert (ready["event"], ready["pin"]) == ("ready", None)
    assert its.ask(LOCAL_VISIT).status == 500


def test_orders_are_taken_from_the_environment_once(monkeypatch):
    monkeypatch.setenv(VARIABLE, environment("dev child", {"channel": 3})[VARIABLE])
    assert child.orders() == {"channel": 3}
    assert child.orders() is None
