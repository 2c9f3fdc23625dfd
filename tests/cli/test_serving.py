"""The usual command line is read as click reads it, or left to click. Notes are told once."""

from __future__ import annotations

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.cli.test_settings import given as arguments_for
from tests.config.rows import ROWS
from tests.program import APP, ROOT, Program
from tests.server.client import Client, get
from wsgiserve.cli import context, serve
from wsgiserve.cli.serving import read
from wsgiserve.config.fields import FIELDS, flag, kind

SWITCHES = [name for name, field in FIELDS.items() if kind(field) == "switch"]
OFF = [name for name, field in FIELDS.items() if field.metadata["off"]]
VALUED = [flag(name) for name in FIELDS if name != "app" and name not in SWITCHES]


def clicks(arguments):
    """Return what click makes of these arguments; None if it does not come to the command."""
    try:
        with serve.command.make_context("wsgiserve", [*arguments]) as made:
            return context.given(made), made.params["config"] or ""
    except (click.ClickException, click.exceptions.Exit):
        return None


def test_the_options_are_read():
    plain = read(
        ["--threads", "5", "app:application", "--bind=:0", "--bind", ":1", "--dev", "--no-access-log"]
    )
    assert {name: setting.value for name, setting in plain.given.items()} == {
        "threads": 5,
        "app": "app:application",
        "bind": (":0", ":1"),
        "dev": True,
        "access_log": "",
    }
    assert [setting.origin.name for setting in plain.given.values()] == [
        *("--threads", "MODULE:NAME", "--bind", "--dev", "--access-log")
    ]
    assert plain.file == ""
    assert read(["--config", "a.toml"]) == ({}, "a.toml")


@pytest.mark.parametrize("name", ROWS)
def test_each_option_is_usual(name):
    arguments = [*arguments_for(name, ROWS[name].text), *ROWS[name].beside]
    assert read(arguments) == clicks(arguments)


WORDS = st.one_of(
    st.sampled_from(VALUED),
    st.sampled_from([flag(name) for name in SWITCHES]),
    st.sampled_from([f"--no-{flag(name)[2:]}" for name in (*SWITCHES, *OFF)]),
    st.sampled_from(["5", "0.5s", "app", "m:n", "a.toml", ":0", "", "-", "--", "-h", "-V", "-1", "x=y"]),
    st.sampled_from(
        ["--help", "--version", "--config", "--config=a.toml", "--app", "--no-threads", "--dev=true"]
    ),
    st.builds("{}={}".format, st.sampled_from(VALUED), st.sampled_from(["5", "", "-5", "a=b", " "])),
    st.builds("{} {}".format, st.sampled_from(VALUED), st.just("5")),
    st.text(max_size=5),
)


@given(st.lists(WORDS, max_size=6))
@example(["--keep_alive", "5"])
@example(["--bind"])
@example(["a", "b"])
def test_what_is_read_is_what_click_reads(arguments):
    plain = read(arguments)
    if plain is not None:
        assert plain == clicks(arguments)


@pytest.mark.parametrize("command", ["check", "config", "files", "status"])
def test_other_commands_are_click_s(command):
    assert read([command]) is None


@pytest.mark.parametrize(
    "arguments",
    ["--help", "app --threads", "app more", "--thread 5", "--bind=", "-V", "--dev=1", "--threads -5"],
)
def test_what_is_unusual_or_wrong_is_click_s(arguments):
    assert read(arguments.split()) is None


LOOK = """
import sys
def application(environ, start_response):
    found = {"click", "dataclasses", "ssl", "tomllib"} & {*sys.modules}
    if sys.version_info < (3, 12):  # Later the import system brings these to empty its caches.
        found |= {"inspect", "tempfile"} & {*sys.modules}
    start_response("200 OK", [])
    return [repr(sorted(found)).encode()]
"""


@pytest.mark.slow
def test_the_usual_start_imports_little(tmp_path):
    (tmp_path / "look.py").write_text(LOOK)
    environ = {"PYTHONPATH": str(ROOT), "COVERAGE_PROCESS_START": ""}
    with Program(tmp_path, "look", "--bind", "127.0.0.1:0", env=environ) as program:
        with Client(port=program.port()) as client:
            assert client.ask(get()).body == b"[]"
        program.stop()


@pytest.mark.parametrize(
    ("arguments", "variables", "error"),
    [
        (["--threads", "0"], {}, "--threads: 0 is not a whole number of at least 1. See wsgiserve --help."),
        ([], {"WSGISERVE_THREADS": "0"}, "WSGISERVE_THREADS: 0 is not a whole number of at least 1"),
        ([], {"WSGISERVE_THREAD": "5"}, "WSGISERVE_THREAD is no option; did you mean WSGISERVE_THREADS?"),
    ],
)
def test_wrong_settings_are_told_once(command_line, monkeypatch, arguments, variables, error):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    code, out, err = command_line("app", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"wsgiserve: {error}")


def test_it_serves(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    with Program(tmp_path, "app", "--bind", "127.0.0.1:0", "--threads=2") as program:
        assert program.port()
        assert program.stop() == (0, "", "")


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("--dev",)], ids=["workers", "dev"])
def test_notes_are_told_once(tmp_path, arguments):
    (tmp_path / "app.py").write_text(APP)
    given = ("app", "--bind", "127.0.0.1:0", "--no-access-log", *arguments)
    with Program(tmp_path, *given, env={"PORT": "5000"}) as program:
        assert program.port()
        code, _, err = program.stop()
    assert (code, err.count("PORT=5000 is ignored: --bind has bind 127.0.0.1:0\n")) == (0, 1)


@pytest.mark.slow
def test_a_closed_standard_error_does_not_prevent_serving(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    command = ("-c", "import os, wsgiserve.cli as cli; os.close(2); cli.main()")
    with Program(tmp_path, "app", "--no-access-log", env={"PORT": "0"}, command=command) as program:
        assert program.port()
        assert program.stop()[0] == 0
