"""The commands other than serving."""

from __future__ import annotations

import click
import pytest

from tests.program import ROOT
from wsgiserve.cli.commands import COMMANDS, load


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_module_of_its_name(name):
    command = load(name)
    assert isinstance(command, click.Command)
    assert command.name == name


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_is_in_the_reference_and_has_help(command_line, name, flag):
    code, out, err = command_line(name, flag)
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: wsgiserve {name} [OPTIONS]")
    assert f"## `wsgiserve {name} " in (ROOT / "docs" / "reference.md").read_text("utf-8")
