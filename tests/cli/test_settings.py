"""Every option from every source, and where the command says that a value comes from."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.config.rows import ROWS
from tests.program import APP, ROOT, Program, without_coverage
from tests.server.client import Client, get
from wsgiserve.cli import settings
from wsgiserve.config.fields import FIELDS, flag, kind
from wsgiserve.config.sources import File

BAD = [name for name, row in ROWS.items() if row.bad]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    for name in os.environ:
        if name.startswith("WSGISERVE_") or name in ("PORT", "WEB_CONCURRENCY"):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def shown(command_line):
    """Return ``shown(*arguments)``: the output of ``wsgiserve config --json``."""

    def shown(*arguments):
        code, out, err = command_line("config", "--json", *arguments)
        assert (code, err) == (0, "")
        return json.loads(out)

    return shown


def refusal(command_line, *arguments):
    code, out, err = command_line("config", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    return err.removeprefix("wsgiserve: ").removesuffix(". See wsgiserve config --help.\n")


def given(name, text):
    """Return the arguments that give an option."""
    if name == "app":
        return [text]
    if kind(FIELDS[name]) == "switch":
        return [flag(name) if text == "true" else f"--no-{flag(name)[2:]}"]
    return [flag(name), text]


def test_each_option_has_a_row_and_each_row_an_option():
    assert list(ROWS) == list(FIELDS)


def test_defaults(shown):
    values = shown()
    assert {name: facts["value"] for name, facts in values.items()} == {
        name: row.default for name, row in ROWS.items()
    }
    assert {facts["source"] for facts in values.values()} == {"default"}


@pytest.mark.parametrize("name", ROWS)
def test_an_option_on_the_command_line(shown, name):
    row = ROWS[name]
    written = "MODULE:NAME" if name == "app" else flag(name)
    expected = {"value": row.value, "source": "command line", "from": written}
    assert shown(*given(name, row.text), *row.beside)[name] == expected


@pytest.mark.parametrize("name", ROWS)
def test_an_option_in_the_environment(shown, monkeypatch, name):
    row = ROWS[name]
    variable = f"WSGISERVE_{name.upper()}"
    monkeypatch.setenv(variable, row.text)
    expected = {"value": row.value, "source": "environment", "from": variable}
    assert shown(*row.beside)[name] == expected


@pytest.mark.parametrize("name", ROWS)
def test_an_option_in_a_file(shown, folder, name):
    row = ROWS[name]
    (folder / "wsgiserve.toml").write_text(f"{name} = {row.toml}\n")
    expected = {"value": row.value, "source": "file", "from": "wsgiserve.toml"}
    assert shown(*row.beside)[name] == expected


@pytest.mark.parametrize("name", ROWS)
def test_an_option_in_a_project_s_file(shown, folder, name):
    row = ROWS[name]
    (folder / "pyproject.toml").write_text(f"[tool.wsgiserve]\n{name} = {row.toml}\n")
    expected = {"value": row.value, "source": "file", "from": "pyproject.toml"}
    assert shown(*row.beside)[name] == expected


@pytest.mark.parametrize("name", ROWS)
def test_the_stronger_source_wins(shown, monkeypatch, folder, name):
    row = ROWS[name]
    (folder / "wsgiserve.toml").write_text(f"{name} = {row.toml}\n")
    monkeypatch.setenv(f"WSGISERVE_{name.upper()}", row.text)
    assert shown(*row.beside)[name]["source"] == "environment"
    assert shown(*given(name, row.text), *row.beside)[name]["source"] == "command line"


@pytest.mark.parametrize("name", [name for name in BAD if kind(FIELDS[name]) != "switch"])
def test_a_bad_value_on_the_command_line(command_line, name):
    row = ROWS[name]
    assert refusal(command_line, flag(name), row.bad, *row.beside) == f"{flag(name)}: {row.message}"


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_in_the_environment(command_line, monkeypatch, name):
    row = ROWS[name]
    monkeypatch.setenv(f"WSGISERVE_{name.upper()}", row.bad)
    assert refusal(command_line, *row.beside) == f"WSGISERVE_{name.upper()}: {row.message}"


@pytest.mark.parametrize("name", ROWS)
def test_a_bad_value_in_a_file(command_line, folder, name):
    row = ROWS[name]
    (folder / "wsgiserve.toml").write_text(f"{name} = {row.bad_toml or repr(row.bad)}\n")
    message = row.toml_message or row.message
    assert refusal(command_line, *row.beside) == f"wsgiserve.toml: {name}: {message}"


def test_a_bad_value_in_a_file_is_told_although_a_stronger_source_replaces_it(command_line, folder):
    (folder / "wsgiserve.toml").write_text("threads = 0\n")
    assert refusal(command_line, "--threads", "5").startswith("wsgiserve.toml: threads: 0 is not")


def test_an_error_between_two_options_names_the_place_of_one(command_line, folder):
    (folder / "wsgiserve.toml").write_text('socket_mode = "660"\n')
    assert refusal(command_line).startswith("wsgiserve.toml: socket_mode: there is no socket to set it for")
    (folder / "wsgiserve.toml").write_text("dev = true\n")
    text = "--workers: --dev has one worker, whose frames its debugger knows"
    assert refusal(command_line, "--workers", "2") == text


# -- the platform


def test_a_platform_s_port_replaces_the_default_and_is_told(shown, monkeypatch, command_line):
    monkeypatch.setenv("PORT", "5000")
    assert shown()["bind"] == {"value": [":5000"], "source": "platform", "from": "PORT"}
    assert command_line("config")[1].startswith("# PORT=5000 is honoured: bind :5000\n")


@pytest.mark.parametrize("source", ["option", "variable", "file"])
def test_what_the_user_wrote_wins_over_the_platform_s_port(shown, monkeypatch, folder, command_line, source):
    monkeypatch.setenv("PORT", "5000")
    arguments = ["--bind", "127.0.0.1:0"] if source == "option" else []
    if source == "variable":
        monkeypatch.setenv("WSGISERVE_BIND", "127.0.0.1:0")
    elif source == "file":
        (folder / "wsgiserve.toml").write_text('bind = "127.0.0.1:0"\n')
    assert shown(*arguments)["bind"]["value"] == ["127.0.0.1:0"]
    name = {"option": "--bind", "variable": "WSGISERVE_BIND", "file": "wsgiserve.toml"}[source]
    note = f"# PORT=5000 is ignored: {name} has bind 127.0.0.1:0\n"
    assert command_line("config", *arguments)[1].startswith(note)


def test_a_port_that_the_user_passes_on_is_not_told_again(command_line, monkeypatch):
    monkeypatch.setenv("PORT", "5000")
    assert "PORT=" not in command_line("config", "--bind", "0.0.0.0:5000")[1]


@pytest.mark.parametrize("port", ["http", "70000", "-1"])
def test_a_platform_s_port_that_is_none(command_line, monkeypatch, port):
    monkeypatch.setenv("PORT", port)
    assert refusal(command_line) == f"PORT: {port!r} is not a port from 0 to 65535"


def test_sockets_of_the_service_manager_replace_the_platform_s_port(monkeypatch):
    monkeypatch.setenv("PORT", "5000")
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    found = settings.settle({}, File())
    assert list(map(str, found.config.bind)) == ["fd://3"]
    assert found.origins["bind"] == ("service manager", "LISTEN_FDS")
    bind = settings.Setting(["127.0.0.1:0"], settings.Origin("command line", "--bind"))
    found = settings.settle({"bind": bind}, File())
    assert list(map(str, found.config.bind)) == ["fd://3", "127.0.0.1:0"]
    assert found.origins["bind"].name == "LISTEN_FDS and --bind"


@pytest.mark.slow
def test_a_server_says_that_it_honours_the_port(folder):
    (folder / "app.py").write_text(APP)
    with Program(folder, "app", "--no-access-log", env={"PORT": "0"}) as program:
        with Client(port=program.port()) as client:
            assert client.ask(get()).body == b"hello"
        assert program.stop() == (0, "", "wsgiserve: PORT=0 is honoured: bind :0\n")


# -- files


def test_an_app_in_the_file_is_served_by_the_plain_command(folder):
    (folder / "app.py").write_text(APP)
    (folder / "wsgiserve.toml").write_text('app = "app"\nbind = "127.0.0.1:0"\naccess_log = false\n')
    with Program(folder) as program:
        with Client(port=program.port()) as client:
            assert client.ask(get()).body == b"hello"
        assert program.stop() == (0, "", "")


def test_another_file_by_option_and_by_variable(shown, folder, monkeypatch):
    (folder / "wsgiserve.toml").write_text("threads = 5\n")
    (folder / "other.toml").write_text("threads = 6\n")
    (folder / "sub").mkdir()
    (folder / "sub" / "pyproject.toml").write_text("[tool.wsgiserve]\nthreads = 7\n")
    assert shown("--config", "other.toml")["threads"] == {
        "value": 6,
        "source": "file",
        "from": "other.toml",
    }
    assert shown("--config", "sub/pyproject.toml")["threads"]["value"] == 7
    monkeypatch.setenv("WSGISERVE_CONFIG", str(folder / "other.toml"))
    assert shown()["threads"]["value"] == 6


def test_without_an_app_the_line_says_where_to_name_one(command_line):
    code, _, err = command_line()
    assert code == 2
    assert err == (
        "wsgiserve: MODULE:NAME is missing; name the app, or write "
        'app = "MODULE:NAME" in wsgiserve.toml. See wsgiserve --help.\n'
    )


@pytest.mark.slow
def test_no_parser_of_files_is_imported_without_a_file_for_us(folder):
    (folder / "pyproject.toml").write_text("[tool.other]\n")
    code = (
        "import sys, wsgiserve.cli as c; sys.argv[1:] = ['config']; c.main(); print('tomllib' in sys.modules)"
    )
    environ = {**without_coverage(), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environ, check=True, capture_output=True, text=True
    )
    assert done.stdout.endswith("False\n")


# -- variables that are no options

STRANGE = [
    ("WSGISERVE_THREAD", "1", "WSGISERVE_THREAD is no option; did you mean WSGISERVE_THREADS?"),
    ("WSGISERVE_KEEPALIVE", "1", "WSGISERVE_KEEPALIVE is no option; did you mean WSGISERVE_KEEP_ALIVE?"),
    ("WSGISERVE_QUITE_ELSE", "", "WSGISERVE_QUITE_ELSE is no option"),
    ("WSGISERVE_PORT", "80", "WSGISERVE_PORT is no option; write WSGISERVE_BIND"),
    ("WSGISERVE_CONFIG_JSON", "1", "WSGISERVE_CONFIG_JSON is no option; did you mean WSGISERVE_CONFIG?"),
    ("WSGISERVE_AS_JSON", "1", "WSGISERVE_AS_JSON is no option"),
]


@pytest.mark.parametrize(("name", "value", "text"), STRANGE, ids=[row[0] for row in STRANGE])
def test_a_misspelt_variable_ends_the_start(command_line, monkeypatch, name, value, text):
    monkeypatch.setenv(name, value)
    for arguments in (["app"], ["config"]):
        code, out, err = command_line(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith(f"wsgiserve: {text.removesuffix('?')}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WSGISERVE_ROUTES_JSON", "1"),
        ("WSGISERVE_SERVICE_HOST", "10.0.0.1"),
        ("WSGISERVE_SERVICE_PORT_HTTP", "80"),
        ("WSGISERVE_PORT", "tcp://10.0.0.1:80"),
        ("WSGISERVE_PORT_80_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_variables_of_other_commands_and_of_kubernetes_are_passed_over(shown, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert shown()["threads"]["value"] == 64


def test_a_misspelt_variable_of_another_command(command_line, monkeypatch):
    monkeypatch.setenv("WSGISERVE_FILES_UPLOD", "1")
    code, _, err = command_line("files")
    assert code == 2
    assert "WSGISERVE_FILES_UPLOD is no option; did you mean WSGISERVE_FILES_UPLOAD?" in err
