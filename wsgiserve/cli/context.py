"""What click has found: the options of its context, and wrong settings as errors of click."""

from __future__ import annotations

import os

import click
from click.core import ParameterSource

from wsgiserve.cli.commands import COMMANDS, LIKE_SERVING
from wsgiserve.cli.faults import Misconfigured
from wsgiserve.cli.settings import Settings, Sources
from wsgiserve.config import ConfigError
from wsgiserve.config.fields import FIELDS, flag
from wsgiserve.config.sources import PREFIX, Origin, Setting, check_variables
from wsgiserve.processes import handover

OTHERS = [name for name in COMMANDS if name not in LIKE_SERVING]


def given(context: click.Context) -> dict[str, Setting]:
    """Return the options that the command line and the environment have."""
    settings = {}
    for param in context.command.params:
        name = param.name or ""
        source = context.get_parameter_source(name)
        if name not in FIELDS or source not in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT):
            continue
        if source is ParameterSource.ENVIRONMENT:
            origin = Origin("environment", f"{context.auto_envvar_prefix}_{name.upper()}")
        else:
            written = flag(name) if isinstance(param, click.Option) else "MODULE:NAME"
            origin = Origin("command line", written)
        settings[name] = Setting(context.params[name], origin)
    return settings


def refuse_variables(context: click.Context, prefix: str) -> None:
    """Refuse variables with this prefix that are no options of the command."""
    if handover.is_there():
        return  # The process that started this one has checked them.
    names = [param.name for param in context.command.params if param.expose_value and param.name]
    known, others = ([*FIELDS, "config"], OTHERS) if prefix == PREFIX else (names, ())
    try:
        check_variables(os.environ, known, others, prefix)
    except ConfigError as error:
        raise Misconfigured(str(error)) from None


def sources(context: click.Context, file: str | None, *, needs_app: bool = True) -> Sources:
    """Return the sources of a command like serving; ``file`` is that of ``--config``."""
    refuse_variables(context, PREFIX)
    return Sources(given(context), file or "", needs_app=needs_app)


def read(its: Sources) -> Settings:
    """Return the configuration; an error ends the program."""
    try:
        return handover.insist(its.read, ConfigError)
    except ConfigError as error:
        raise Misconfigured(str(error)) from None
