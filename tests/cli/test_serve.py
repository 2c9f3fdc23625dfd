"""``wsgiserve MODULE:NAME``: an app is served, or one line says why not."""

from __future__ import annotations

import re

import click
import pytest

from tests.program import APP, FREE_PORT, ROOT, Program, serving_program
from tests.server.client import Client, get
from wsgiserve.cli.serve import command, server_options
from wsgiserve.config.fields import FIELDS, flag
from wsgiserve.config.options import GROUPS


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


@pytest.mark.parametrize("target", ["app", "app:create_app()"])
def test_target_is_served(folder, target):
    with Program(folder, target, "--bind", "127.0.0.1:0") as program:
        line = program.announcement()
        match = re.fullmatch(r"Serving on http://127\.0\.0\.1:(\d+) \(Ctrl\+C to stop\)\n", line)
        assert match, line
        with Client(port=int(match[1])) as client:
            assert client.ask(get()).body == b"hello"
        code, _, err = program.stop()
        assert (code, err) == (0, "")


@pytest.mark.slow
def test_environment_variables(folder):
    env = {"WSGISERVE_BIND": "127.0.0.1:0 127.0.0.2:0", "WSGISERVE_ACCESS_LOG": "false"}
    with Program(folder, "app", env=env) as program:
        line = program.announcement()
        assert re.fullmatch(
            r"Serving on http://127.0.0.1:\d+, http://127.0.0.2:\d+ \(Ctrl.C to stop\)\n", line
        )
        with Client(port=int(re.search(r":(\d+),", line)[1])) as client:
            assert client.ask(get()).body == b"hello"
        assert program.stop() == (0, "", "")


@pytest.mark.slow
def test_option_wins_over_the_environment(folder):
    with serving_program(folder, "app", env={"WSGISERVE_BIND": "300.0.0.1:0"}) as (program, port):
        with Client(port=port) as client:
            assert client.ask(get()).body == b"hello"
        assert program.stop()[0] == 0


BAD_STARTS = [
    (3, ["missing:app"], "no module named 'missing' here; looked in this folder and in sys.path"),
    (3, ["app:missing", "--workers", "0"], "the module 'app' has no 'missing'"),
    (4, ["app", "--bind", "256.0.0.1:0"], "cannot listen on 256.0.0.1:0: "),
    (4, ["app", "--bind", "192.0.2.1:0"], "cannot listen on 192.0.2.1:0: not an address of this machine"),
    (
        2,
        ["app", "--pid-file", "no/such/folder/pid"],
        "--pid-file: cannot write no/such/folder/pid: No such file or directory",
    ),
]


@pytest.mark.parametrize(("code", "arguments", "line"), BAD_STARTS, ids=[" ".join(r[1]) for r in BAD_STARTS])
def test_bad_start_is_one_plain_line(folder, code, arguments, line):
    with Program(folder, *arguments, env=FREE_PORT) as program:
        exit_code, out, err = program.end()
    assert (exit_code, out) == (code, "")
    assert err.startswith(f"wsgiserve: {line}"), err
    assert err.count("\n") == 1


@pytest.mark.parametrize("workers", ["0", "1"])
def test_error_in_their_code_shows_their_traceback(folder, workers):
    with Program(folder, "app:broken()", "--workers", workers, env=FREE_PORT) as program:
        code, out, err = program.end()
    assert (code, out) == (3, "")
    assert err.splitlines()[-1] == "RuntimeError: no database"
    assert "app.py" in err
    assert str(ROOT / "wsgiserve") not in err
    assert "importlib" not in err


# -- its options


def flags(command):
    return {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)}


def test_every_field_of_the_configuration_is_an_option():
    fields = {flag(name) for name in FIELDS} - {"--app"}
    switches = {name for name in flags(command) if name.startswith("--no-")}
    assert flags(command) - fields == {"app", "--config", "--version", "-V", *switches}
    assert {f"--{name[5:]}" for name in switches} == {
        flag(name) for name, field in FIELDS.items() if field.type == "bool"
    }
    assert fields <= flags(command)


def test_options_can_be_left_out():
    some = click.command()(server_options(lambda: None, without={"bind"}, workers=False))
    assert {"--bind", "--workers", "--pid-file"} & flags(some) == set()
    assert {"--threads", "--keep-alive"} <= flags(some)


def test_defaults_are_those_of_the_configuration():
    defaults = {param.name: param.default for param in command.params}
    for field in FIELDS.values():
        if isinstance(field.default, tuple):
            assert defaults[field.name] == list(map(str, field.default))
        elif field.name != "app":
            assert defaults[field.name] == field.default


def test_the_help_begins_with_the_ten_options_that_everybody_needs(command_line):
    code, out, _ = command_line("--help")
    assert code == 0
    sections = dict(re.findall(r"^(\w[\w ]*):\n((?:  .*\n)+)", out.partition("\nExamples:")[0], re.M))
    assert list(sections)[:2] == ["Basics", "Commands"]
    assert list(sections)[2:] == [*GROUPS[1:], "Others"]
    assert len(re.findall(r"^  --", sections["Basics"], re.M)) == 10


@pytest.mark.parametrize("field", FIELDS.values(), ids=lambda field: field.name)
def test_every_option_is_in_a_group(field):
    assert field.metadata["group"] in GROUPS
