"""What click has found on a command line and in the environment."""

from __future__ import annotations

import pytest

from wsgiserve.cli import context, serve
from wsgiserve.cli.faults import Misconfigured


def made(*arguments):
    return serve.command.make_context("wsgiserve", [*arguments], auto_envvar_prefix="WSGISERVE")


def test_options_have_their_origin(monkeypatch):
    monkeypatch.setenv("WSGISERVE_BIND", ":0 :1")
    found = context.given(made("app", "--threads", "5"))
    assert {name: (setting.value, *setting.origin) for name, setting in found.items()} == {
        "app": ("app", "command line", "MODULE:NAME"),
        "bind": ((":0", ":1"), "environment", "WSGISERVE_BIND"),
        "threads": (5, "command line", "--threads"),
    }


def test_a_variable_that_is_no_option_is_refused(monkeypatch):
    monkeypatch.setenv("WSGISERVE_THREAD", "5")
    with pytest.raises(Misconfigured, match="WSGISERVE_THREAD is no option"):
        context.sources(made("app"), None)


def test_an_error_of_the_settings_is_one_of_click(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Misconfigured, match="--threads: 0 is not a whole number"):
        context.read(context.sources(made("app", "--threads", "0"), None))
