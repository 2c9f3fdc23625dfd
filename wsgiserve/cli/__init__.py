"""The command line: ``wsgiserve MODULE:NAME`` serves, ``wsgiserve COMMAND`` does something else.

A first argument that is a command's name is that command; everything else is for serving. So a module of
such a name is served with its colon: ``wsgiserve routes:app``.

To add a command, write the module of its name in this folder, with a click command ``command`` in it, and
put the name into ``COMMANDS``. Each module imports what it works with when it is called, so that
``wsgiserve --help`` can show them all, and serving an app never loads the framework half.

An option ``--name`` can also be given as an environment variable, ``WSGISERVE_NAME``, or
``WSGISERVE_COMMAND_NAME`` for a command's own. Exit codes are in ``wsgiserve.server.program``.
"""

from __future__ import annotations

import sys

import click

from wsgiserve.cli import serve
from wsgiserve.cli.commands import COMMANDS, load
from wsgiserve.cli.faults import in_words
from wsgiserve.server.program import EXIT_INTERRUPTED, fail


def main() -> None:
    """Run a command; what is wrong with the arguments is one plain line."""
    name, arguments = "wsgiserve", sys.argv[1:]
    command: click.Command = serve.command
    if arguments and arguments[0] in COMMANDS:
        name, command, arguments = f"wsgiserve {arguments[0]}", load(arguments[0]), arguments[1:]
    variables = name.upper().replace(" ", "_")
    try:
        command.main(arguments, name, standalone_mode=False, auto_envvar_prefix=variables)
    except click.Abort:  # Ctrl+C before anything is served
        raise SystemExit(EXIT_INTERRUPTED) from None
    except click.ClickException as error:
        fail(f"{in_words(error)} See {name} --help.", error.exit_code)
