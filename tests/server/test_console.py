"""Messages for the terminal, and exit codes."""

from __future__ import annotations

import io

import pytest

from wsgiserve.config import ConfigError, make_config
from wsgiserve.server import console
from wsgiserve.server.errors import ListenError, StartError


def ended(call, *arguments):
    with pytest.raises(SystemExit) as caught:
        call(*arguments)
    return caught.value.code


class Closed(io.StringIO):
    """A stream whose reader has left."""

    def write(self, text):
        raise BrokenPipeError


def test_an_error_is_one_line_and_a_code(capsys):
    assert ended(console.fail, "no room", 4) == 4
    assert capsys.readouterr() == ("", "wsgiserve: no room\n")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("max_queue", "no"), "--max-queue: no. See wsgiserve --help.\n"),
        (ConfigError("", "unknown option x"), "unknown option x. See wsgiserve --help.\n"),
    ],
)
def test_a_wrong_option_is_named_by_its_flag(capsys, error, line):
    assert ended(console.fail_for_option, error) == console.EXIT_USAGE
    assert capsys.readouterr().err == f"wsgiserve: {line}"


@pytest.mark.parametrize(
    ("other_port", "line"),
    [(True, "in use; choose another with --bind HOST:PORT\n"), (False, "in use; choose another\n")],
)
def test_an_address_that_is_taken_comes_with_the_way_to_another(capsys, other_port, line):
    error = ListenError("in use; choose another", other_port=other_port)
    assert ended(console.fail_to_listen, error) == console.EXIT_CANNOT_LISTEN
    assert capsys.readouterr().err == f"wsgiserve: {line}"


def test_an_app_that_cannot_start_ends_the_program_with_its_own_text(capsys):
    def get():
        raise StartError("their traceback")

    assert console.exit_without_app(lambda: 5) == 5
    assert ended(console.exit_without_app, get) == console.EXIT_NO_APP
    assert capsys.readouterr().err == "their traceback\n"


@pytest.mark.parametrize("stream", [None, Closed()], ids=["closed", "nobody reads"])
def test_streams_that_are_closed_are_no_harm(monkeypatch, stream):
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr("sys.stderr", stream)
    console.announce("Serving")
    assert ended(console.fail, "no room", 4) == 4
    if stream is None:
        console.say_what_runs(make_config(), 1)


@pytest.mark.parametrize(
    ("running", "delay", "said"),
    [
        (0, 0, ""),
        (1, 0, "Stopping: 1 request is running; there are 5 s to finish"),
        (2, 0, "Stopping: 2 requests are running; there are 5 s to finish"),
        (
            0,
            3,
            "Stopping: 0 requests are running; new ones are accepted for 3 s, then there are 5 s to finish",
        ),
    ],
)
def test_running_requests_are_counted_at_a_stop(capfd, running, delay, said):
    console.say_what_runs(make_config(graceful_timeout=5, drain_delay=delay), running)
    assert capfd.readouterr().err == (said and f"{said} (the same signal again cuts what runs)\n")
