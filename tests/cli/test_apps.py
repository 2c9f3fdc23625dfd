"""The app for a command."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.program import ROOT
from wsgiserve.cli.apps import app_or_exit, find_app, working_folder
from wsgiserve.server.errors import StartError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "a_shop.py").write_text("def application(environ, start_response):\n    return []\n")
    (tmp_path / "a_ruin.py").write_text("raise ValueError('their bug')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_app_is_found(folder):
    assert find_app("a_shop")({}, None) == []


def test_a_wrong_name_is_a_line_and_an_error_of_theirs_a_traceback(folder):
    with pytest.raises(StartError, match=r"^wsgiserve: the module 'a_shop' has no 'nothing'$"):
        find_app("a_shop:nothing")
    with pytest.raises(StartError, match=r"(?s)^Traceback .*a_ruin\.py.*ValueError: their bug$"):
        find_app("a_ruin")


def test_an_app_that_is_not_found_ends_the_program(folder, capsys):
    assert app_or_exit("a_shop")({}, None) == []
    with pytest.raises(SystemExit) as ended:
        app_or_exit("no_shop")
    assert ended.value.code == 3
    said = "wsgiserve: no module named 'no_shop' here; looked in this folder and in sys.path\n"
    assert capsys.readouterr() == ("", said)


def test_the_working_folder_has_the_shell_s_name(tmp_path, monkeypatch):
    (tmp_path / "release").mkdir()
    link = tmp_path / "current"
    link.symlink_to("release")
    monkeypatch.chdir(link)
    monkeypatch.setenv("PWD", str(link))
    assert working_folder() == str(link)


@pytest.mark.parametrize("pwd", ["", "/no/such/folder", "/"])
def test_a_name_of_another_folder_does_not_count(tmp_path, monkeypatch, pwd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", pwd)
    assert working_folder() == os.getcwd() == str(tmp_path)


@pytest.mark.parametrize("arguments", [["app"], ["files"], ["routes", "app"]])
def test_a_working_folder_that_was_removed_is_one_plain_line(tmp_path, arguments):
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os, sys; os.rmdir({str(gone)!r}); sys.argv = ['wsgiserve', *{arguments!r}]; " + (
        "from wsgiserve.cli import main; main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=gone,
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("wsgiserve: ")
    assert ended.stderr.count("\n") == 1
