"""``wsgiserve migrate``: the configuration of another server as ``wsgiserve.toml``. Nothing is executed."""

from __future__ import annotations

import os
import shlex

import click

from wsgiserve.cli.commands import HELP
from wsgiserve.cli.faults import Misconfigured
from wsgiserve.config import ConfigError

EXAMPLES = """
\b
Examples:
  wsgiserve migrate gunicorn.conf.py > wsgiserve.toml
  wsgiserve migrate uwsgi.ini
  wsgiserve migrate "gunicorn -w 4 --timeout 60 shop.wsgi"
"""


@click.command(
    "migrate",
    context_settings={**HELP, "allow_interspersed_args": False},
    epilog=EXAMPLES,
)
@click.argument("source", nargs=-1, required=True, type=click.UNPROCESSED, metavar="FILE|COMMAND")
def command(source: tuple[str, ...]) -> None:
    """Print the configuration of gunicorn or uWSGI as wsgiserve.toml.

    FILE is a gunicorn.conf.py or an ini file of uWSGI, COMMAND the command line of either. Nothing of it is
    executed. Each setting without an equivalent is a comment that says why, and what to do.
    """
    try:
        click.echo(_migrated(source), nl=False)
    except ConfigError as error:
        raise Misconfigured(str(error)) from None


def _migrated(words: tuple[str, ...]) -> str:
    from wsgiserve.migrate import gunicorn, uwsgi

    text = words[0] if len(words) == 1 else shlex.join(words)
    if len(words) == 1 and not text.strip().count(" "):
        if text.endswith(".py"):
            return gunicorn.from_file(text)
        if text.endswith(".ini"):
            return uwsgi.from_file(text)
    names = {os.path.basename(word) for word in text.split()}
    if "gunicorn" in names:
        return gunicorn.from_command(text)
    if "uwsgi" in names:
        return uwsgi.from_command(text)
    raise ConfigError(
        "", f"{text!r} is neither a gunicorn.conf.py, nor an ini file of uWSGI, nor a command line of either"
    )
