"""The command line: ``wsgiserve app:application``.

Options are made from the fields of :class:`wsgiserve.config.Config`; each can also be given as an environment
variable ``WSGISERVE_NAME``. Exit codes are in ``wsgiserve.server.program``.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from typing import Any

import click

import wsgiserve
from wsgiserve.config import Config
from wsgiserve.server.program import EXIT_NO_APP, fail, run
from wsgiserve.target import TargetError, UserCodeError, load_app

EXAMPLES = """
\b
Examples:
  wsgiserve app:application          the object application in app.py
  wsgiserve "shop.web:create_app()"  what create_app() returns
  wsgiserve shop.wsgi                application or app in shop/wsgi.py
"""


def _options(command: Callable[..., None]) -> Callable[..., None]:
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
    return click.option(
        flag, type=type(default), default=default, show_default=default != "", metavar=metavar, help=text
    )


@click.command(
    "wsgiserve",
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "WSGISERVE"},
    epilog=EXAMPLES,
)
@click.argument("app", metavar="MODULE:NAME")
@_options
@click.version_option(wsgiserve.__version__, "-V", "--version", message="wsgiserve %(version)s")
def command(app: str, **options: Any) -> None:
    """Serve the WSGI application that MODULE:NAME names, until Ctrl+C or SIGTERM."""
    sys.path.insert(0, os.getcwd())
    try:
        application = load_app(app)
    except UserCodeError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_NO_APP) from None
    except TargetError as error:
        fail(str(error), EXIT_NO_APP)
    run(application, **options)


def main() -> None:
    """Run the command; what click finds wrong with the arguments is one plain line."""
    try:
        command.main(prog_name="wsgiserve", standalone_mode=False)
    except click.Abort:  # Ctrl+C before anything is served
        raise SystemExit(130) from None
    except click.ClickException as error:
        fail(f"{error.format_message()} See wsgiserve --help.", error.exit_code)
