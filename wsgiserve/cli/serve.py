"""The command without a name: ``wsgiserve app:application`` serves.

Options are made from the fields of :class:`wsgiserve.config.Config`.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Collection
from typing import Any

import click

import wsgiserve
from wsgiserve.cli.apps import find_app, working_folder
from wsgiserve.cli.commands import COMMANDS, HELP, load
from wsgiserve.config import Config
from wsgiserve.server.program import run_command

EXAMPLES = """
\b
Examples:
  wsgiserve app:application          the object application in app.py
  wsgiserve "shop.web:create_app()"  what create_app() returns
  wsgiserve shop.wsgi                application or app in shop/wsgi.py
"""


def server_options(
    command: Callable[..., None], *, without: Collection[str] = (), workers: bool = True
) -> Callable[..., None]:
    """Declare an option for each field of the configuration, except those named, or those of workers."""
    for field in reversed(dataclasses.fields(Config)):
        if field.name not in without and (workers or not field.metadata["command"]):
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
    variable = field.metadata["variable"]
    return click.option(
        flag,
        type=_type(field),
        default=default,
        show_default=default != "",
        metavar=metavar,
        help=text,
        envvar=[f"WSGISERVE_{field.name.upper()}", variable] if variable else None,
    )


def _type(field: dataclasses.Field[Any]) -> click.ParamType:  # type: ignore[type-arg]  # generic in newer versions of click
    if field.metadata["word"]:
        return _NumberOrWord(field.metadata["word"])
    if isinstance(field.default, str):
        return click.STRING
    return click.INT if isinstance(field.default, int) else click.FLOAT


class _NumberOrWord(click.ParamType):  # type: ignore[type-arg]
    name = "number"

    def __init__(self, word: str) -> None:
        self._word = word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == self._word:
            return value
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is not a valid integer, nor {self._word!r}.", param, ctx)


class _Command(click.Command):
    """A command whose help names the other commands too."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_usage(ctx, formatter)
        formatter.write(f"{'':7}{ctx.command_path} COMMAND ...\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, load(name).get_short_help_str(200)) for name in COMMANDS])
        super().format_options(ctx, formatter)


@click.command("wsgiserve", cls=_Command, context_settings=HELP, epilog=EXAMPLES)
@click.argument("app", metavar="MODULE:NAME")
@server_options
@click.version_option(wsgiserve.__version__, "-V", "--version", message="wsgiserve %(version)s")
def command(app: str, **options: Any) -> None:
    """Serve the WSGI application that MODULE:NAME names, until Ctrl+C or SIGTERM."""
    sys.path.insert(0, working_folder())
    run_command(lambda: find_app(app), **options)
