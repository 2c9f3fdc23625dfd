"""``wsgiserve stacks [PID]``: print where the threads of the workers are."""

from __future__ import annotations

import click

from wsgiserve.cli.commands import HELP
from wsgiserve.cli.ops import EXIT_NO_ANSWER, NoAnswerError, address_options, ask, find, printable
from wsgiserve.server.console import fail


@click.command("stacks", context_settings=HELP)
@click.argument("pid", type=click.IntRange(min=1), required=False)
@address_options
def command(pid: int | None, ops_bind: str | None, pid_file: str | None) -> None:
    """Print each request in flight with the stack of its thread, then all other threads.

    PID is that of a worker; without it all workers are asked. It works also while the app burns the processor
    or holds the interpreter's lock.
    """
    try:
        text = ask(find(ops_bind, pid_file), f"/stacks?pid={pid}" if pid else "/stacks")
    except NoAnswerError as error:
        fail(str(error), EXIT_NO_ANSWER)
    click.echo(printable(text.decode("utf-8", "replace")), nl=False)
