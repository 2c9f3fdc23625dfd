"""``wsgiserve status``: what a server does, in a terminal about once a second, elsewhere once."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterable
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

PERIOD = 1.0
CLEAR = "\x1b[H\x1b[J"
MIB = 1 << 20
Row = tuple[str, ...]
# So short that the numbers of a busy worker fit into 80 columns.
WORKER: Row = ("WORKER", "STATE", "GEN", "AGE", "MEMORY", "CONNS", "BUSY", "WAITING")
REQUEST: Row = ("AGE", "PHASE", "WORKER", "CLIENT", "REQUEST")


@click.command("status", context_settings=HELP)
@address_options
@click.option("--once", is_flag=True, help="Print it once, also in a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print it once as JSON.")
def command(ops_bind: str | None, pid_file: str | None, once: bool, as_json: bool) -> None:
    """Show workers and requests in flight of a server with --ops-bind.

    In a terminal it is shown anew each second until Ctrl+C.
    """
    url = find(ops_bind, pid_file)
    if not once and not as_json and sys.stdout.isatty():
        try:
            _live(url)
        except KeyboardInterrupt:
            return
    try:
        body = ask(url, "/status.json")
        shown = _lines_of(body, url)
    except NoAnswerError as error:
        fail(str(error), EXIT_NO_ANSWER)
    click.echo(body.decode() if as_json else "\n".join(shown), nl=not as_json)


def _lines_of(body: bytes, url: str) -> list[str]:
    try:
        return lines(json.loads(body))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise StrangerError(url) from None


def _live(url: str) -> None:
    while True:
        try:
            shown = _lines_of(ask(url, "/status.json"), url)
        except NoAnswerError as error:
            shown = [f"wsgiserve: {error}"]
        size = shutil.get_terminal_size()
        sys.stdout.write(CLEAR + "\n".join(fit(shown, size.columns, size.lines - 1)))
        sys.stdout.flush()
        time.sleep(PERIOD)


def fit(shown: list[str], columns: int, rows: int) -> list[str]:
    """Cut lines to what a terminal has room for, so that one sees what is cut."""
    if len(shown) > rows:
        kept = max(0, rows - 1)
        shown = [*shown[:kept], f"... and {len(shown) - kept} more lines; a larger terminal shows them"]
    return [line if len(line) <= columns else f"{line[: max(0, columns - 3)]}..." for line in shown]


def lines(status: dict[str, Any]) -> list[str]:
    """Write a status as lines of text."""
    requests, hidden = status["requests"], status["hidden"]
    total = len(requests) + hidden
    flight = "1 request is in flight" if total == 1 else f"{total} requests are in flight"
    text = [f"{status['state']}, generation {status['generation']}; {flight}"]
    if status["reason"]:
        text.append(f"the last reload failed: {printable(status['reason'].splitlines()[-1])}")
    text += ["", *_table(WORKER, map(_worker, status["workers"]))]
    if requests:
        text += ["", *_table(REQUEST, map(_request, requests))]
    if hidden:
        text.append(f"and {hidden} more")
    return text


def _worker(worker: dict[str, Any]) -> Row:
    memory = worker["memory"]
    return (
        str(worker["pid"]),
        worker["state"],
        str(worker["generation"]),
        age(worker["age"]),
        "" if memory is None else f"{memory / MIB:.0f} MiB",
        str(worker["connections"]),
        f"{worker['busy']} of {worker['threads']}",
        str(worker["waiting"]),
    )


def _request(request: dict[str, Any]) -> Row:
    name = f"{request['method']} {request['path']}" if request["method"] else "(the head has not arrived)"
    id = f" [{request['id']}]" if request["id"] else ""
    return (
        age(request["age"]),
        request["phase"],
        str(request["pid"]),
        printable(request["client"]),
        printable(name + id),
    )


def _table(head: Row, rows: Iterable[Row]) -> list[str]:
    table = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]


def age(seconds: float) -> str:
    """Write an age in its two largest units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours < 1:
        return f"{minutes} min {int(seconds % 60)} s"
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
