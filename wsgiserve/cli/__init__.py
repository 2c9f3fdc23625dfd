"""The command line: ``wsgiserve MODULE:NAME`` serves an app, ``wsgiserve COMMAND`` runs another command.

A first argument that is a command's name is that command; everything else is for serving. A module with such
a name is served with its colon: ``wsgiserve routes:app``.

To add a command, write a module of its name in this folder with a click command ``command``, and add the name
to ``COMMANDS``. Each command imports the modules that it needs when it is called. So ``wsgiserve --help`` can
show all commands, and serving an app never loads the framework half.

The usual start of a server needs no click, by ``serving``; all other command lines are read with it.

An option ``--name`` can also be set by an environment variable: ``WSGISERVE_NAME``, or
``WSGISERVE_COMMAND_NAME`` for the option of another command. ``settings`` has the other sources. Exit codes
are in ``wsgiserve.server.console``.
"""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run a command. Ctrl+C before it serves, also during our imports, ends the program silently."""
    try:
        _run()
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # EXIT_INTERRUPTED, which may not be imported yet


def _run() -> None:
    """Run the command that the arguments name; an error in them is one line on standard error."""
    gc.disable()  # No module is garbage, and to look for some takes a thirtieth of the start.
    from wsgiserve.cli.serving import serve_plainly

    gc.enable()

    if not serve_plainly(sys.argv[1:], os.environ):
        _run_by_click()


def _run_by_click() -> None:
    import click

    from wsgiserve.cli.commands import COMMANDS, LIKE_SERVING, load
    from wsgiserve.cli.faults import in_words
    from wsgiserve.server.console import fail

    name, arguments = "wsgiserve", sys.argv[1:]
    variables = "WSGISERVE"
    command: click.Command = load("serve")
    if arguments and arguments[0] in COMMANDS:
        name, command = f"wsgiserve {arguments[0]}", load(arguments[0])
        if arguments[0] not in LIKE_SERVING:
            variables = f"WSGISERVE_{arguments[0].upper()}"
        arguments = arguments[1:]
    try:
        command.main(arguments, name, standalone_mode=False, auto_envvar_prefix=variables)
    except click.Abort:  # how click passes Ctrl+C on
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        fail(f"{in_words(error)} See {name} --help.", error.exit_code)
