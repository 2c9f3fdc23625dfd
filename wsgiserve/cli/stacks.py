"""``wsgiserve stacks [PID]``: print where the threads of the workers are."""

from __future__ import annotations

import re
from typing import Any

import click

from wsgiserve.cli.commands import HELP
from wsgiserve.cli.ops import (
    EXIT_NO_ANSWER,
    NoAnswerError,
    StrangerError,
    address_options,
    ask,
    find,
    printable,
)
from wsgiserve.server.console import fail


class ProcessId(click.ParamType[int]):
    """The number of a process."""

    name = "process id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        if not re.fullmatch("[1-9][0-9]{0,9}", str(value)):
            self.fail(f"{value!r} is no process id, such as 4711", param, ctx)
        return int(value)


@click.command("stacks", context_settings=HELP)
@click.argument("pid", type=ProcessId(), required=False)
@address_options
def command(pid: int | None, ops_bind: str | None, pid_file: str | None) -> None:
    """Print each request in flight with the stack of its thread, then all other threads.

    PID is that of a worker; without it all workers are asked. It works also while the app burns the processor
    or holds the interpreter's lock.
    """
    url = find(ops_bind, pid_file)
    try:
        text = ask(url, f"/stacks?pid={pid}" if pid else "/stacks")
        if not text.startswith(b"worker "):
            raise StrangerError(url)
    except NoAnswerError as error:
        fail(str(error), EXIT_NO_ANSWER)
    click.echo(printable(text.decode("utf-8", "replace")), nl=False)
