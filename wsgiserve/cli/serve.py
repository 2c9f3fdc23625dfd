"""``wsgiserve MODULE:NAME``: serve an app.

The options are made from the fields of :class:`wsgiserve.config.Config`; ``settings`` joins them with those
of a file. The usual command line does not come here: ``serving`` reads it without click.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import click

import wsgiserve
from wsgiserve.cli.commands import COMMANDS, HELP, load
from wsgiserve.cli.context import read, sources
from wsgiserve.cli.serving import serve
from wsgiserve.config.fields import FIELDS, Field, flag, from_text, kind, shown
from wsgiserve.config.options import GROUPS
from wsgiserve.config.sources import FILE

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
    for name, field in reversed(FIELDS.items()):
        if name not in without and name != "app" and (workers or not field.metadata["command"]):
            command = _option(field)(command)
    return command


def _option(field: Field) -> Callable[[Callable[..., None]], Callable[..., None]]:
    name, its = flag(field.name), kind(field)
    default: Any = field.default
    text = field.metadata["help"]
    if shown(field) != "":
        text = f"{text}  [default: {shown(field)}]"
    if its == "switch":
        return click.option(f"{name}/--no-{name[2:]}", type=_Switch(), default=default, help=text)
    return click.option(
        name,
        multiple=its == "list",
        type=click.STRING if its in ("list", "text") else _Number(field),
        default=[*map(str, default)] if its == "list" else default,
        metavar=field.metadata["metavar"],
        help=text,
        cls=_TextOrOff if field.metadata["off"] else click.Option,
    )


class _TextOrOff(click.Option):
    """An option with a value, and ``--no-NAME`` to have none."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        super().add_to_parser(parser, ctx)
        parser.add_option(self, [self._off()], dest=self.name, action="store_const", const="")

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        return record and (f"{record[0]} / {self._off()}", record[1])

    def _off(self) -> str:
        return f"--no-{self.opts[0][2:]}"


class _Switch(click.types.BoolParamType):
    """A switch, which may be words in a variable."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is neither true nor false.", param, ctx)


class _Number(click.ParamType):  # type: ignore[type-arg]  # generic only in later versions of click
    """A number. Other text is passed on: ``Config`` reads units, and refuses what is wrong."""

    name = "number"

    def __init__(self, field: Field) -> None:
        self._field = field

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return from_text(self._field, value) if isinstance(value, str) else value


class _Command(click.Command):
    """The command, whose help also lists the other commands."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_usage(ctx, formatter)
        formatter.write(f"{'':7}{ctx.command_path} COMMAND ...\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in their groups; those that everybody needs come first."""
        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in ("Commands", *GROUPS, "Others")}
        groups["Commands"] = [(name, load(name).get_short_help_str(200)) for name in COMMANDS]
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and not isinstance(param, click.Argument):
                groups[_group(param.name or "")].append(record)
        first = ("Basics", "Commands")
        for group in (*first, *(name for name in groups if name not in first)):
            with formatter.section(group):
                formatter.write_dl(groups[group])


def _group(name: str) -> str:
    if name in FIELDS:
        return str(FIELDS[name].metadata["group"])
    return "Basics" if name == "config" else "Others"


def all_options(command: Callable[..., None]) -> Callable[..., None]:
    """Declare what a command takes that knows how the server would be started."""
    command = click.option(
        "--config", metavar="FILE", help=f"Read options from this file, in place of {FILE} here."
    )(command)
    command = server_options(command)
    return click.argument("app", metavar="MODULE:NAME", required=False, envvar="WSGISERVE_APP")(command)


@click.command("wsgiserve", cls=_Command, context_settings=HELP, epilog=EXAMPLES)
@all_options
@click.version_option(wsgiserve.__version__, "-V", "--version", message="wsgiserve %(version)s")
@click.pass_context
def command(context: click.Context, /, config: str | None, **options: Any) -> None:
    """Serve the WSGI application MODULE:NAME until Ctrl+C or SIGTERM.

    Options may also stand in wsgiserve.toml, such as keep_alive = "5s", or in the environment, such as
    WSGISERVE_KEEP_ALIVE=5s.
    """
    its = sources(context, config)
    serve(its, read(its))
