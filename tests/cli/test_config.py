"""``wsgiserve config``: its output is a file with the same values; its schema takes what the server takes."""

from __future__ import annotations

import json
import tomllib

import pytest

from tests.config.rows import ROWS
from wsgiserve.cli.config import command
from wsgiserve.config.fields import FIELDS


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    return tmp_path


def test_the_output_is_a_file_with_the_same_values(command_line, folder, monkeypatch):
    (folder / "wsgiserve.toml").write_text('keep_alive = "1500ms"\nmax_body = "1.5MiB"\n')
    monkeypatch.setenv("WSGISERVE_STRICT", "yes")
    arguments = [
        "shop:app",
        "--bind",
        ":0",
        "--bind",
        "unix:a b",
        "--socket-mode",
        "660",
        "--workers",
        "auto",
    ]
    code, out, _ = command_line("config", *arguments)
    assert code == 0
    assert set(tomllib.loads(out)) == set(FIELDS)
    before = values(command_line("config", "--json", *arguments)[1])
    (folder / "all.toml").write_text(out)
    monkeypatch.delenv("WSGISERVE_STRICT")
    assert values(command_line("config", "--json", "--config", "all.toml")[1]) == before


def values(out):
    return {name: facts["value"] for name, facts in json.loads(out).items()}


def test_each_line_names_its_origin(command_line, folder, monkeypatch):
    (folder / "wsgiserve.toml").write_text("threads = 5\n")
    monkeypatch.setenv("WSGISERVE_BACKLOG", "6")
    lines = command_line("config", "--max-queue", "7")[1].splitlines()
    origins = {line.split(" = ")[0]: line.rpartition("# ")[2] for line in lines if " = " in line}
    named = {name: origins[name] for name in ("threads", "backlog", "max_queue", "app")}
    assert named == {
        "threads": "wsgiserve.toml",
        "backlog": "WSGISERVE_BACKLOG",
        "max_queue": "--max-queue",
        "app": "default",
    }


def test_it_takes_what_serving_takes():
    assert {param.name for param in command.params} == {*FIELDS, "config", "as_json", "as_schema"}


def test_the_schema_is_printed(command_line):
    code, out, _ = command_line("config", "--schema")
    assert code == 0
    assert set(json.loads(out)["properties"]) == set(ROWS)
