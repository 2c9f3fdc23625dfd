"""The commands besides serving, run as a person runs them; for serving see ``server/test_lifecycle.py``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from wsgiserve.cli.commands import COMMANDS, load

ROOT = Path(__file__).parent.parent

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


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Return exit code, standard output, standard error."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-m", "wsgiserve", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(SHOP)
    (folder / "routes.py").write_text("from shop import app\n")
    (folder / "others.py").write_text("from flask import Flask\napp = Flask(__name__)\n")
    return folder


def test_routes_prints_an_aligned_table(folder: Path) -> None:
    code, out, err = run(folder, "routes", "shop:app")
    assert (code, err) == (0, "")
    assert out == (
        "RULE             METHODS     ENDPOINT  DEFINED\n"
        "/                GET,HEAD    home      shop.py:7\n"
        "/items/{id:int}  DELETE,PUT  item      shop.py:11\n"
    )


def test_routes_as_json_have_whole_paths_and_lists(folder: Path) -> None:
    code, out, err = run(folder, "routes", "--json", "shop")
    assert (code, err) == (0, "")
    assert json.loads(out)[1] == {
        "rule": "/items/{id:int}",
        "methods": ["DELETE", "PUT"],
        "endpoint": "item",
        "file": str(folder / "shop.py"),
        "line": 11,
    }


def test_an_app_without_routes_has_an_empty_table(folder: Path) -> None:
    assert run(folder, "routes", "shop:empty") == (0, "RULE  METHODS  ENDPOINT  DEFINED\n", "")
    assert run(folder, "routes", "shop:empty", "--json") == (0, "[]\n", "")


def test_the_example_s_routes_are_named_by_their_groups() -> None:
    code, out, err = run(ROOT / "examples" / "parcels", "routes", "parcels:create_app()")
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


@pytest.mark.parametrize(("code", "arguments", "line"), NO_APP, ids=lambda value: str(value))
def test_what_has_no_routes_is_one_plain_line(
    folder: Path, code: int, arguments: Sequence[str], line: str
) -> None:
    assert run(folder, "routes", *arguments) == (code, "", f"wsgiserve: {line}\n")


def test_a_module_that_is_named_like_a_command_is_served_with_its_colon(folder: Path) -> None:
    code, out, err = run(folder, "routes:app", "--threads", "0")
    assert (code, out) == (2, "")
    assert err.startswith("wsgiserve: --threads: 0 is not a whole number")
    assert run(folder, "routes", "routes:app")[0] == 0


def test_help_names_every_command() -> None:
    code, out, _ = run(ROOT, "--help")
    assert code == 0
    for name in COMMANDS:
        text = " +".join(map(re.escape, load(name).get_short_help_str(200).split()))
        assert re.search(rf"\n  {name} +{text}\n", re.sub(r"\n {4,}", " ", out))  # long lines are wrapped


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_reference_and_has_help(name: str) -> None:
    code, out, _ = run(ROOT, name, "-h")
    assert code == 0
    assert out.startswith(f"Usage: wsgiserve {name} [OPTIONS]")
    assert f"## `wsgiserve {name} " in (ROOT / "docs" / "reference.md").read_text("utf-8")


def test_serving_loads_no_framework(folder: Path) -> None:
    (folder / "look.py").write_text(
        "import sys\nfound = {'werkzeug', 'wsgiserve.web', 'wsgiserve.cli.routes'} & set(sys.modules)\n"
        "sys.exit(f'found: {sorted(found)}')\n"
    )
    code, _, err = run(folder, "look:app")
    assert (code, err.splitlines()[-1]) == (3, "SystemExit: found: []")


def test_ctrl_c_while_we_are_imported_is_no_traceback(tmp_path):
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")
    environ = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-c", "from wsgiserve.cli import main; main()", "app"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
