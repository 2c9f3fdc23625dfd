"""``wsgiserve MODULE:NAME``: serve an app.

The options are made from the fields of :class:`wsgiserve.config.Config`.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Collection
from typing import Any

import click
from click.core import ParameterSource

import wsgiserve
from wsgiserve.cli.apps import find_app, working_folder
from wsgiserve.cli.commands import COMMANDS, HELP, load
from wsgiserve.cli.faults import misspelt_variables
from wsgiserve.config import Config, ConfigError, make_config
from wsgiserve.processes.command import run_command
from wsgiserve.server.program import listen_where_passed

EXAMPLES = """
\b
Examples:
  wsgiserve app:application          the object application in app.py
  wsgiserve "shop.web:create_app()"  the return value of create_app()
  wsgiserve shop.wsgi                application or app in shop/wsgi.py
"""


def server_options(
    command: Callable[..., None], *, without: Collection[str] = (), workers: bool = True
) -> Callable[..., None]:
    """Declare an option for each field of ``Config``, except ``without`` and perhaps those of workers."""
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
        texts = tuple(map(str, default))
        return click.option(flag, multiple=True, default=texts, show_default=True, metavar=metavar, help=text)
    variable = field.metadata["variable"]
    return click.option(
        flag,
        type=click.STRING
        if isinstance(default, str)
        else _Number(int if isinstance(default, int) else float),
        default=default,
        show_default=default != "",
        metavar=metavar,
        help=text,
        envvar=[f"WSGISERVE_{field.name.upper()}", variable] if variable else None,
    )


class _Number(click.ParamType):  # type: ignore[type-arg]  # generic only in later versions of click
    """A number. Other text is passed on: ``Config`` refuses it in the same words as a wrong number."""

    name = "number"

    def __init__(self, kind: type[int | float]) -> None:
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._kind(value)
        except ValueError:
            return value


class _Command(click.Command):
    """The command, whose help also lists the other commands."""

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
@click.option("--dev", is_flag=True, help="Develop: reload changed code, show errors in the browser.")
@click.version_option(wsgiserve.__version__, "-V", "--version", message="wsgiserve %(version)s")
@click.pass_context
def command(context: click.Context, /, app: str, dev: bool, **options: Any) -> None:
    """Serve the WSGI application MODULE:NAME until Ctrl+C or SIGTERM."""
    if context.get_parameter_source("bind") is ParameterSource.DEFAULT:
        del options["bind"]  # The service manager may have opened sockets to use in its place.
    listen_where_passed(options)
    config = _config(context, options)
    if dev and options["workers"] not in (0, 1):
        param = next(param for param in context.command.params if param.name == "workers")
        raise click.BadParameter("--dev has one worker, whose frames its debugger knows", context, param)
    if dev and config.domain:
        param = next(param for param in context.command.params if param.name == "domain")
        raise click.BadParameter("--dev serves this machine alone, which no CA can ask", context, param)
    for line in misspelt_variables(context.command):
        sys.stderr.write(f"wsgiserve: {line}\n")
    sys.path.insert(0, working_folder())
    if dev:
        _develop(app, config)
    else:
        run_command(lambda: find_app(app), config)


def _develop(app: str, config: Config) -> None:
    """Be the parent of the development mode, or a child that it started. Imports werkzeug."""
    from wsgiserve.dev import child, parent

    orders = child.orders()
    if orders is None:
        parent.Parent(config).run()
    else:
        child.work(app, config, **orders)


def _config(context: click.Context, options: dict[str, Any]) -> Config:
    """Make the configuration; an error names the flag or the variable that was given."""
    try:
        return make_config(**options)
    except ConfigError as error:
        param = next((param for param in context.command.params if param.name == error.option), None)
        raise click.BadParameter(error.text, context, param) from None
