"""PasteDeploy's entry points: a Pyramid app under ``pserve``, and every option as text."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from paste.deploy import loadserver

from tests.program import ROOT
from tests.server.client import Client, get
from tests.test_live import announced_port
from wsgiserve import paste

APP = """
from pyramid.config import Configurator
from pyramid.response import Response

def main(global_config, **settings):
    with Configurator(settings=settings) as config:
        config.add_route("home", "/")
        config.add_view(lambda request: Response("hello"), route_name="home")
        return config.make_wsgi_app()
"""
INI = """
[app:main]
paste.app_factory = shop:main

[server:main]
use = egg:wsgiserve-http
"""


@pytest.fixture
def ini(tmp_path):
    """Return ``ini(options)``: write the file and return its path."""
    (tmp_path / "shop.py").write_text(APP)

    def ini(options):
        (tmp_path / "shop.ini").write_text(INI + options)
        return str(tmp_path / "shop.ini")

    return ini


@pytest.mark.slow
def test_pserve_serves_a_pyramid_app(ini, tmp_path):
    path = ini("host = 127.0.0.1\nport = 0\nthreads = 5\nkeep_alive = 0\naccess_log = false\n")
    code = "import sys; from pyramid.scripts.pserve import main; sys.exit(main(sys.argv))"
    with subprocess.Popen(
        [sys.executable, "-c", code, path],
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        with Client(port=announced_port(process.stdout)) as client:
            response = client.ask(get())
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert (response.body, response.headers["connection"]) == (b"hello", "close")


def test_the_factory_is_found_and_takes_options(ini, monkeypatch):
    served = []
    monkeypatch.setattr(paste, "run", lambda app, **options: served.append((app, options)))
    path = ini("bind = 127.0.0.1:0 unix:/s\nstrict = yes\nmax_body = 1M")
    serve = loadserver(f"config:{path}")
    serve("app")
    (app, options) = served.pop()
    assert app == "app"
    assert options == {"bind": ["127.0.0.1:0", "unix:/s"], "strict": True, "max_body": "1M"}


def test_the_runner_joins_host_and_port(monkeypatch):
    served = []
    monkeypatch.setattr(paste, "run", lambda app, **options: served.append(options["bind"]))
    for options in ({"host": "::1", "port": "80"}, {"port": "80"}, {"host": "localhost"}):
        paste.server_runner("app", {}, **options)
    assert served == [["[::1]:80"], ["127.0.0.1:80"], ["localhost:8000"]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"threads": "many"}, "threads: 'many' is not a whole number of at least 1"),
        ({"strict": "perhaps"}, "strict: 'perhaps' is neither true nor false"),
        ({"keep_alive": "soon"}, "keep_alive: 'soon' is not a time such as 10s, 500ms or 5min"),
        ({"workers": "2"}, "workers: is for the command wsgiserve MODULE:NAME alone"),
        ({"no_such": "2"}, "unknown option no_such"),
        ({"port": "http"}, "bind: '127.0.0.1:http' is not HOST:PORT"),
    ],
)
def test_a_wrong_option_is_one_line(capsys, options, said):
    with pytest.raises(SystemExit) as ended:
        paste.server_factory({}, **options)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"wsgiserve: the server's section: {said}")
