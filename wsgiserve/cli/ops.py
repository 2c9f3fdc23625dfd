"""How ``wsgiserve status`` and ``wsgiserve stacks`` reach the ops endpoint of a running server.

It is found by ``--ops-bind``, by the status file beside ``--pid-file``, or by what the file in this folder
says of the two.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable
from typing import Any

import click

from wsgiserve.cli.apps import working_folder
from wsgiserve.cli.faults import Misconfigured
from wsgiserve.cli.health import connect, reason
from wsgiserve.config import ConfigError
from wsgiserve.config.binds import Bind, host_port, parse_bind
from wsgiserve.config.sources import FILE, find_file
from wsgiserve.processes.pid_file import read_status
from wsgiserve.server.console import EXIT_USAGE, fail

EXIT_NO_ANSWER = 1
SECONDS = 12.0  # longer than the endpoint lets a client wait
EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


class NoAnswerError(Exception):
    """The endpoint does not answer; the text says why."""


class StrangerError(NoAnswerError):
    """Another server answers at this URL."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"the server at {url} is no ops endpoint; name the --ops-bind of the server, not its --bind"
        )


def address_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that tell where the endpoint is."""
    add_pid_file = click.option(
        "--pid-file",
        metavar="PATH",
        envvar=["WSGISERVE_PID_FILE"],
        help="The --pid-file of the server, whose status file has the address.",
    )
    add_bind = click.option(
        "--ops-bind",
        metavar="HOST:PORT",
        envvar=["WSGISERVE_OPS_BIND"],
        help="The --ops-bind of the server; by default that of wsgiserve.toml here.",
    )
    return add_bind(add_pid_file(command))


def find(ops_bind: str | None, pid_file: str | None) -> str:
    """Return the URL of the endpoint; an error ends the program."""
    if ops_bind is None and pid_file is None:
        ops_bind, pid_file = _configured()
    if ops_bind is not None:
        try:
            url = _url(parse_bind(ops_bind))
        except ConfigError as error:
            raise Misconfigured(f"--ops-bind: {error.text}") from None
        if url or pid_file is None:
            return url or fail(
                f"--ops-bind: {ops_bind} does not tell the port; name the --pid-file", EXIT_USAGE
            )
    status = read_status(str(pid_file))
    if not status:
        fail(f"no server to ask: {pid_file}.status has no status; is it running?", EXIT_NO_ANSWER)
    urls = status.get("ops")
    if not urls:
        fail("the server has no ops endpoint; start it with --ops-bind 127.0.0.1:9000", EXIT_USAGE)
    return str(urls[0])


def _configured() -> tuple[str | None, str | None]:
    """Return the first address and the pid file that the file in this folder names; one is there."""
    try:
        values = find_file(working_folder()).values
    except ConfigError as error:
        raise Misconfigured(str(error)) from None
    binds, pid_file = values.get("ops_bind"), values.get("pid_file")
    bind = binds[0] if isinstance(binds, list | tuple) and binds else binds
    if not bind and not pid_file:
        raise Misconfigured(
            f'--ops-bind HOST:PORT is missing; name it, or write ops_bind = "HOST:PORT" in {FILE}'
        )
    return (str(bind) if bind else None), (str(pid_file) if pid_file else None)


def _url(bind: Bind) -> str:
    """Return the URL to reach a bind by; "" if it does not say enough."""
    if bind.kind == "unix" or bind.kind == "abstract":
        return f"unix:{'@' if bind.kind == 'abstract' else ''}{bind.name}"
    if bind.kind == "fd" or not bind.number:
        return ""
    host = EVERYWHERE.get(bind.name, bind.name)
    return f"http://{host_port(host, bind.number)}"


def ask(url: str, path: str) -> bytes:
    """Return a page of the endpoint; NoAnswerError if there is none."""
    connection, target = connect(f"{url}{':' if url.startswith('unix:') else ''}{path}", SECONDS, False)
    try:
        connection.request("GET", target, headers={"Host": "localhost", "Connection": "close"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(
            f"the ops endpoint at {url} does not answer: {reason(error)}; does its server run?"
        ) from None
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise NoAnswerError(f"the ops endpoint at {url} answers {response.status}: {_first_line(body)}")
    return body


def _first_line(body: bytes) -> str:
    return printable(body.decode("utf-8", "replace").partition("\n")[0])


def printable(text: str) -> str:
    """Return text for a terminal: a client chooses the path of its request, and none may write escapes."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)
