"""The command without a name: ``wsgiserve app:application`` serves.

Options are made from the fields of :class:`wsgiserve.config.Config`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import click

import wsgiserve
from wsgiserve.cli.apps import app_or_exit
from wsgiserve.cli.commands import COMMANDS, HELP, load
from wsgiserve.config import Config
from wsgiserve.server.program import run

EXAMPLES = """
\b
Examples:
  wsgiserve app:application          the object application in app.py
  wsgiserve "shop.web:create_app()"  what create_app() returns
  wsgiserve shop.wsgi                application or app in shop/wsgi.py
"""


def server_options(command: Callable[..., None]) -> Callable[..., None]:
    """Declare an option for each field of the configuration."""
    for field in reversed(dataclasses.fields(Config)):
        command = _option(field)(command)
    return command


def _option(field: dataclasses.Field[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    flag = "--" + field.name.replace("_", "-")
    text, metavar = field.metadata["help"], field.metadata["metavar"]
    default = field.default
    if isinstance(default, bool):
        flags = f"{flag}/--no-{field.name.replace('_', '-')}"
        return click.option(flags, default=default, show_default=True, help=text)
    if isinstance(default, tuple):
        return click.option(
            flag, multiple=True, default=default, show_default=True, metavar=metavar, help=text
        )
    kind = click.INT if isinstance(default, int) else click.FLOAT
    return click.option(flag, type=kind, default=default, show_default=True, metavar=metavar, help=text)


class _Command(click.Command):
    """A command whose help names the other commands too."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_usage(ctx, formatter)
        formatter.write(f"{'':7}{ctx.command_path} COMMAND ...\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, load(name).get_short_help_str(60)) for name in COMMANDS])
        super().format_options(ctx, formatter)


@click.command("wsgiserve", cls=_Command, context_settings=HELP, epilog=EXAMPLES)
@click.argument("app", metavar="MODULE:NAME")
@server_options
@click.version_option(wsgiserve.__version__, "-V", "--version", message="wsgiserve %(version)s")
def command(app: str, **options: Any) -> None:
    """Serve the WSGI application that MODULE:NAME names, until Ctrl+C or SIGTERM."""
    run(app_or_exit(app), **options)
