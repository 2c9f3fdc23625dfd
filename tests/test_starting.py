"""A server that is started as an app is loaded: one line that says where."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from wsgiserve import Server, starting
from wsgiserve.target import TargetError, load_app

OURS = "from wsgiserve import App, Server, serve\napp = App()\n"
PLAIN = "def app(environ, start_response): ...\n"
STARTS = {
    "app.run": f"{OURS}app.run()\n",
    "app.run in main": f"{OURS}def main():\n    app.run()\nmain()\n",
    "serve": f"{OURS}serve(app, port=0)\n",
    "Server.serve": f"{OURS}Server(app, port=0).serve()\n",
    "caught": f"{OURS}try:\n    app.run()\nexcept KeyboardInterrupt:\n    pass\n",
    "wsgiref": f"{PLAIN}from wsgiref.simple_server import make_server as m\nm('', 0, app).serve_forever()\n",
    "flask": "import flask\napp = flask.Flask('x')\napp.run(port=0)\n",
    "bottle": "import bottle\napp = bottle.Bottle()\napp.run(port=0)\n",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["hello:app", "--bind", "127.0.0.1:0"], ["routes", "hello:app"]], ids=" ".join
)
@pytest.mark.parametrize("code", STARTS.values(), ids=[*STARTS])
def test_a_server_that_is_started_while_importing_is_one_line(
    tmp_path: Path, code: str, arguments: list[str]
) -> None:
    (tmp_path / "hello.py").write_text(code)
    command = [sys.executable, "-m", "wsgiserve", *arguments]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert run.returncode == 3
    last = run.stderr.splitlines()[-1]
    assert last.startswith("wsgiserve: hello.py, line ")
    assert last.endswith(
        'starts a server as the app is loaded; put that line below: if __name__ == "__main__":'
    )
    assert "Serving on" not in run.stdout


def test_the_line_of_the_module_is_named(tmp_path, monkeypatch):
    (tmp_path / "starts_in_main.py").write_text(STARTS["app.run in main"])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError, match=r"^starts_in_main\.py, line 5, starts a server"):
        load_app("starts_in_main:app")


def test_a_factory_that_starts_a_server_is_told_too(tmp_path, monkeypatch):
    (tmp_path / "starts_in_factory.py").write_text(f"{OURS}def make():\n    app.run()\n    return app\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError, match=r"^starts_in_factory\.py, line 4, starts a server"):
        load_app("starts_in_factory:make()")


def test_another_thread_may_serve_meanwhile():
    refused = []

    def ask() -> None:
        try:
            starting.refuse()
        except starting.StartedError as error:
            refused.append(error)

    with starting.forbidden():
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        assert refused == []
        ask()
        assert len(refused) == 1
    ask()
    assert len(refused) == 1


def test_a_server_in_background_threads_may_be_started(tmp_path):
    with starting.forbidden(), Server(lambda environ, start: [], port=0) as server:
        assert server.url
