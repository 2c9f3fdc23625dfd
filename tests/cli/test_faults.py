"""Errors in the command line and in the environment: one line each."""

from __future__ import annotations

import re

import pytest

from wsgiserve.cli import files, serve
from wsgiserve.cli.faults import Misconfigured, in_words
from wsgiserve.config.elsewhere import COMMAND, FILES

WRONG = [
    (["app", "--wat"], "--wat: no such option. See wsgiserve --help."),
    (["app", "--thread", "5"], "--thread: no such option; did you mean --threads? See wsgiserve --help."),
    (["app", "--port", "80"], "--port: no such option; write --bind HOST:PORT. See wsgiserve --help."),
    (["app", "--reload"], "--reload: no such option; write --dev. See wsgiserve --help."),
    (["app", "-w", "2"], "-w: no such option; write --workers N. See wsgiserve --help."),
    (["reload"], "--pid-file PATH is missing; name it, or write pid_file = "),
    (["app", "--bind"], "--bind: requires an argument. See wsgiserve --help."),
    (["app", "more"], "got unexpected extra argument (more). See wsgiserve --help."),
    ([], "MODULE:NAME is missing; name the app, or write app = "),
    (["app", "--threads", "0"], "--threads: 0 is not a whole number of at least 1. See wsgiserve --help."),
    (["app", "--threads", "x"], "--threads: 'x' is not a whole number of at least 1. See wsgiserve --help."),
    (["app", "--keep-alive", "-1"], "--keep-alive: -1.0 is not a number of at least 0"),
    (["app", "--head-timeout", "nan"], "--head-timeout: 'nan' is not a time such as"),
    (["app", "--bind", "8000"], "--bind: '8000' is not HOST:PORT, such as 127.0.0.1:8000."),
    (["app", "--bind", "127.0.0.1:70000"], "--bind: '127.0.0.1:70000' is not HOST:PORT"),
    (["app", "--bind", "/run/x.sock"], "--bind: '/run/x.sock' is a path; write unix:/run/x.sock."),
    (["app", "--bind", "x.sock"], "--bind: 'x.sock' is a path; write unix:x.sock."),
    (["app", "--bind", "tcp://localhost:80"], "--bind: 'tcp://localhost:80' is a URL; write localhost:80."),
    (["app", "--bind", "tcp://[::1]/"], "--bind: 'tcp://[::1]/' is a URL; write [::1]:8000."),
    (
        ["app", "--bind", "http://localhost:80/shop"],
        "--bind: 'http://localhost:80/shop' has a path; write http://localhost:80.",
    ),
    (
        ["app", "--bind", "https://:8443"],
        "--bind: https://:8443 needs a certificate; add --cert FILE, --domain NAME or --tls-self-signed.",
    ),
    (
        ["app", "--domain", "https://shop.example"],
        "--domain: 'https://shop.example' is a URL; write the name alone, such as shop.example.",
    ),
    (
        ["app", "--acme-email", "ann@shop.example"],
        "--acme-email: there is no name to get a certificate for; add --domain NAME.",
    ),
    (
        ["app", "--domain", "shop.example", "--acme-ca-root", "none.pem", "--bind", ":0"],
        "--acme-ca-root: cannot use ",
    ),
    (
        ["app", "--dev", "--domain", "shop.example", "--bind", ":0"],
        "--domain: --dev serves this machine alone, which no CA can ask.",
    ),
    (["app", "--hsts", "60"], "--hsts: there is no TLS; add --cert FILE or --domain NAME."),
    (["app", "--redirect-http", "80"], "--redirect-http: '80' is not HOST:PORT, such as 127.0.0.1:8000."),
    (
        ["app", "--cert", "a", "--redirect-http", "https://:80"],
        "--redirect-http: https://:80 is an address for https; write one for http, such as :80.",
    ),
    (
        ["app", "--cert", "a", "--cert", "b", "--key", "c"],
        "--key: 1 for 2 of --cert; name one for each, or none if the files have both.",
    ),
    (
        ["app", "--cert", "a", "--client-cert", "never"],
        "--client-cert: 'never' is neither required nor optional.",
    ),
    (
        ["app", "--cert", "a", "--client-cert", "optional"],
        "--client-cert: no client is asked for a certificate; add --client-ca FILE.",
    ),
    (
        ["app", "--trust-header", "forwarded"],
        "--trust-header: no proxy is trusted; name those that send it with --trust, such as ",
    ),
    (
        ["app", "--cert", "a", "--bind", "http://:80"],
        "--bind: no address speaks TLS, though there is a certificate; write https://:8443.",
    ),
    (
        ["app", "--cert", "a", "--tls-self-signed"],
        "--tls-self-signed: there is a certificate, by --cert; leave one of them out.",
    ),
    (
        ["app", "--bind", "::1:8000"],
        "--bind: write the IPv6 address of '::1:8000' in brackets, as [::1]:8000.",
    ),
    (["app", "--workers", "few"], "--workers: 'few' is not a whole number of at least 0, nor 'auto'."),
    (["app", "--workers", "-1"], "--workers: -1 is not a whole number of at least 0, nor 'auto'."),
    (
        ["app", "--probe", "health"],
        "--probe: 'health' is neither a path, such as /health, nor a URL, such as https://shop.example/health.",
    ),
    (
        ["app", "--dev", "--workers", "2"],
        "--workers: --dev has one worker, whose frames its debugger knows. See wsgiserve --help.",
    ),
]


@pytest.mark.parametrize(("arguments", "line"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_a_wrong_argument_is_one_plain_line(command_line, arguments, line):
    code, out, err = command_line(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"wsgiserve: {line}")


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("WSGISERVE_THREADS", "many", "'many' is not a whole number of at least 1."),
        ("WSGISERVE_THREADS", "0", "0 is not a whole number of at least 1."),
        ("WSGISERVE_BIND", "nowhere", "'nowhere' is not HOST:PORT, such as 127.0.0.1:8000."),
        ("WSGISERVE_STRICT", "perhaps", "'perhaps' is neither true nor false."),
        ("WEB_CONCURRENCY", "few", "'few' is not a whole number of at least 0, nor 'auto'."),
    ],
)
def test_a_bad_value_in_the_environment_is_told_by_the_variable_s_name(
    command_line, monkeypatch, variable, value, text
):
    monkeypatch.setenv(variable, value)
    code, out, err = command_line("app")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"wsgiserve: {variable}: {text} ")
    assert err.endswith(" See wsgiserve --help.\n")


def test_a_bad_option_beside_a_variable_is_told_by_its_own_name(command_line, monkeypatch):
    monkeypatch.setenv("WSGISERVE_THREADS", "5")
    assert command_line("app", "--threads", "0")[2].startswith("wsgiserve: --threads: 0 is not")


def test_of_two_variables_for_one_option_the_one_that_is_set_is_named(command_line, monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    code, out, err = command_line("app", "--dev")
    said = "WEB_CONCURRENCY: --dev has one worker, whose frames its debugger knows. See wsgiserve --help."
    assert (code, out, err) == (2, "", f"wsgiserve: {said}\n")


def test_the_name_of_a_variable_stays_in_capitals():
    assert in_words(Misconfigured("WSGISERVE_X: is wrong")) == "WSGISERVE_X: is wrong."


OURS = {
    "wsgiserve": {name for param in serve.command.params for name in (*param.opts, *param.secondary_opts)},
    "files": {name for param in files.command.params for name in (*param.opts, *param.secondary_opts)},
}


def named(answer: str) -> set[str]:
    """Return the long options that an answer says to write."""
    return {*re.findall(r"(?<![\w-])--[a-z][a-z-]+", answer)}


@pytest.mark.parametrize("option", COMMAND)
def test_an_option_of_another_server_is_answered(command_line, option):
    code, out, err = command_line("app", option, "1")
    assert (code, out) == (2, "")
    assert err == f"wsgiserve: {option}: no such option; {COMMAND[option]}. See wsgiserve --help.\n"
    assert option not in OURS["wsgiserve"]
    assert named(COMMAND[option]) <= OURS["wsgiserve"] | OURS["files"]


@pytest.mark.parametrize("option", FILES)
def test_an_option_of_another_file_server_is_answered(command_line, option):
    code, out, err = command_line("files", option, "1")
    assert (code, out) == (2, "")
    assert err == f"wsgiserve: {option}: no such option; {FILES[option]}. See wsgiserve files --help.\n"
    assert option not in OURS["files"]
    assert named(FILES[option]) <= OURS["files"]


@pytest.mark.parametrize("option", ["--daemonic", "--keyfiles", "--appl", "--certificates"])
def test_a_hint_is_never_a_guess_that_is_far_off(command_line, option):
    _, _, err = command_line("app", option)
    assert "did you mean" not in err


def test_a_slip_is_still_recognised(command_line):
    assert "did you mean --threads?" in command_line("app", "--thread", "5")[2]
