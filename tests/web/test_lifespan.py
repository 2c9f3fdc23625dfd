"""Start-up and shutdown hooks: under this server, under others, after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import urllib.request

import pytest
from webtest import TestApp

from wsgiserve import Server, serve
from wsgiserve.web.app import App
from wsgiserve.web.background import Background
from wsgiserve.web.lifespan import Lifespan


@pytest.fixture
def app():
    app = App()
    app.state.calls = []
    app.on_startup(lambda: app.state.calls.append("first up"))
    app.on_startup(lambda: app.state.calls.append("second up"))
    app.on_shutdown(lambda: app.state.calls.append("first down"))
    app.on_shutdown(lambda: app.state.calls.append("second down"))
    app.get("/")(lambda: app.state.calls)
    return app


def test_the_first_request_starts_the_app_once(app):
    client = TestApp(app)

    assert client.get("/").json == ["first up", "second up"]
    assert client.get("/").json == ["first up", "second up"]
    app.shutdown()
    assert app.state.calls[2:] == ["second down", "first down"]
    app.shutdown()
    assert len(app.state.calls) == 4


def test_simultaneous_first_requests_start_the_app_once(app):
    slow = threading.Event()
    app.on_startup(lambda: slow.wait(0.05))
    client = TestApp(app)
    threads = [threading.Thread(target=client.get, args=("/",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert app.state.calls == ["first up", "second up"]


def test_the_server_starts_the_app_before_the_first_request_and_shuts_it_down(app):
    with Server(app, port=0) as server:
        assert app.state.calls == ["first up", "second up"]
        with urllib.request.urlopen(server.url) as response:
            assert response.status == 200
    assert app.state.calls[2:] == ["second down", "first down"]


def test_serve_starts_and_shuts_down_the_app(app):
    with Server(App(), port=0) as taken, pytest.raises(OSError, match=str(taken.port)):
        serve(app, port=taken.port)

    assert app.state.calls == ["first up", "second up", "second down", "first down"]


def test_an_app_may_start_again_after_a_shutdown(app):
    TestApp(app).get("/")
    app.shutdown()
    TestApp(app).get("/")

    assert app.state.calls == ["first up", "second up", "second down", "first down", "first up", "second up"]


def test_a_start_up_hook_may_call_the_app(app):
    app.on_startup(lambda: app.state.calls.append(TestApp(app).get("/").status_int))
    app.startup()

    assert app.state.calls == ["first up", "second up", 200]


def test_after_a_failed_start_up_the_next_request_tries_again(app):
    tries = []

    @app.on_startup
    def fail_once():
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("no database")

    with pytest.raises(RuntimeError, match="no database"):
        TestApp(app).get("/")
    assert TestApp(app).get("/").status_int == 200


def test_a_shutdown_hook_that_raises_is_logged_and_the_others_run(app, caplog):
    @app.on_shutdown
    def fail():
        raise RuntimeError("stuck")

    app.startup()
    app.shutdown()

    assert app.state.calls[2:] == ["second down", "first down"]
    assert "RuntimeError: stuck" in caplog.text or "stuck" in caplog.text


LIFE = """
import os, sys
from webtest import TestApp
from wsgiserve import App

app = App()
parent = os.getpid()

def say(text):
    who = "parent" if os.getpid() == parent else "child"
    os.write(1, f"{text} {who}\\n".encode())  # unbuffered: a fork would copy a buffer

app.on_startup(lambda: say("up"))
app.on_shutdown(lambda: say("down"))
app.get("/")(lambda request: app.after_response(request, say, "job") or "x")
"""


def run(code):
    out = subprocess.run([sys.executable, "-c", LIFE + code], capture_output=True, text=True, check=True)
    return out.stdout.splitlines()


def test_the_exit_of_the_interpreter_shuts_the_app_down():
    assert run("TestApp(app).get('/')") == ["up parent", "job parent", "down parent"]


def test_an_app_that_never_started_is_not_shut_down():
    assert run("") == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_again():
    code = """
TestApp(app).get('/')
app.shutdown()
TestApp(app).get('/')
child = os.fork()
if child:
    os.waitpid(child, 0)
else:
    TestApp(app).get('/')
"""
    said = run(code)
    assert [line for line in said if line.endswith("child")] == ["up child", "job child", "down child"]
    assert [line for line in said if line.endswith("parent")] == [
        *("up parent", "job parent", "down parent"),
        *("up parent", "job parent", "down parent"),
    ]


@pytest.mark.slow
def test_a_forked_child_that_never_starts_the_app_does_not_shut_it_down():
    code = """
app.startup()
child = os.fork()
if child:
    os.waitpid(child, 0)
"""
    assert run(code) == ["up parent", "down parent"]


@pytest.mark.slow
def test_a_failing_start_up_hook_prints_the_user_s_traceback_and_the_exit_code_is_3(tmp_path):
    (tmp_path / "broken.py").write_text(
        "from wsgiserve import App\n"
        "app = App()\n"
        "@app.on_startup\n"
        "def connect():\n"
        "    raise RuntimeError('no database')\n"
    )
    command = [sys.executable, "-m", "wsgiserve", "broken:app", "--bind", "127.0.0.1:0"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.getcwd(), str(tmp_path)])}
    out = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30, check=False)

    assert out.returncode == 3
    assert "Serving" not in out.stdout
    assert out.stderr.splitlines()[-1] == "RuntimeError: no database"
    assert "in connect" in out.stderr


def test_the_shutdown_waits_for_jobs_before_its_hooks():
    background, calls = Background(), []
    lifespan = Lifespan(background)
    lifespan.at_end.append(lambda: calls.append("hook"))
    lifespan.startup()
    begun = threading.Event()
    background.run(lambda: begun.wait(10) and calls.append("job"))
    threading.Timer(0.01, begun.set).start()

    lifespan.shutdown()

    assert calls == ["job", "hook"]
