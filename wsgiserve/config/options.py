"""Every option of the server, declared once: type, default, help, least value.

The command line, the environment variables ``WSGISERVE_*``, ``serve(app, **options)`` and the reference in
the docs derive from the fields of :class:`Config`, or are tested against them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

from wsgiserve.config.binds import Bind, check_rights, parse_bind
from wsgiserve.config.errors import ConfigError


def _option(
    default: Any,
    text: str,
    metavar: str = "",
    *,
    least: int | None = None,
    word: str = "",
    command: bool = False,
    variable: str = "",
) -> Any:
    """Declare an option.

    ``least`` is the least value of a number; ``word`` may stand in place of one. ``command`` is for what only
    the command does, not ``Server``. ``variable`` is an environment variable besides our own.
    """
    facts = {"help": text, "metavar": metavar, "least": least, "word": word}
    return dataclasses.field(default=default, metadata={**facts, "command": command, "variable": variable})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The options in force. Times are seconds, sizes are bytes."""

    bind: tuple[Bind, ...] = _option(
        (parse_bind("127.0.0.1:8000"),),
        "Where to listen; may be given several times. Port 0 lets the system choose, [::1]:8000 is IPv6, "
        ":8000 is every address of this machine. Also unix:/path, unix:@name and fd://3.",
        "HOST:PORT",
    )
    socket_mode: str = _option(
        "", "The mode of Unix sockets, in octal digits such as 660; else that of new files.", "MODE"
    )
    socket_owner: str = _option(
        "", "Whom Unix sockets belong to; :GROUP changes the group alone.", "USER[:GROUP]"
    )
    workers: int | str = _option(
        1,
        "How many processes serve, below one that supervises them; auto is one for each processor, 0 serves "
        "in this process, without reload.",
        "N",
        least=0,
        word="auto",
        command=True,
        variable="WEB_CONCURRENCY",
    )
    threads: int = _option(
        64, "How many calls of the app may run at once; threads are started as needed.", "N", least=1
    )
    max_queue: int = _option(
        1024, "How many requests may wait for a thread; those above it are answered 503.", "N", least=0
    )
    queue_timeout: float = _option(
        30.0, "Time a request may wait for a thread; then it is answered 503.", "SECONDS", least=1
    )
    access_log: bool = _option(True, "Write a line to standard output for each request answered.")
    strict: bool = _option(False, "Check each call of the app against PEP 3333 and say what to change.")
    backlog: int = _option(2048, "How many new connections the system may hold ready.", "N", least=1)
    max_connections: int = _option(
        20000,
        "How many connections may be open. Then the longest idle make room, or new ones wait in the backlog.",
        "N",
        least=1,
    )
    keep_alive: float = _option(
        75.0,
        "How long an idle connection is kept. Longer than a load balancer keeps it, or clients get 502.",
        "SECONDS",
        least=0,
    )
    head_timeout: float = _option(10.0, "Time a client has to send a request head.", "SECONDS", least=1)
    stall_timeout: float = _option(
        30.0,
        "A body or response that has not moved since the last look, so long ago, is given up.",
        "SECONDS",
        least=1,
    )
    min_rate: int = _option(
        240,
        "A body or response that takes longer than the stall timeout has to move this fast on the average, "
        "in bytes a second; 0 is no limit.",
        "BYTES",
        least=0,
    )
    drain_delay: float = _option(
        0.0,
        "When asked to stop, say so on the health path and go on for so long: a load balancer has to notice.",
        "SECONDS",
        least=0,
    )
    graceful_timeout: float = _option(
        30.0,
        "Time running requests have to finish when the server stops or a worker is replaced.",
        "SECONDS",
        least=0,
    )
    pid_file: str = _option(
        "",
        "Where to write the supervisor's process id, and to PATH.status how it stands.",
        "PATH",
        command=True,
    )
    preload: bool = _option(
        False,
        "Import the app once and fork the workers from there, so that they share its memory.",
        command=True,
    )
    probe: str = _option(
        "",
        "A request that a new worker has to answer below 400 before it serves, such as /health.",
        "PATH",
        command=True,
    )
    max_requests: int = _option(
        0,
        "Replace a worker after so many requests, or up to a tenth more; 0 is never.",
        "N",
        least=0,
        command=True,
    )
    max_rss: int = _option(
        0,
        "Replace a worker whose resident memory is above this; 0 is never.",
        "BYTES",
        least=0,
        command=True,
    )
    max_lifetime: float = _option(
        0.0,
        "Replace a worker after so long, or up to a tenth more; 0 is never.",
        "SECONDS",
        least=0,
        command=True,
    )
    health_path: str = _option(
        "",
        "Answer this path without the app: 200 while the server lives, and at PATH/ready 503 once it stops.",
        "PATH",
    )
    slow_log: float = _option(
        0.0,
        "Log a request, and where its thread is, once it has run for so long; 0 is never.",
        "SECONDS",
        least=0,
    )
    request_timeout: float = _option(
        0.0,
        "Time the app has for a request; then it is answered 504, or cut, and its thread is given up. "
        "0 is no limit.",
        "SECONDS",
        least=0,
    )
    max_line: int = _option(8192, "Longest request line.", "BYTES", least=64)
    max_head: int = _option(65536, "Most header fields, in bytes.", "BYTES", least=1024)
    max_fields: int = _option(100, "Most header fields, counted.", "N", least=1)
    max_body: int = _option(1 << 30, "Longest request body; 0 is no limit.", "BYTES", least=0)

    def __post_init__(self) -> None:
        if not self.bind:
            raise ConfigError("bind", "name at least one HOST:PORT")
        for field in dataclasses.fields(self):
            least = field.metadata["least"]
            value, word = getattr(self, field.name), field.metadata["word"]
            if least is not None and not (word and value == word):
                _check_number(field.name, value, type(field.default), least, word)
        for name in ("probe", "health_path"):
            path = getattr(self, name)
            if path and not path.startswith("/"):
                raise ConfigError(name, f"{path!r} is not a path, such as /health")
        self._check_unix_options()

    def _check_unix_options(self) -> None:
        for option in ("socket_mode", "socket_owner"):
            if getattr(self, option) and not any(bind.kind == "unix" for bind in self.bind):
                raise ConfigError(option, "there is no socket to set it for; name one with --bind unix:/path")
        check_rights(self.socket_mode, self.socket_owner)


def _check_number(name: str, value: object, kind: type, least: int, word: str) -> None:
    allowed = int if kind is int else (int, float)
    sound = isinstance(value, allowed) and not isinstance(value, bool) and least <= value < math.inf
    if not sound:
        noun = "whole number" if kind is int else "number"
        also = f", nor {word!r}" if word else ""
        raise ConfigError(name, f"{value!r} is not a {noun} of at least {least}{also}")


def make_config(**options: Any) -> Config:
    """Check the options and return the :class:`Config`; ConfigError names the option that is wrong.

    ``bind`` may be one string or several, such as ``"127.0.0.1:8000"``.
    """
    known = {field.name for field in dataclasses.fields(Config)}
    unknown = sorted(options.keys() - known)
    if unknown:
        raise ConfigError(
            "", f"unknown option {', '.join(unknown)}; the options are {', '.join(sorted(known))}"
        )
    if "bind" in options:
        options["bind"] = _parse_binds(options["bind"])
    return Config(**options)


def _parse_binds(bind: Any) -> tuple[Bind, ...]:
    texts = (bind,) if isinstance(bind, str) else tuple(bind) if isinstance(bind, Iterable) else (bind,)
    if not all(isinstance(text, str) for text in texts):
        raise ConfigError("bind", f"{bind!r} is not HOST:PORT, such as 127.0.0.1:8000")
    return tuple(map(parse_bind, texts))


def refuse_command_options(options: Iterable[str]) -> None:
    """Raise ConfigError for an option that only the command has, such as ``workers``."""
    for field in dataclasses.fields(Config):
        if field.metadata["command"] and field.name in options:
            raise ConfigError(
                field.name, "is the command's: wsgiserve MODULE:NAME; a server in a program is one process"
            )
