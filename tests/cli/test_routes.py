"""``wsgiserve routes``, in this process."""

from __future__ import annotations

import json

import pytest

from tests.program import ROOT, run
from wsgiserve.cli.routes import HEADINGS

SHOP = """
from werkzeug.middleware.proxy_fix import ProxyFix
from wsgiserve import App

app = App()

@app.get("/")
def home():
    return "shop"

@app.route("/items/{id:int}", methods=["DELETE", "PUT"])
def item(id):
    return None

behind = ProxyFix(app)
inside = lambda environ, start_response: app(environ, start_response)
empty = App()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "routes.py").write_text("from shop import app\n")
    (tmp_path / "others.py").write_text("from flask import Flask\napp = Flask(__name__)\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_aligned_table(folder, command_line):
    code, out, err = command_line("routes", "shop:app")
    assert (code, err) == (0, "")
    assert out == (
        "RULE             METHODS     ENDPOINT  DEFINED\n"
        "/                GET,HEAD    home      shop.py:7\n"
        "/items/{id:int}  DELETE,PUT  item      shop.py:11\n"
    )


def test_as_json_there_are_whole_paths_and_lists(folder, command_line):
    code, out, err = command_line("routes", "--json", "shop")
    assert (code, err) == (0, "")
    assert json.loads(out)[1] == {
        "rule": "/items/{id:int}",
        "methods": ["DELETE", "PUT"],
        "endpoint": "item",
        "file": str(folder / "shop.py"),
        "line": 11,
    }


def test_an_app_without_routes_has_an_empty_table(folder, command_line):
    assert command_line("routes", "shop:empty") == (0, "  ".join(HEADINGS) + "\n", "")
    assert command_line("routes", "shop:empty", "--json") == (0, "[]\n", "")


def test_a_module_may_be_named_like_the_command(folder, command_line):
    assert command_line("routes", "routes:app")[0] == 0


def test_a_process_of_its_own_prints_the_same(folder, command_line):
    assert run(folder, "routes", "shop:app") == command_line("routes", "shop:app")


def test_the_example_s_routes_are_named_by_their_groups(monkeypatch, command_line):
    monkeypatch.chdir(ROOT / "examples" / "parcels")
    code, out, err = command_line("routes", "parcels:create_app()")
    assert (code, err) == (0, "")
    assert "\n/parcels/{parcel_id}/label   PUT       labels.upload     parcels/labels.py:" in out


NO_APP = [
    (3, ["others:app"], "'others:app' is of type Flask and no wsgiserve App; only an App tells its routes"),
    (
        3,
        ["shop:inside"],
        "'shop:inside' is of type function and no wsgiserve App; only an App tells its routes",
    ),
    (
        3,
        ["shop:behind"],
        "'shop:behind' is middleware of type ProxyFix around an App; name the App itself, here its attribute "
        "'app', or put the middleware inside with app.wrap()",
    ),
    (3, ["missing:app"], "no module named 'missing' here; looked in this folder and in sys.path"),
    (2, [], "MODULE:NAME is missing. See wsgiserve routes --help."),
    (2, ["shop", "--threads", "1"], "--threads: no such option. See wsgiserve routes --help."),
    (2, ["shop", "--jso"], "--jso: no such option; did you mean --json? See wsgiserve routes --help."),
    (2, ["shop", "more"], "got unexpected extra argument (more). See wsgiserve routes --help."),
    (2, ["shop", "--json=1"], "--json: does not take a value. See wsgiserve routes --help."),
]


@pytest.mark.parametrize(("code", "arguments", "line"), NO_APP, ids=[" ".join(case[1]) for case in NO_APP])
def test_what_has_no_routes_is_one_plain_line(folder, command_line, code, arguments, line):
    assert command_line("routes", *arguments) == (code, "", f"wsgiserve: {line}\n")
