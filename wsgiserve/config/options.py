"""The options of the server, each declared once with type, default, help and least value.

The command line, the environment variables ``WSGISERVE_*`` and ``serve(app, **options)`` are made from the
fields of :class:`Config`; tests compare the reference with them.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable
from typing import Any

from wsgiserve.config.binds import Bind, check_rights, parse_bind
from wsgiserve.config.domains import parse_domains
from wsgiserve.config.elsewhere import PYTHON
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
        "127.0.0.1:0 (any free port), https://:8443, unix:/path, unix:@name, fd://3.",
        "HOST:PORT",
    )
    cert: tuple[str, ...] = _option(
        (),
        "Speak TLS with the certificate in this PEM file. Several are chosen by the name a client asks for.",
        "FILE",
    )
    key: tuple[str, ...] = _option(
        (),
        "Take the key of each --cert, in the same order, from this file; by default it is in the same file.",
        "FILE",
    )
    key_passphrase_file: str = _option("", "Read the passphrase of encrypted keys from this file.", "FILE")
    client_ca: str = _option(
        "", "Ask clients for a certificate that one of the authorities in this PEM file has signed.", "FILE"
    )
    client_cert: str = _option(
        "required",
        "Refuse clients that send --client-ca no certificate (required), or let the app decide (optional).",
        "MODE",
    )
    tls_ciphers: str = _option(
        "",
        "Allow these cipher suites in TLS 1.2, in OpenSSL's words; by default those with forward secrecy and "
        "authenticated encryption.",
        "LIST",
    )
    tls_self_signed: bool = _option(
        False, "Speak TLS with a certificate for localhost and this machine, made anew at each start."
    )
    hsts: int = _option(
        0, "Tell browsers to use https alone, for this long after each visit; 0 does not.", "SECONDS", least=0
    )
    redirect_http: tuple[Bind, ...] = _option(
        (), "Listen on this address too, such as :80, and redirect from http to https.", "HOST:PORT"
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
    domain: tuple[str, ...] = _option(
        (),
        "Get a certificate for this name by ACME, and renew it; may be given several times. Listens on "
        "https://:443 and redirects from :80, unless --bind is given.",
        "NAME",
    )
    acme_email: str = _option("", "Tell the CA this address, for news about the certificates.", "ADDRESS")
    acme_directory: str = _option(
        "https://acme-v02.api.letsencrypt.org/directory", "Use the CA with this ACME directory.", "URL"
    )
    acme_staging: bool = _option(
        False, "Use Let's Encrypt's CA for trying: its limits are high, and no browser trusts it."
    )
    acme_ca_root: str = _option(
        "", "Trust the CA's own web server by this root certificate, for a CA within a company.", "FILE"
    )
    acme_storage: str = _option(
        "",
        "Keep account and certificates in this folder, which several servers may share. By default it is "
        "wsgiserve/acme in XDG_DATA_HOME or ~/.local/share.",
        "DIR",
    )
    acme_wait: bool = _option(
        False, "Have PATH/ready of --health-path say 503 until there is a certificate of the CA."
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
        self._check_tls_options()
        self._check_acme_options()

    @property
    def has_certificate(self) -> bool:
        """Whether there is something to speak TLS with."""
        return bool(self.cert or self.tls_self_signed or self.domain)

    def is_secure(self, bind: Bind) -> bool:
        """Whether TLS is spoken at an address."""
        if bind.scheme or not self.has_certificate:
            return bind.scheme == "https"
        return bind.kind == "tcp" or bind.kind == "fd"

    @property
    def addresses(self) -> tuple[Bind, ...]:
        """All addresses to listen on: those of ``bind``, then those of ``redirect_http``."""
        return self.bind + self.redirect_http

    def _check_tls_options(self) -> None:
        if self.key and len(self.key) != len(self.cert):
            counts = f"{len(self.key)} for {len(self.cert)} of --cert"
            raise ConfigError("key", f"{counts}; name one for each, or none if the files have both")
        if self.client_cert not in ("required", "optional"):
            raise ConfigError("client_cert", f"{self.client_cert!r} is neither required nor optional")
        if self.cert and self.tls_self_signed:
            raise ConfigError("tls_self_signed", "there is a certificate, by --cert; leave one of them out")
        if not self.has_certificate:
            self._refuse_tls_options()
        elif not any(map(self.is_secure, self.bind)):
            raise ConfigError(
                "bind", "no address speaks TLS, though there is a certificate; write https://:8443"
            )
        for bind in self.redirect_http:
            if bind.scheme == "https":
                raise ConfigError(
                    "redirect_http", f"{bind} is an address for https; write one for http, such as :80"
                )

    def _refuse_tls_options(self) -> None:
        """Refuse what has no meaning without a certificate."""
        for bind in filter(self.is_secure, self.bind):
            raise ConfigError("bind", f"{bind} needs a certificate; add --cert FILE or --domain NAME")
        for name in ("key", "key_passphrase_file", "client_ca", "tls_ciphers", "hsts", "redirect_http"):
            if getattr(self, name):
                raise ConfigError(name, "there is no TLS; add --cert FILE or --domain NAME")

    @property
    def ca(self) -> str:
        """The URL of the ACME directory in use."""
        return STAGING if self.acme_staging else self.acme_directory

    def _check_acme_options(self) -> None:
        if self.domain and self.tls_self_signed:
            raise ConfigError("tls_self_signed", "there is a certificate, by --domain; leave one of them out")
        if not self.domain:
            for field in dataclasses.fields(self):
                if field.name.startswith("acme_") and getattr(self, field.name) != field.default:
                    raise ConfigError(
                        field.name, "there is no name to get a certificate for; add --domain NAME"
                    )
        if not re.fullmatch(r"https://[!-.0-~]+(/[!-~]*)?", self.acme_directory):
            raise ConfigError(
                "acme_directory", f"{self.acme_directory!r} is no URL that begins with https://"
            )
        if self.acme_staging and self.acme_directory != Config.acme_directory:
            raise ConfigError(
                "acme_staging", "there is another CA, by --acme-directory; leave one of them out"
            )
        if self.acme_email and not re.fullmatch(r"[^@\s,]+@[^@\s,]+", self.acme_email):
            raise ConfigError("acme_email", f"{self.acme_email!r} is no e-mail address")
        if self.acme_wait and not self.health_path:
            raise ConfigError("acme_wait", "there is no health check to wait with; add --health-path PATH")

    def _check_unix_options(self) -> None:
        for option in ("socket_mode", "socket_owner"):
            if getattr(self, option) and not any(bind.kind == "unix" for bind in self.bind):
                raise ConfigError(option, "there is no socket to set it for; name one with --bind unix:/path")
        check_rights(self.socket_mode, self.socket_owner)


STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"

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

    ``bind`` may be one string or several, such as ``"127.0.0.1:8000"``.
    """
    known = {field.name for field in dataclasses.fields(Config)}
    unknown = sorted(options.keys() - known)
    if unknown and unknown[0] in PYTHON:
        raise ConfigError("", f"there is no option {unknown[0]}; {PYTHON[unknown[0]]}")
    if unknown:
        raise ConfigError(
            "", f"unknown option {', '.join(unknown)}; the options are {', '.join(sorted(known))}"
        )
    if "domain" in options:
        options["domain"] = parse_domains(options["domain"])
    if options.get("domain") and "bind" not in options:
        options["bind"] = "https://:443"
        options.setdefault("redirect_http", ":80")
    if "bind" in options:
        options["bind"] = _parse_binds(options["bind"])
    if "redirect_http" in options:
        options["redirect_http"] = _parse_binds(options["redirect_http"], "redirect_http")
    for name in ("cert", "key"):
        if isinstance(options.get(name), str):
            options[name] = (options[name],)
    return Config(**options)


def _parse_binds(bind: Any, option: str = "bind") -> tuple[Bind, ...]:
    texts = (bind,) if isinstance(bind, str) else tuple(bind) if isinstance(bind, Iterable) else (bind,)
    if not all(isinstance(text, str) for text in texts):
        raise ConfigError(option, f"{bind!r} is not HOST:PORT, such as 127.0.0.1:8000")
    try:
        return tuple(map(parse_bind, texts))
    except ConfigError as error:
        raise ConfigError(option, error.text) from None


def refuse_command_options(options: Iterable[str]) -> None:
    """Raise ConfigError if an option is for the command alone, such as ``workers``."""
    for field in dataclasses.fields(Config):
        if field.metadata["command"] and field.name in options:
            raise ConfigError(
                field.name,
                "is for the command wsgiserve MODULE:NAME alone; a server in a program is one process",
            )
