"""The options of the server, each declared once with type, default, help and least value.

The command line, the environment variables ``WSGISERVE_*`` and ``serve(app, **options)`` are made from the
fields of :class:`Config`; tests compare the reference with them.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterable
from typing import Any

from wsgiserve.config.binds import Bind, check_rights, parse_bind
from wsgiserve.config.elsewhere import PYTHON
from wsgiserve.config.errors import ConfigError
from wsgiserve.config.trust import Trust


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

    ``least`` is the least value of a number, ``word`` a word allowed in its place, such as "auto". A
    ``command`` option is for the command alone, not for ``Server``. ``variable`` is a second environment
    variable, such as WEB_CONCURRENCY.
    """
    facts = {"help": text, "metavar": metavar, "least": least, "word": word}
    return dataclasses.field(default=default, metadata={**facts, "command": command, "variable": variable})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The options in force. Times are seconds, sizes are bytes."""

    bind: tuple[Bind, ...] = _option(
        (parse_bind("127.0.0.1:8000"),),
        "Listen on this address; may be given several times. Examples: :8000 (every address), [::1]:8000, "
        "127.0.0.1:0 (any free port), unix:/path, unix:@name, fd://3.",
        "HOST:PORT",
    )
    socket_mode: str = _option(
        "", "Set the mode of Unix sockets, in octal, such as 660. By default the umask decides.", "MODE"
    )
    socket_owner: str = _option(
        "", "Set the owner of Unix sockets; :GROUP sets only the group.", "USER[:GROUP]"
    )
    workers: int | str = _option(
        1,
        "Run this many worker processes; auto runs one per processor. 0 serves without supervisor or reload.",
        "N",
        least=0,
        word="auto",
        command=True,
        variable="WEB_CONCURRENCY",
    )
    threads: int = _option(
        64, "Call the app on at most this many threads at once. Threads start when needed.", "N", least=1
    )
    max_queue: int = _option(
        1024, "Let at most this many requests wait for a thread; answer any more with 503.", "N", least=0
    )
    queue_timeout: float = _option(
        30.0, "Let a request wait at most this long for a thread; then answer 503.", "SECONDS", least=1
    )
    access_log: bool = _option(True, "Write one line for each request to standard output.")
    strict: bool = _option(
        False, "Check each call of the app against PEP 3333; log a violation and answer 500."
    )
    backlog: int = _option(
        2048, "Let the system hold this many connections that are not accepted yet.", "N", least=1
    )
    max_connections: int = _option(
        20000,
        "Open at most this many connections. Another closes the longest idle one, or waits in the backlog.",
        "N",
        least=1,
    )
    keep_alive: float = _option(
        75.0,
        "Close connections idle for this long. Keep it above a load balancer's timeout, or clients get 502.",
        "SECONDS",
        least=0,
    )
    head_timeout: float = _option(
        10.0, "Answer 408 if a request head takes longer than this to arrive.", "SECONDS", least=1
    )
    stall_timeout: float = _option(
        30.0, "Close a transfer that makes no progress for this long.", "SECONDS", least=1
    )
    min_rate: int = _option(
        240,
        "Close a transfer longer than --stall-timeout that averages less than this a second; 0 is no limit.",
        "BYTES",
        least=0,
    )
    drain_delay: float = _option(
        0.0,
        "After a stop signal, accept for this long and answer readiness checks with 503.",
        "SECONDS",
        least=0,
    )
    graceful_timeout: float = _option(
        30.0,
        "Give running requests this long to finish when the server stops or a worker is replaced.",
        "SECONDS",
        least=0,
    )
    pid_file: str = _option(
        "", "Write the supervisor's process id to PATH, and its state to PATH.status.", "PATH", command=True
    )
    preload: bool = _option(
        False,
        "Import the app once and fork the workers from that process. This saves memory.",
        command=True,
    )
    probe: str = _option(
        "",
        "Require an answer below 400 to GET URL, such as https://shop.example/health or /health, before a "
        "new worker serves.",
        "URL",
        command=True,
    )
    max_requests: int = _option(
        0,
        "Replace a worker after this many requests, plus up to 10% at random; 0 is never.",
        "N",
        least=0,
        command=True,
    )
    max_rss: int = _option(
        0, "Replace a worker whose resident memory exceeds this; 0 is never.", "BYTES", least=0, command=True
    )
    max_lifetime: float = _option(
        0.0,
        "Replace a worker after this long, plus up to 10% at random; 0 is never.",
        "SECONDS",
        least=0,
        command=True,
    )
    trust: str = _option(
        "",
        "Believe these proxies what they say about clients: addresses and networks with commas between, unix "
        "for peers on a Unix socket, * for everyone.",
        "CIDR",
    )
    trust_header: str = _option(
        "x-forwarded",
        "Believe trusted proxies these fields, x-forwarded or forwarded, and remove the other.",
        "NAME",
    )
    forwarded: str = _option(
        "remove",
        "With keep, pass forwarded fields of peers that are not trusted to the app; remove hides them.",
        "ACTION",
    )
    proxy_protocol: bool = _option(
        False, "Require the PROXY protocol, version 1 or 2, of each connection; --trust names the proxies."
    )
    request_id: bool = _option(
        False,
        "Give each request an id, for the app, the access log and the response; keep the X-Request-ID of a "
        "trusted proxy.",
    )
    health_path: str = _option(
        "",
        "Answer health checks without the app: PATH says 200, PATH/ready says 503 once the server stops.",
        "PATH",
    )
    slow_log: float = _option(
        0.0,
        "Log each request that runs longer than this, with the stack of its thread; 0 is never.",
        "SECONDS",
        least=0,
    )
    request_timeout: float = _option(
        0.0,
        "Give up a call of the app after this long: answer 504, or cut the response. 0 is no limit.",
        "SECONDS",
        least=0,
    )
    max_line: int = _option(8192, "Answer 414 if the request line is longer than this.", "BYTES", least=64)
    max_head: int = _option(
        65536, "Answer 431 if the header fields are larger than this.", "BYTES", least=1024
    )
    max_fields: int = _option(100, "Answer 431 if a request has more header fields than this.", "N", least=1)
    max_body: int = _option(
        1 << 30, "Answer 413 if a request body is larger than this; 0 is no limit.", "BYTES", least=0
    )
    max_buffered: int = _option(
        1 << 28,
        "Keep at most this much of bodies and responses for slow clients; above it, threads wait for them. 0 "
        "is no limit.",
        "BYTES",
        least=0,
    )

    def __post_init__(self) -> None:
        if not self.bind:
            raise ConfigError("bind", "name at least one HOST:PORT")
        for field in dataclasses.fields(self):
            least = field.metadata["least"]
            value, word = getattr(self, field.name), field.metadata["word"]
            if least is not None and not (word and value == word):
                _check_number(field.name, value, type(field.default), least, word)
        if self.health_path and not self.health_path.startswith("/"):
            raise ConfigError("health_path", f"{self.health_path!r} is not a path, such as /health")
        if self.probe and not _PROBE.fullmatch(self.probe):
            text = f"{self.probe!r} is neither a path, such as /health, nor a URL, such as https://shop.example/health"
            raise ConfigError("probe", text)
        self._check_unix_options()
        self._check_trust()

    @functools.cached_property
    def trusted(self) -> Trust:
        """The peers of ``trust``."""
        return Trust(self.trust)

    def _check_trust(self) -> None:
        for option, words in (
            ("trust_header", ("x-forwarded", "forwarded")),
            ("forwarded", ("remove", "keep")),
        ):
            if getattr(self, option) not in words:
                raise ConfigError(option, f"{getattr(self, option)!r} is neither {words[0]} nor {words[1]}")
        trusted = self.trusted
        if self.proxy_protocol and not trusted.anybody:
            text = "name the proxies that send it with --trust, such as --trust 10.0.0.0/8 or --trust unix"
            raise ConfigError("proxy_protocol", text)

    def _check_unix_options(self) -> None:
        for option in ("socket_mode", "socket_owner"):
            if getattr(self, option) and not any(bind.kind == "unix" for bind in self.bind):
                raise ConfigError(option, "there is no socket to set it for; name one with --bind unix:/path")
        check_rights(self.socket_mode, self.socket_owner)


# A path with a query, or a whole URL; nothing that could end a request line or a field.
_PROBE = re.compile(
    r"(https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-5]?[0-9]{1,4})?(?=[/?]|$))?(/(?!/)[!-~]*|\?[!-~]*)?"
)


# Sums of a few such times, and moments on the clock, fit what the system and Python take as a timeout.
LONGEST_SECONDS = 1e9


def _check_number(name: str, value: object, kind: type, least: int, word: str) -> None:
    allowed = int if kind is int else (int, float)
    sound = isinstance(value, allowed) and not isinstance(value, bool) and least <= value < math.inf
    if sound and kind is float and value > LONGEST_SECONDS:  # type: ignore[operator]  # a number
        raise ConfigError(name, f"{value!r} is longer than {LONGEST_SECONDS:g} seconds, which is 31 years")
    if not sound:
        noun = "whole number" if kind is int else "number"
        also = f", nor {word!r}" if word else ""
        raise ConfigError(name, f"{value!r} is not a {noun} of at least {least}{also}")


def make_config(**options: Any) -> Config:
    """Return the :class:`Config` of these options; ConfigError names an option that is wrong.

    ``bind`` and ``trust`` may be one string or several, such as ``"127.0.0.1:8000"``.
    """
    known = {field.name for field in dataclasses.fields(Config)}
    unknown = sorted(options.keys() - known)
    if unknown and unknown[0] in PYTHON:
        raise ConfigError("", f"there is no option {unknown[0]}; {PYTHON[unknown[0]]}")
    if unknown:
        raise ConfigError(
            "", f"unknown option {', '.join(unknown)}; the options are {', '.join(sorted(known))}"
        )
    if not isinstance(options.get("trust", ""), str):
        options["trust"] = ",".join(map(str, options["trust"]))
    if "bind" in options:
        options["bind"] = _parse_binds(options["bind"])
    return Config(**options)


def _parse_binds(bind: Any) -> tuple[Bind, ...]:
    texts = (bind,) if isinstance(bind, str) else tuple(bind) if isinstance(bind, Iterable) else (bind,)
    if not all(isinstance(text, str) for text in texts):
        raise ConfigError("bind", f"{bind!r} is not HOST:PORT, such as 127.0.0.1:8000")
    return tuple(map(parse_bind, texts))


def refuse_command_options(options: Iterable[str]) -> None:
    """Raise ConfigError if an option is for the command alone, such as ``workers``."""
    for field in dataclasses.fields(Config):
        if field.metadata["command"] and field.name in options:
            raise ConfigError(
                field.name,
                "is for the command wsgiserve MODULE:NAME alone; a server in a program is one process",
            )
