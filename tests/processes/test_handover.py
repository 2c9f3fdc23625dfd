"""Facts for a program that another one starts or becomes, and variables that somebody else has set."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.processes.programs import serving, who
from tests.program import FREE_PORT, ROOT, Program
from wsgiserve.processes.handover import VARIABLE, environment, is_there, take

READ = "from wsgiserve.processes.handover import take; print(take('worker'))"


def test_facts_are_taken_once_by_the_one_they_are_for(monkeypatch):
    monkeypatch.setenv(VARIABLE, environment("trial", {"a": 1})[VARIABLE])
    assert take("worker") is None
    assert is_there()
    assert take("trial") == {"a": 1}
    assert VARIABLE not in os.environ
    assert (take("trial"), is_there()) == (None, False)


def test_a_child_gets_the_facts_and_its_own_child_does_not():
    grandchild = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {READ!r}])"
    for code, taken in ((READ, "[7]"), (f"{READ}; {grandchild}", "[7]\nNone")):
        out = subprocess.check_output(
            [sys.executable, "-c", code], env=environment("worker", [7]), cwd=ROOT, text=True
        )
        assert out == f"{taken}\n"


def test_a_start_time_that_cannot_be_read_is_no_other(monkeypatch):
    """The process may have no descriptor left."""
    facts = json.loads(environment("trial", 1)[VARIABLE])
    monkeypatch.setenv(VARIABLE, json.dumps(facts | {"writer": [os.getpid(), 0]}))
    assert take("trial") == 1


def stale():
    """Facts as a process with our id has left them, in an earlier life of this machine."""
    facts = json.loads(environment("trial", 1)[VARIABLE])
    return json.dumps(facts | {"writer": [os.getpid(), 1]})


@pytest.mark.parametrize("text", ["", "2", "{}", "[]", '{"writer": [1, 2]}', "stale", "{\udcff"])
def test_a_value_that_is_not_ours_is_refused_in_one_line(monkeypatch, capsys, text):
    monkeypatch.setenv(VARIABLE, stale() if text == "stale" else text)
    with pytest.raises(SystemExit) as ended:
        is_there()
    assert ended.value.code == 2
    said = f"wsgiserve: {VARIABLE} is for wsgiserve's own processes; start without it\n"
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--workers", "1"], "WSGISERVE_WORKER"),
        *(
            pytest.param(arguments, f"WSGISERVE_{name}", marks=pytest.mark.slow)
            for arguments in (["--workers", "0"], ["--workers", "2"], ["--dev"])
            for name in ("WORKER", "TRIAL", "INHERITANCE", "DEV_CHILD")
        ),
    ],
)
def test_a_name_like_an_option_is_no_option(folder, arguments, name):
    with Program(folder, "app", *arguments, env={**FREE_PORT, name: "2"}) as program:
        code, out, err = program.end()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"wsgiserve: {name} is no option")


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--workers", "0"], [], ["--dev"]])
def test_a_program_is_not_started_with_facts_of_another(folder, arguments):
    with Program(folder, "app", *arguments, env={**FREE_PORT, VARIABLE: stale()}) as program:
        code, out, err = program.end()
    assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.mark.slow
def test_an_app_may_serve_another_one_by_the_command(folder):
    (folder / "outer.py").write_text(
        "import os, re, subprocess, sys, urllib.request\n"
        "from app import application as inner\n"
        "def application(environ, start_response):\n"
        "    command = [sys.executable, '-m', 'wsgiserve', 'app', '--bind', '127.0.0.1:0']\n"
        "    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)\n"
        "    url = re.search('http://[^ ]+', process.stdout.readline())[0]\n"
        "    body = urllib.request.urlopen(url).read()\n"
        "    process.terminate()\n"
        "    assert process.wait(25) == 0\n"
        "    process.stdout.close()\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [body]\n"
    )
    with serving(folder, "outer", env={"PYTHONWARNINGS": "ignore"}) as (program, port):
        assert who(port)[2] == "v1"
        code, out, _ = program.stop()  # Its request may have an answer and not be over yet.
    assert (code, out) == (0, "")
