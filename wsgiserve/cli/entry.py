"""From the arguments to a command."""

from __future__ import annotations

import sys

import click

from wsgiserve.cli import serve
from wsgiserve.cli.commands import COMMANDS, load
from wsgiserve.cli.faults import in_words
from wsgiserve.server.console import fail


def enter() -> None:
    """Run the command that the arguments name; what is wrong with them is one plain line."""
    name, arguments = "wsgiserve", sys.argv[1:]
    command: click.Command = serve.command
    if arguments and arguments[0] in COMMANDS:
        name, command, arguments = f"wsgiserve {arguments[0]}", load(arguments[0]), arguments[1:]
    variables = name.upper().replace(" ", "_")
    try:
        command.main(arguments, name, standalone_mode=False, auto_envvar_prefix=variables)
    except click.Abort:  # how click passes Ctrl+C on
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        fail(f"{in_words(error)} See {name} --help.", error.exit_code)
