"""From the arguments to a command."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys

import pytest

import wsgiserve
from tests.program import FREE_PORT, ROOT, Program, run
from wsgiserve.cli import serving
from wsgiserve.cli.commands import COMMANDS, load


@pytest.mark.slow
def test_the_command_is_the_module(tmp_path):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["options.entry_points"]["console_scripts"].strip() == "wsgiserve = wsgiserve.cli:main"
    outcomes = []
    for command in (["-m", "wsgiserve"], ["-c", "from wsgiserve.cli import main; main()"]):
        with Program(tmp_path, "--version", command=command) as program:
            outcomes.append(program.end())
    assert outcomes == [(0, f"wsgiserve {wsgiserve.__version__}\n", "")] * 2


def test_help_names_every_command(command_line):
    code, out, err = command_line("--help")
    assert (code, err) == (0, "")
    assert out.startswith("Usage: wsgiserve [OPTIONS] MODULE:NAME\n       wsgiserve COMMAND ...\n")
    for name in COMMANDS:
        text = " +".join(map(re.escape, load(name).get_short_help_str(200).split()))
        assert re.search(rf"\n  {name} +{text}\n", re.sub(r"\n {4,}", " ", out))  # long lines are wrapped


def test_a_module_that_is_named_like_a_command_is_served_with_its_colon(command_line):
    code, out, err = command_line("routes:app", "--threads", "0")
    assert (code, out) == (2, "")
    assert err.startswith("wsgiserve: --threads: 0 is not a whole number")


@pytest.mark.parametrize("name", COMMANDS)
def test_errors_are_of_the_command(command_line, name):
    code, out, err = command_line(name, "--xyz")
    assert (code, out) == (2, "")
    assert err == f"wsgiserve: --xyz: no such option. See wsgiserve {name} --help.\n"


def test_variables_are_of_the_command(command_line, monkeypatch):
    monkeypatch.setenv("WSGISERVE_RELOAD_WAIT", "soon")
    code, _, err = command_line("reload", "--pid-file", "pid")
    assert (code, err) == (
        2,
        "wsgiserve: WSGISERVE_RELOAD_WAIT: 'soon' is not a time such as 10s, 500ms or 5min. "
        "See wsgiserve reload --help.\n",
    )


def test_ctrl_c_before_anything_is_served_is_no_traceback(command_line, monkeypatch):
    def interrupted(load, config, reread):
        raise KeyboardInterrupt

    monkeypatch.setattr(serving, "run_command", interrupted)
    assert command_line("app") == (130, "", "\n")  # Behind the ^C that the terminal shows.
    monkeypatch.setenv("WSGISERVE_THREADS", "5")
    assert command_line("app") == (130, "", "\n")  # Also if click has read the command line.


def test_ctrl_c_while_we_are_imported_is_no_traceback(tmp_path):
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")
    environ = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-c", "from wsgiserve.cli import main; main()", "--help"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_serving_loads_no_framework(tmp_path):
    (tmp_path / "look.py").write_text(
        "import sys\nfound = {'werkzeug', 'wsgiserve.web', 'wsgiserve.cli.routes'} & set(sys.modules)\n"
        "sys.exit(f'found: {sorted(found)}')\n"
    )
    code, _, err = run(tmp_path, "look:app", env=FREE_PORT)
    assert (code, err.splitlines()[-1]) == (3, "SystemExit: found: []")
